"""Errors of the networks' layer.

ModelError
├── MattingError     a picture can't be given a matte (models.matting)
├── CheckpointError  a file of weights or of an identity can't be read (models.checkpoint)
└── ConvolutionError this machine lacks a convolution method (models.winograd)
"""


class ModelError(Exception):
    """Wrong input at the boundary of `models`, or a part that is missing; the text says what was expected."""


class CheckpointError(ModelError):
    """A file of weights or of an identity is missing, damaged, or of another network."""


class ConvolutionError(ModelError):
    """The requested convolution method is not available on this machine."""
