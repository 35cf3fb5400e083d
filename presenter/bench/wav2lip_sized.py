"""A generator of the size of Wav2Lip's, with random weights: to time what one frame of it costs, not to show.

Layer widths as published (Prajwal et al., "A Lip Sync Expert Is All You Need", ACM Multimedia 2020): face and audio
encoders down to one cell, a decoder with skip connections up to 96². Batch normalisation is folded into the
convolutions, as a deployment would.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FACE_SIZE = 96
MEL_SHAPE = (80, 16)  # bands, frames: 0.2 s

Layer = tuple[int, int, int, int | tuple[int, int], int]
"""Output channels, kernel, padding, stride, and how many residual layers of that width follow."""

_FACE: tuple[Layer, ...] = (
    (16, 7, 3, 1, 0),
    (32, 3, 1, 2, 2),
    (64, 3, 1, 2, 3),
    (128, 3, 1, 2, 2),
    (256, 3, 1, 2, 2),
    (512, 3, 1, 2, 1),
)
_AUDIO: tuple[Layer, ...] = (
    (32, 3, 1, 1, 2),
    (64, 3, 1, (3, 1), 2),
    (128, 3, 1, 3, 2),
    (256, 3, 1, (3, 2), 1),
)
_UP = ((384, 2), (256, 2), (128, 2), (64, 2))
"""Output channels of the decoder's upper levels, and their residual layers."""


class _Residual(nn.Module):
    """A 3x3 convolution around which its input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv(x))


def _residuals(channels: int, count: int) -> list[nn.Module]:
    return [_Residual(channels) for _ in range(count)]


def _conv(before: int, layer: Layer) -> nn.Sequential:
    channels, kernel, padding, stride, residuals = layer
    conv = nn.Conv2d(before, channels, kernel, stride, padding)
    return nn.Sequential(conv, nn.ReLU(), *_residuals(channels, residuals))


def _to_one_cell(before: int) -> nn.Sequential:
    """A 3x3 map to one cell of 512 channels."""
    return nn.Sequential(nn.Conv2d(before, 512, 3), nn.ReLU(), nn.Conv2d(512, 512, 1), nn.ReLU())


def _up(before: int, channels: int, residuals: int) -> nn.Sequential:
    """Twice the size."""
    conv = nn.ConvTranspose2d(before, channels, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(conv, nn.ReLU(), *_residuals(channels, residuals))


class Wav2LipSized(nn.Module):
    """About 36 million parameters; a face `[B, 6, 96, 96]` and log-mel `[B, 1, 80, 16]` to `[B, 3, 96, 96]`."""

    def __init__(self) -> None:
        super().__init__()
        widths = [6, *(layer[0] for layer in _FACE)]
        self.face = nn.ModuleList(_conv(before, layer) for before, layer in zip(widths[:-1], _FACE, strict=True))
        self.face.append(_to_one_cell(widths[-1]))
        heard = [1, *(layer[0] for layer in _AUDIO)]
        audio = [_conv(before, layer) for before, layer in zip(heard[:-1], _AUDIO, strict=True)]
        self.audio = nn.Sequential(*audio, _to_one_cell(heard[-1]))
        first = nn.ConvTranspose2d(512 + 512, 512, 3)
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(512, 512, 1), nn.ReLU()),
                nn.Sequential(first, nn.ReLU(), *_residuals(512, 1)),
                _up(512 + 512, 512, 2),
            ]
        )
        below = 512
        for (channels, residuals), skipped in zip(_UP, reversed(widths[2:-1]), strict=True):
            self.decoder.append(_up(below + skipped, channels, residuals))
            below = channels
        out = nn.Conv2d(below + widths[1], 32, 3, padding=1)
        self.out = nn.Sequential(out, nn.ReLU(), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, face: Tensor, mel: Tensor) -> Tensor:
        """One frame; see the class."""
        maps = []
        for block in self.face:
            face = block(face)
            maps.append(face)
        x = self.audio(mel)
        for block in self.decoder:
            x = torch.cat([block(x), maps.pop()], 1)
        picture: Tensor = self.out(x)
        return picture
