"""Style-modulated convolution and its folded form (StyleGAN2, Karras et al. 2020, section 2.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style and whose outputs are demodulated.

    Scaling activations instead of weights is the same function (StyleGAN2, appendix B) and lets a
    batch hold different identities.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Odd kernel side; the picture keeps its size.
        style_dim: Size of the style code w.
        demodulate: Normalise each output channel; off for the last, colour-giving layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        *,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        fan_in = in_channels * kernel_size**2
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size) / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = nn.Linear(style_dim, in_channels)
        nn.init.normal_(self.affine.weight, std=0.01)
        nn.init.ones_(self.affine.bias)
        self.padding = kernel_size // 2
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Convolve `x [B, C, H, W]` under `style [B, style_dim]`; returns `[B, C', H, W]`."""
        scale = self.affine(style)
        y = F.conv2d(x * scale[:, :, None, None].to(x.dtype), self.weight, padding=self.padding)
        if self.demodulate:
            y = y * self._demodulation(scale)[:, :, None, None].to(y.dtype)
        return y + self.bias[None, :, None, None]

    def _demodulation(self, scale: Tensor) -> Tensor:
        energy = scale.float().square() @ self.weight.float().square().sum((2, 3)).T
        return torch.rsqrt(energy + 1e-8)

    def fold(self, style: Tensor) -> nn.Conv2d:
        """The plain convolution that this layer is for one constant `style [style_dim]`."""
        with torch.no_grad():
            scale = self.affine(style[None])
            weight = self.weight * scale[0][None, :, None, None]
            if self.demodulate:
                weight = weight * self._demodulation(scale)[0][:, None, None, None]
            out_channels, in_channels, size, _ = weight.shape
            plain = nn.Conv2d(in_channels, out_channels, size, padding=self.padding)
            plain.weight.copy_(weight)
            plain.bias.copy_(self.bias)  # type: ignore[union-attr]
        return plain
