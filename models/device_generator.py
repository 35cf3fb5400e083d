"""A folded generator on a GPU as a `Backend`, with all around it on the CPU: for videos that are rendered offline.

Live streams are rendered by `models.device`. Written for a GPU; not measured yet.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.folded import FoldedGenerator
from models.graphs import graphed
from models.layer import Layer, Planes, layer_of_picture


class DeviceGenerator:
    """float32 on a device, on a GPU as a CUDA graph; a `Backend`.

    Args:
        folded: Moved to the device.
        device: Where it runs.
    """

    def __init__(self, folded: FoldedGenerator, device: torch.device) -> None:
        self.window = folded.window
        self.painted_interior = folded.painted_interior
        self._folded = folded.to(device)
        self._device = device
        self._step = graphed(self._folded, device)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """See `Backend`."""
        return self._folded.encode_target(masked_target.to(self._device))

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """See `Backend`."""
        live = torch.from_numpy(planes.transpose(2, 0, 1))[None].to(self._device, non_blocking=True)
        return layer_of_picture(self._step(target, live.float().div_(255)), self.window)
