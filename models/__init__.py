"""Tensors in, tensors out: audio to motion, motion to mesh, mesh to picture."""
