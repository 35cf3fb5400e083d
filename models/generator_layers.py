"""Encoder and decoder of the generator, modulated or folded.

Pictures are handled as 4x4 patches, so that the finest feature maps are 64x64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.crop import Window
from models.modulated import ModulatedConv2d

PATCH = 4  # pictures are handled as 4x4 patches: 256² x 3 becomes 64² x 48
COVERING = 3.0  # where the blend mask starts, before its sigmoid: from 0 it learned nothing
LEAK = 0.2  # of the activation function
DEEP = 0.6  # of the 5x5 pixels around one: as many belong to the mouth's opening where lips don't reach
LIVE_CHANNELS = 6  # warped reference (3), shade, interior, interior seen in the warped reference


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Widths of the generator, and what it was trained on.

    Attributes:
        channels: From the finest level (1/4 of the crop) to the coarsest (1/32).
        painted_interior: Its warped reference shows teeth, gums and tongue even if the reference itself does not.
    """

    channels: tuple[int, ...] = (48, 96, 128, 160)
    painted_interior: bool = True
    style_dim: int = 128
    mapping_layers: int = 3


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


def convolve_patches(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """`layer(F.pixel_unshuffle(x, 4))` in one step, for a 1x1 convolution."""
    out_channels = layer.weight.shape[0]
    return F.conv2d(x, layer.weight.reshape(out_channels, -1, PATCH, PATCH), layer.bias, stride=PATCH)


def _double(x: Tensor) -> Tensor:
    """Every value as 2x2 equal ones."""
    if x.stride(1) == 1:  # channels-last, whole or cut
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    x = torch.stack([x, x], -1).flatten(-2)  # twice as fast as going through channels-last and back
    return torch.stack([x, x], -2).flatten(-3, -2)


class Encoder(nn.Module):
    """Spatial features of the inputs at every level.

    The target's share of the first layer is separate, because a template frame never changes: it is
    computed once and added to each live frame's share.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.target_patches = nn.Conv2d(3 * PATCH**2, channels[0], 1)
        self.live_patches = nn.Conv2d(LIVE_CHANNELS * PATCH**2, channels[0], 1)
        self.first = _conv(channels[0], channels[0])
        pairs = list(zip(channels[:-1], channels[1:], strict=True))
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairs)
        self.same = nn.ModuleList(_conv(b, b) for _, b in pairs)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features `[B, C, 64, 64]` of the masked target `[B, 3, 256, 256]`."""
        return convolve_patches(self.target_patches, masked_target)

    def forward(self, target: Tensor, live: Tensor) -> list[Tensor]:
        """Feature maps from fine to coarse, for encoded `target` and stacked `live` inputs."""
        x = _act(target + convolve_patches(self.live_patches, live))
        maps = [_act(self.first(x))]
        for down, same in zip(self.down, self.same, strict=True):
            x = _act(down(maps[-1]))
            maps.append(_act(same(x)))
        return maps


class IdentityEncoder(nn.Module):
    """Appearance code of a reference crop."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        widths = (24, 48, 96, 128)
        self.patches = nn.Conv2d(3 * PATCH**2, widths[0], 1)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairs)
        self.out = nn.Linear(widths[-1], style_dim)

    def forward(self, reference: Tensor) -> Tensor:
        """Codes `[B, style_dim]` of crops `[B, 3, 256, 256]`."""
        x = _act(convolve_patches(self.patches, reference))
        for down in self.down:
            x = _act(down(x))
        code: Tensor = self.out(x.mean((2, 3)))
        return code


class Synthesis(nn.Module):
    """The decoder: from the coarsest features up, with spatial inputs at every level.

    `convs[i]` is either modulated, called with a style, or plain after folding.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        fine_to_coarse = config.channels
        coarse_to_fine = tuple(reversed(fine_to_coarse))
        style_dim = config.style_dim
        convs = [ModulatedConv2d(coarse_to_fine[0], coarse_to_fine[0], 3, style_dim)]
        for before, here in zip(coarse_to_fine[:-1], coarse_to_fine[1:], strict=True):
            convs.append(ModulatedConv2d(before + here, here, 3, style_dim))
        self.convs: nn.ModuleList = nn.ModuleList(convs)
        # Colour residual and blend mask of every pixel in a patch.
        out = ModulatedConv2d(fine_to_coarse[0], 4 * PATCH**2, 3, style_dim, demodulate=False)
        nn.init.zeros_(out.weight)
        self.out: nn.Module = out
        # The share of the residual that the inside of the mouth gets, see docs/adr/0023-painted-mouths.md; a parameter,
        # since graphs hold the addresses of what differs between identities.
        self.interior_residual = nn.Parameter(torch.ones(()), requires_grad=False)

    def patches(self, maps: list[Tensor], style: Tensor | None = None, window: Window | None = None) -> Tensor:
        """Of every pixel in a patch, colour residual and blend mask before its sigmoid `[B, 64, 64, 64]`.

        Args as of `forward`.
        """
        x = _act(_apply(self.convs[0], maps[-1], style))
        for conv, spatial in zip(self.convs[1:], reversed(maps[:-1]), strict=True):
            if window and spatial is maps[0]:
                x, spatial = window.cut(x), window.cut(spatial)
            x = _act(_apply(conv, torch.cat([_double(x), spatial], 1), style))
        return _apply(self.out, x, style)

    def forward(
        self, maps: list[Tensor], live: Tensor, style: Tensor | None = None, window: Window | None = None
    ) -> Tensor:
        """Render the crop.

        Args:
            maps: Spatial inputs, fine to coarse.
            live: Stacked live inputs `[B, 6, 256, 256]`.
            style: Style codes `[B, style_dim]`; None once folded.
            window: The part to render, a multiple of 8 pixels; None for all. Its two outermost patches are not exact.

        Returns:
            Colour (0..1) and blend mask (0..1) `[B, 4, 256, 256]`, or of the window's size.
        """
        rendered = F.pixel_shuffle(self.patches(maps, style, window), PATCH).float()
        if window:
            live = window.cut(live)
        coverage = face_coverage(live)
        kept = 1 - (1 - self.interior_residual) * deep_inside(live)
        rgb = (live[:, :3] + kept * soften(coverage) * rendered[:, :3]).clamp(0.0, 1.0)
        # On the face the layer always covers: what lies behind shows another mouth. Around it, the network decides.
        return torch.cat([rgb, torch.maximum(torch.sigmoid(rendered[:, 3:] + COVERING), soften(coverage, shrink=2))], 1)


def face_coverage(live: Tensor) -> Tensor:
    """How much of each patch the rendered face fills `[B, 1, 64, 64]`, from stacked live inputs.

    The network renders the face alone; neck, collar and background only move with the warp, so that nothing can
    flicker or leave a halo there.
    """
    inside = (live[:, 3:4] + live[:, 4:5] > 0).to(live.dtype)
    return F.avg_pool2d(inside, PATCH)


def soften(coverage: Tensor, shrink: int = 0) -> Tensor:
    """Coverage per pixel `[B, 1, 256, 256]` with a soft border, `shrink` patches inside the face's own."""
    if shrink:
        coverage = -F.max_pool2d(-coverage, 2 * shrink + 1, stride=1, padding=shrink)
    soft = F.avg_pool2d(coverage, 3, stride=1, padding=1, count_include_pad=False)
    return F.interpolate(soft, scale_factor=float(PATCH), mode="bilinear", align_corners=False)


def deep_inside(live: Tensor) -> Tensor:
    """The mouth's opening without its border `[B, 1, 256, 256]`, soft, from stacked live inputs."""
    mean = F.avg_pool2d(live[:, 4:5], 5, stride=1, padding=2)
    return F.avg_pool2d(mean * (mean > DEEP), 3, stride=1, padding=1)


def _apply(layer: nn.Module, x: Tensor, style: Tensor | None) -> Tensor:
    y: Tensor = layer(x) if style is None else layer(x, style)
    return y
