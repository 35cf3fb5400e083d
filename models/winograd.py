"""3x3 convolutions with a fifth of the multiplications, for CPUs that lack wide vectors.

Direct convolutions already run at the peak of a core, so that only fewer multiplications help. NNPACK, which PyTorch
brings along, tiles the picture, transforms tiles and kernels, and multiplies there: 64 products for 6x6 outputs
instead of 324.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (CVPR 2016).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import ConvolutionError

_SMALLEST = 16  # side of a picture under which transforming the kernels costs more than is saved


class WinogradConv2d(nn.Module):
    """What a 3x3 convolution of stride 1 and padding 1 computes, up to rounding; for inference on a CPU in float32.

    Args:
        conv: Whose weights to share.

    Raises:
        ValueError: If the convolution is of another kind.
        ConvolutionError: If this machine can't do it.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if not is_eligible(conv):
            raise ValueError(f"expected a 3x3 convolution of stride 1 and padding 1, got {conv}")
        if not is_available():
            raise ConvolutionError(
                "expected PyTorch with NNPACK and a processor with AVX2 or NEON, found none; use direct"
            )
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x [B, C, H, W]`; returns `[B, C', H, W]`, contiguous."""
        if min(x.shape[-2:]) < _SMALLEST:
            return F.conv2d(x, self.weight, self.bias, padding=1)
        y: Tensor = torch._nnpack_spatial_convolution(x.contiguous(), self.weight, self.bias, (1, 1), (1, 1))
        return y


def is_available() -> bool:
    """Whether this build of PyTorch and this processor can do it; asking also initialises NNPACK."""
    return bool(torch.backends.nnpack.is_available())


def is_eligible(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether `WinogradConv2d` can stand in for a layer."""
    if not isinstance(layer, nn.Conv2d):
        return False
    shape = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)


def use_winograd(network: nn.Module) -> None:
    """Replace every layer of a network that can be replaced, in place."""
    for name, child in network.named_children():
        if is_eligible(child):
            setattr(network, name, WinogradConv2d(child))
        else:
            use_winograd(child)


def ratio(winograd: Callable[[], object], direct: Callable[[], object], rounds: int = 6) -> float:
    """Processor time of one method relative to another: the best of interleaved rounds, so that load changes little."""
    best = [math.inf, math.inf]
    for _ in range(rounds):
        for i, way in enumerate((winograd, direct)):
            started = time.process_time()
            way()
            best[i] = min(best[i], time.process_time() - started)
    return best[0] / best[1]
