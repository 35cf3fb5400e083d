"""Tensors in, tensors out: audio to motion, motion to mesh, mesh to picture.

Holds networks, their streaming state, the mesh and its rasteriser, the tracker, and training. Never holds sockets,
threads, devices, or files other than checkpoints and datasets.
"""
