"""The folded generator in 8-bit integers, by the kernels that PyTorch brings along (oneDNN).

Weights have one scale per output channel. Activations have one per layer and frame, from the smallest and largest value
that is there: measuring it costs a tenth of what the integers save, needs no calibration, so that a personalised
generator needs none either, and no frame can leave the range that others were calibrated on.

The live inputs are bytes already and enter as they are. Sums leave a convolution as float32, which is where the
activation function is applied.

Source: Krishnamoorthi, Quantizing deep convolutional networks for efficient inference (2018), for the schemes.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.folded import FoldedGenerator
from models.generator_layers import LEAK, LIVE_CHANNELS, PATCH

_LARGEST = 255
# Activations below zero are a fifth of those above: so is the room that they get.
_ZERO = round(_LARGEST * LEAK / (1 + LEAK))


class _Quantised(NamedTuple):
    """A tensor of which `scale * (values - _ZERO)` is the float."""

    values: Tensor  # uint8 [1, C, H, W], channels-last
    scale: float


class Int8Conv2d:
    """A convolution of bytes.

    Args:
        weight: `[C', C, k, k]`, float32.
        bias: `[C']`.
        stride: Of the convolution.
        padding: Of the convolution, by zeros.
        zero: Which byte is zero.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, padding: int, zero: int = _ZERO) -> None:
        self._scales = weight.abs().amax((1, 2, 3)).clamp_(min=1e-12) / 127
        values = torch.round(weight / self._scales[:, None, None, None]).to(torch.int8)
        self._geometry = [stride] * 2, [padding] * 2, [1, 1], 1
        self._packed = torch.ops.onednn.qconv_prepack(values, self._scales, 1.0, zero, *self._geometry, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int8)
        self._bias = bias
        self._zero = zero

    @classmethod
    def of(cls, conv: nn.Module) -> Int8Conv2d:
        """The same function as a square convolution of a float network, up to rounding."""
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        return cls(conv.weight, conv.bias, conv.stride[0], int(conv.padding[0]))

    def __call__(self, values: Tensor, scale: float) -> Tensor:
        """Convolve `scale * (values - zero)`, uint8 `[1, C, H, W]` to float32 `[1, C', H', W']`, both channels-last."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            values,
            scale,
            self._zero,
            self._packed,
            self._scales,
            self._zeros,
            self._bias,
            *self._geometry,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return y


class Int8Generator:
    """What `FoldedGenerator.patches` computes, in bytes; for a CPU.

    Args:
        folded: In float32, on a CPU, with direct convolutions.
    """

    def __init__(self, folded: FoldedGenerator) -> None:
        encoder, synthesis = folded.encoder, folded.synthesis
        self._window = folded.window
        live = encoder.live_patches
        weight = live.weight.reshape(-1, LIVE_CHANNELS, PATCH, PATCH)
        assert live.bias is not None
        self._live = Int8Conv2d(weight, live.bias, PATCH, 0, zero=0)
        self._first = Int8Conv2d.of(encoder.first)
        pairs = zip(encoder.down, encoder.same, strict=True)
        self._levels = [(Int8Conv2d.of(down), Int8Conv2d.of(same)) for down, same in pairs]
        self._convs = [Int8Conv2d.of(conv) for conv in synthesis.convs]
        self._out = Int8Conv2d.of(synthesis.out)

    def patches(self, target: Tensor, planes: Tensor) -> Tensor:
        """See `FoldedGenerator.patches`.

        Args:
            target: Features of the template `[1, C, 64, 64]`, float32, channels-last.
            planes: Live inputs `[1, 6, 256, 256]`, uint8, channels-last.
        """
        maps = [_activate(self._first(*_activate(self._live(planes, 1 / 255).add_(target))))]
        for down, same in self._levels:
            maps.append(_activate(same(*_activate(down(*maps[-1])))))
        x = _leak(self._convs[0](*maps[-1]))
        for conv, spatial in zip(self._convs[1:], reversed(maps[:-1]), strict=True):
            x = _leak(conv(*self._joined(x, spatial, cut=spatial is maps[0])))
        return self._out(*_quantise(x, _scale(x)))

    def _joined(self, x: Tensor, spatial: _Quantised, *, cut: bool) -> _Quantised:
        """`x` at twice its size beside `spatial`, on one scale; of the window only, if `cut`."""
        scale = max(_scale(x), spatial.scale)
        values = spatial.values
        if cut:
            x, values = self._window.cut(x), self._window.cut(values)
        if scale > spatial.scale:
            values = _quantise((values.float() - _ZERO).mul_(spatial.scale), scale).values
        doubled = F.interpolate(_quantise(x, scale).values, scale_factor=2.0, mode="nearest")
        return _Quantised(torch.cat([doubled, values], 1), scale)


def _leak(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, LEAK)


def _activate(x: Tensor) -> _Quantised:
    x = _leak(x)
    return _quantise(x, _scale(x))


def _scale(x: Tensor) -> float:
    """The finest scale that holds every value."""
    # Reductions of a contiguous view are six times as fast as those of the channels-last tensor itself.
    low, high = (float(edge) for edge in torch.aminmax(x.permute(0, 2, 3, 1).reshape(-1)))
    return max(high / (_LARGEST - _ZERO), -low / _ZERO, 1e-12)


def _quantise(x: Tensor, scale: float) -> _Quantised:
    # A scale from `_scale` leaves nothing to clip. By way of int32, for which there are vector instructions, it takes
    # a third of the time of going straight to bytes.
    return _Quantised(torch.add(_ZERO + 0.5, x, alpha=1 / scale).to(torch.int32).to(torch.uint8), scale)


@cache
def is_available() -> bool:
    """Whether this build of PyTorch and this processor can do it; found out by trying, once."""
    try:
        conv = Int8Conv2d(torch.ones(4, 4, 1, 1), torch.zeros(4), 1, 0)
        values = torch.full((1, 4, 2, 2), _ZERO + 1, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        return bool((conv(values, 1.0) - 4).abs().max() < 1e-3)
    except (AttributeError, RuntimeError):
        return False
