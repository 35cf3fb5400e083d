"""How the folded generator is computed: in float32, by Winograd convolutions, in bfloat16 or in 8-bit integers.

All of them give what `FoldedGenerator` in float32 gives, to at least 45 dB in the rendered crop; which one is fastest
depends on the processor: measure it with `cost`. Why these, see docs/adr/0013.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models import int8, winograd
from models.compositor import Backend
from models.crop import CROP_SIZE
from models.device_generator import DeviceGenerator
from models.folded import FoldedGenerator
from models.generator import Generator
from models.generator_layers import LIVE_CHANNELS
from models.layer import Layer, Planes, layer_of_patches

BACKENDS = ("float32", "winograd", "bfloat16", "int8")
"""On a CPU, the exact one first."""


def available() -> list[str]:
    """The backends that this build of PyTorch can run on this processor."""
    possible = {
        "winograd": winograd.is_available(),
        "bfloat16": bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()),
        "int8": int8.is_available(),
    }
    return [name for name in BACKENDS if possible.get(name, True)]


def backend(generator: Generator, style: Tensor, kind: str, device: torch.device) -> Backend:
    """Fold a generator for a style code `[style_dim]`.

    Args:
        generator: On a CPU, in float32.
        style: Of the identity.
        kind: One of `available`; on a GPU `float32`.
        device: Where it is to run.

    Raises:
        ValueError: If there is no such backend here.
    """
    folded = generator.fold(style, winograd=kind == "winograd")
    if device.type != "cpu":
        return DeviceGenerator(folded, device)
    if kind not in available():
        raise ValueError(f"expected one of {', '.join(available())}, got {kind}")
    return _Int8(folded) if kind == "int8" else _Float(folded, torch.bfloat16 if kind == "bfloat16" else torch.float32)


def cost(backends: Sequence[Backend], rounds: int = 7) -> list[float]:
    """Processor time of a frame by each backend in ms: the best of interleaved rounds, so that load changes little."""
    planes = np.random.default_rng(0).integers(0, 256, (LIVE_CHANNELS, CROP_SIZE, CROP_SIZE), np.uint8)
    with torch.inference_mode():
        targets = [each.encode_target(torch.zeros(1, 3, CROP_SIZE, CROP_SIZE)) for each in backends]
        best = [math.inf] * len(backends)
        for _ in range(rounds):
            for i, each in enumerate(backends):
                started = time.process_time()
                each.render(targets[i], planes.transpose(1, 2, 0))
                best[i] = min(best[i], 1000 * (time.process_time() - started))
    return best


class _Float:
    """Any of the floating-point implementations, on a CPU."""

    def __init__(self, folded: FoldedGenerator, dtype: torch.dtype) -> None:
        self.window = folded.window
        self.painted_interior = folded.painted_interior
        self._interior_residual = folded.interior_residual
        self._folded = folded
        self._dtype = dtype
        # Winograd convolutions want one channel after the other.
        is_plain = not any(isinstance(module, winograd.WinogradConv2d) for module in folded.modules())
        self._format = torch.channels_last if is_plain else torch.contiguous_format
        folded.to(dtype)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """See `Backend`."""
        return self._folded.encode_target(masked_target.to(self._dtype)).contiguous(memory_format=self._format)

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """See `Backend`."""
        live = torch.from_numpy(planes.transpose(2, 0, 1))[None].to(self._dtype, memory_format=self._format)
        patches = self._folded.patches(target, live.div_(255)).float()
        return layer_of_patches(patches, planes, self.window, self._interior_residual)


class _Int8:
    """8-bit integers, on a CPU."""

    def __init__(self, folded: FoldedGenerator) -> None:
        self.window = folded.window
        self.painted_interior = folded.painted_interior
        self._interior_residual = folded.interior_residual
        self._encode: Callable[[Tensor], Tensor] = folded.encode_target
        self._generator = int8.Int8Generator(folded)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """See `Backend`."""
        return self._encode(masked_target).contiguous(memory_format=torch.channels_last)

    def render(self, target: Tensor, planes: Planes) -> Layer:
        """See `Backend`."""
        live = torch.from_numpy(planes.transpose(2, 0, 1))[None].contiguous(memory_format=torch.channels_last)
        return layer_of_patches(self._generator.patches(target, live), planes, self.window, self._interior_residual)
