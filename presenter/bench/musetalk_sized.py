"""Networks of the size of MuseTalk's, with random weights: to time what one frame of them costs, not to show.

As published (Zhang et al., "MuseTalk", arXiv 2410.10122): the UNet of Stable Diffusion 1.x (Rombach et al., CVPR 2022)
with 8 input channels and keys from audio features of width 384, evaluated once per frame on 32² latents, and the
decoder of its autoencoder, to 256².
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT = 32  # side of the latents of a 256² crop
AUDIO_SHAPE = (50, 384)  # steps and width of the audio features of a frame
_WIDTHS = (320, 640, 1280, 1280)
_ATTENDING = (True, True, True, False)  # levels with Transformers, from fine to coarse
_HEADS = 8
_TIME = 1280
_DECODER_WIDTHS = (512, 512, 256, 128)


class _ResBlock(nn.Module):
    """Two 3x3 convolutions with group normalisation, the time code between them."""

    def __init__(self, before: int, channels: int, time: int = _TIME) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, before), nn.Conv2d(before, channels, 3, padding=1)
        self.time = nn.Linear(time, channels) if time else None
        self.norm2, self.conv2 = nn.GroupNorm(32, channels), nn.Conv2d(channels, channels, 3, padding=1)
        self.skip: nn.Module = nn.Conv2d(before, channels, 1) if before != channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        hidden = self.conv1(F.silu(self.norm1(x)))
        if self.time is not None and time is not None:
            hidden = hidden + self.time(F.silu(time))[:, :, None, None]
        result: Tensor = self.skip(x) + self.conv2(F.silu(self.norm2(hidden)))
        return result


class _Attention(nn.Module):
    """Multi-head attention of `[B, N, C]` to itself, or to a context `[B, M, K]`."""

    def __init__(self, channels: int, context: int, heads: int = _HEADS, *, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels, bias=bias)
        self.k, self.v = (nn.Linear(context, channels, bias=bias) for _ in range(2))
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.q(x), self.k(context), self.v(context))
        )
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class _Transformer(nn.Module):
    """Self-attention, attention to the audio, and a gated feed-forward layer, at every place of a map."""

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.norm, self.enter = nn.GroupNorm(32, channels), nn.Conv2d(channels, channels, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.own, self.other = _Attention(channels, channels), _Attention(channels, context)
        self.gated, self.feed = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        tokens = self.enter(self.norm(x)).flatten(2).transpose(1, 2)
        normed = self.norms[0](tokens)
        tokens = tokens + self.own(normed, normed)
        tokens = tokens + self.other(self.norms[1](tokens), context)
        values, gates = self.gated(self.norms[2](tokens)).chunk(2, -1)
        tokens = tokens + self.feed(values * F.gelu(gates))
        result: Tensor = x + self.leave(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))
        return result


class _Level(nn.Module):
    """Residual blocks, each with a Transformer behind it where the level has them."""

    def __init__(self, inputs: list[int], channels: int, context: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_ResBlock(before, channels) for before in inputs)
        self.transformers = nn.ModuleList(_Transformer(channels, context) for _ in inputs if context)

    def run(self, number: int, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.blocks[number](x, time)
        return self.transformers[number](x, context) if len(self.transformers) else x


class DiffusionUNet(nn.Module):
    """Latents `[B, channels, 32, 32]` and audio features `[B, N, context]` to latents `[B, 4, 32, 32]`."""

    def __init__(self, channels: int = 8, context: int = AUDIO_SHAPE[1]) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(_WIDTHS[0], _TIME), nn.SiLU(), nn.Linear(_TIME, _TIME))
        self.enter = nn.Conv2d(channels, _WIDTHS[0], 3, padding=1)
        skips, before = [_WIDTHS[0]], _WIDTHS[0]
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for width, attends in zip(_WIDTHS, _ATTENDING, strict=True):
            self.down.append(_Level([before, width], width, context if attends else 0))
            skips += [width, width]
            if len(self.shrink) < len(_WIDTHS) - 1:
                self.shrink.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
            before = width
        self.middle = nn.ModuleList(
            [_ResBlock(before, before), _Transformer(before, context), _ResBlock(before, before)]
        )
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for width, attends in zip(reversed(_WIDTHS), reversed(_ATTENDING), strict=True):
            inputs = [(before if k == 0 else width) + skips.pop() for k in range(3)]
            self.up.append(_Level(inputs, width, context if attends else 0))
            if len(self.grow) < len(_WIDTHS) - 1:
                self.grow.append(nn.Conv2d(width, width, 3, padding=1))
            before = width
        self.norm, self.leave = nn.GroupNorm(32, before), nn.Conv2d(before, 4, 3, padding=1)

    def forward(self, latents: Tensor, audio: Tensor) -> Tensor:
        """One step, at time 0 as MuseTalk takes it."""
        sinusoids = torch.cat([latents.new_ones(1, _WIDTHS[0] // 2), latents.new_zeros(1, _WIDTHS[0] // 2)], 1)
        time = self.time(sinusoids)
        x = self.enter(latents)
        maps = [x]
        for number, level in enumerate(_levels(self.down)):
            for block in range(2):
                x = level.run(block, x, time, audio)
                maps.append(x)
            if number < len(self.shrink):
                x = self.shrink[number](x)
                maps.append(x)
        first, transformer, last = self.middle
        x = last(transformer(first(x, time), audio), time)
        for number, level in enumerate(_levels(self.up)):
            for block in range(3):
                x = level.run(block, torch.cat([x, maps.pop()], 1), time, audio)
            if number < len(self.grow):
                x = self.grow[number](F.interpolate(x, scale_factor=2.0))
        result: Tensor = self.leave(F.silu(self.norm(x)))
        return result


def _levels(modules: nn.ModuleList) -> list[_Level]:
    return [module for module in modules if isinstance(module, _Level)]


class LatentDecoder(nn.Module):
    """Latents `[B, 4, 32, 32]` to a picture `[B, 3, 256, 256]`."""

    def __init__(self) -> None:
        super().__init__()
        before = _DECODER_WIDTHS[0]
        self.enter = nn.Conv2d(4, before, 3, padding=1)
        self.first, self.last = (_ResBlock(before, before, time=0) for _ in range(2))
        self.norm_attention = nn.GroupNorm(32, before)
        self.attention = _Attention(before, before, heads=1, bias=True)
        layers: list[nn.Module] = []
        for number, width in enumerate(_DECODER_WIDTHS):
            layers += [_ResBlock(before if block == 0 else width, width, time=0) for block in range(3)]
            if number < len(_DECODER_WIDTHS) - 1:
                layers += [nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width, 3, padding=1)]
            before = width
        self.levels = nn.Sequential(*layers)
        self.leave = nn.Sequential(nn.GroupNorm(32, before), nn.SiLU(), nn.Conv2d(before, 3, 3, padding=1))

    def forward(self, latents: Tensor) -> Tensor:
        """One picture; see the class."""
        x = self.first(self.enter(latents))
        tokens = self.norm_attention(x).flatten(2).transpose(1, 2)
        x = x + self.attention(tokens, tokens).transpose(1, 2).unflatten(2, x.shape[2:])
        result: Tensor = self.leave(self.levels(self.last(x)))
        return result


class MuseTalkSized(nn.Module):
    """What a frame needs once the face's own latents `[B, 8, 32, 32]` are known: one UNet step and the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.unet, self.decoder = DiffusionUNet(), LatentDecoder()

    def forward(self, latents: Tensor, audio: Tensor) -> Tensor:
        """The picture `[B, 3, 256, 256]` of a frame."""
        picture: Tensor = self.decoder(self.unet(latents, audio))
        return picture
