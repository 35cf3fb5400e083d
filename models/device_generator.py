"""Folded generators on a GPU: CUDA graphs that are captured before anyone connects, one for each slot.

A graph holds the addresses of the weights it was captured with. So a slot keeps its tensors, and the weights of the
identity that is to be shown are copied into them. Written for a GPU; not measured yet.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from models.crop import CROP_SIZE
from models.folded import FoldedGenerator
from models.generator import Generator
from models.generator_layers import LIVE_CHANNELS
from models.graphs import graphed
from models.layer import Layer, Planes, layer_of_picture


class DeviceGenerator:
    """float32 on a device, on a GPU as a CUDA graph; a `Backend`.

    Args:
        folded: Whose weights it begins with; the device's copy of them is its own.
        device: Where it runs.
        pool: Memory that it shares with other graphs; see `CUDAGraphed`.
    """

    def __init__(self, folded: FoldedGenerator, device: torch.device, pool: Any = None) -> None:
        self.window = folded.window
        self.painted_interior = folded.painted_interior
        self._folded = folded.to(device)
        self._device = device
        self._step = graphed(self._folded, device, pool)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """See `Backend`."""
        return self._folded.encode_target(masked_target.to(self._device))

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """See `Backend`."""
        live = torch.from_numpy(planes.transpose(2, 0, 1))[None].to(self._device, non_blocking=True)
        return layer_of_picture(self._step(target, live.float().div_(255)), self.window)

    def capture(self) -> None:
        """Run once, so that a graph is captured now and not with the first frame."""
        with torch.inference_mode():
            target = self.encode_target(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE))
            self._step(target, torch.zeros(1, LIVE_CHANNELS, CROP_SIZE, CROP_SIZE, device=self._device))

    @property
    def sizes(self) -> dict[str, torch.Size]:
        """Of its weights."""
        return shapes(self._folded)

    def load(self, folded: FoldedGenerator) -> None:
        """Show another identity: take over the weights of a generator of the same sizes, in place.

        Raises:
            ValueError: If it has others.
        """
        if shapes(folded) != self.sizes:
            raise ValueError("expected a generator of the captured one's sizes; make a DeviceGenerator of its own")
        with torch.no_grad():
            for mine, theirs in zip(self._folded.parameters(), folded.parameters(), strict=True):
                mine.copy_(theirs)
        self.painted_interior = folded.painted_interior


def shapes(folded: FoldedGenerator) -> dict[str, torch.Size]:
    """The names and shapes of a generator's weights."""
    return {name: parameter.shape for name, parameter in folded.named_parameters()}


class GeneratorSlots:
    """Captured generators, each for one renderer at a time.

    Args:
        generator: The base generator, on a CPU; it says the sizes.
        device: Where they run.
    """

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self._generator = generator
        self._device = device
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._sizes = shapes(generator.fold(torch.zeros(generator.config.style_dim)))
        self._free: list[DeviceGenerator] = []
        self._lock = threading.Lock()  # renderers are made and closed in threads of their own

    def prepare(self, count: int) -> None:
        """Have so many ready; takes long, so call it before anyone waits."""
        style = torch.zeros(self._generator.config.style_dim)
        while len(self._free) < count:
            self._free.append(self._make(self._generator.fold(style)))

    def take(self, folded: FoldedGenerator) -> DeviceGenerator:
        """One that shows this identity; `give_back` it. Captured now only if none is ready or its sizes are its own."""
        with self._lock:
            slot = self._free.pop() if self._free and shapes(folded) == self._sizes else None
        if slot is None:
            return self._make(folded)
        slot.load(folded)
        return slot

    def give_back(self, slot: DeviceGenerator) -> None:
        """Let another renderer use it; one of other sizes than the base generator's is dropped."""
        with self._lock:
            if slot.sizes == self._sizes:
                self._free.append(slot)

    def _make(self, folded: FoldedGenerator) -> DeviceGenerator:
        slot = DeviceGenerator(folded, self._device, self._pool)
        slot.capture()
        return slot
