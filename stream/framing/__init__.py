"""Composes a presenter's frames into pictures of another size or background. Never holds devices, codecs or clocks."""
