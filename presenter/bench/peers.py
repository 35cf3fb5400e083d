"""Generators of other talking heads, in their published sizes with random weights: what a frame of theirs costs.

Only what a frame costs is compared, which weights do not change; nothing of their code or weights is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.crop import CROP_SIZE
from models.generator import Generator
from models.generator_layers import LIVE_CHANNELS

_LATENT = 32  # MuseTalk's side of a 256 x 256 face


class Wav2LipSized(nn.Module):
    """A generator of 96 x 96 faces in the size of Wav2Lip's.

    Source: Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The Wild" (MM 2020),
    supplement: face and audio encoders of residual convolutions, a decoder of transposed ones with skips.
    """

    SIZE = 96

    def __init__(self) -> None:
        super().__init__()
        self.face = nn.ModuleList(
            [
                _conv(6, 16, 7, padding=3),
                nn.Sequential(_conv(16, 32, stride=2), *_residuals(32, 2)),
                nn.Sequential(_conv(32, 64, stride=2), *_residuals(64, 3)),
                nn.Sequential(_conv(64, 128, stride=2), *_residuals(128, 2)),
                nn.Sequential(_conv(128, 256, stride=2), *_residuals(256, 2)),
                nn.Sequential(_conv(256, 512, stride=2), *_residuals(512, 1)),
                nn.Sequential(_conv(512, 512, padding=0), _conv(512, 512, 1, padding=0)),
            ]
        )
        self.audio = nn.Sequential(
            _conv(1, 32), *_residuals(32, 2),
            _conv(32, 64, stride=(3, 1)), *_residuals(64, 2),
            _conv(64, 128, stride=3), *_residuals(128, 2),
            _conv(128, 256, stride=(3, 2)), *_residuals(256, 1),
            _conv(256, 512, padding=0), _conv(512, 512, 1, padding=0),
        )  # fmt: skip
        self.decoder = nn.ModuleList(
            [
                _conv(512, 512, 1, padding=0),
                nn.Sequential(_transposed(1024, 512, 1, 0, 0), *_residuals(512, 1)),
                nn.Sequential(_transposed(1024, 512, 2, 1, 1), *_residuals(512, 2)),
                nn.Sequential(_transposed(768, 384, 2, 1, 1), *_residuals(384, 2)),
                nn.Sequential(_transposed(512, 256, 2, 1, 1), *_residuals(256, 2)),
                nn.Sequential(_transposed(320, 128, 2, 1, 1), *_residuals(128, 2)),
                nn.Sequential(_transposed(160, 64, 2, 1, 1), *_residuals(64, 2)),
            ]
        )
        self.output = nn.Sequential(_conv(80, 32), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """A face `[B, 3, 96, 96]` from log-mel `[B, 1, 80, 16]` and a masked and a reference face `[B, 6, 96, 96]`."""
        skips = []
        for block in self.face:
            faces = block(faces)
            skips.append(faces)
        x = self.audio(mel)
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], 1)
        y: Tensor = self.output(x)
        return y


class MuseTalkSized(nn.Module):
    """One step of a latent inpainting network for 256 x 256 faces and its image decoder, in the size of MuseTalk's.

    Source: Zhang et al., "MuseTalk" (2024): the UNet of Stable Diffusion 1.x with 8 input channels and audio features
    of 384 numbers for cross-attention, and the decoder of its autoencoder (Rombach et al. 2022).
    """

    SIZE = 256
    _WIDTHS = (320, 640, 1280, 1280)

    def __init__(self) -> None:
        super().__init__()
        widths = self._WIDTHS
        self.enter = nn.Conv2d(8, widths[0], 3, padding=1)
        self.down, skips, width = nn.ModuleList(), [widths[0]], widths[0]
        for level, wide in enumerate(widths):
            for _ in range(2):
                self.down.append(_Level(width, wide, attention=level < 3))
                width = wide
                skips.append(width)
            if level < 3:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = nn.ModuleList([_Level(width, width, attention=True), _Level(width, width, attention=False)])
        self.up = nn.ModuleList()
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(3):
                self.up.append(_Level(width + skips.pop(), wide, attention=level < 3))
                width = wide
            if level:
                self.up.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)))
        self.leave = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))
        self.decoder = nn.Sequential(
            nn.Conv2d(4, 512, 3, padding=1), *(_Level(512, 512, attention=False) for _ in range(5)),
            nn.Upsample(scale_factor=2), nn.Conv2d(512, 512, 3, padding=1),
            *(_Level(512, 512, attention=False) for _ in range(3)),
            nn.Upsample(scale_factor=2), nn.Conv2d(512, 512, 3, padding=1),
            _Level(512, 256, attention=False), *(_Level(256, 256, attention=False) for _ in range(2)),
            nn.Upsample(scale_factor=2), nn.Conv2d(256, 256, 3, padding=1),
            _Level(256, 128, attention=False), *(_Level(128, 128, attention=False) for _ in range(2)),
            nn.GroupNorm(32, 128), nn.SiLU(), nn.Conv2d(128, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, latents: Tensor, audio: Tensor) -> Tensor:
        """A face `[B, 3, 256, 256]` from masked and reference latents `[B, 8, 32, 32]` and audio `[B, N, 384]`."""
        x = self.enter(latents)
        skips = [x]
        for layer in self.down:
            x = layer(x, audio) if isinstance(layer, _Level) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, audio)
        for layer in self.up:
            x = layer(torch.cat([x, skips.pop()], 1), audio) if isinstance(layer, _Level) else layer(x)
        y: Tensor = self.decoder(self.leave(x))
        return y


class _Level(nn.Module):
    """Two convolutions with a residual, and where wanted a transformer block on all pixels."""

    def __init__(self, wide_in: int, wide: int, *, attention: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(32, wide_in), nn.SiLU(), nn.Conv2d(wide_in, wide, 3, padding=1),
            nn.GroupNorm(32, wide), nn.SiLU(), nn.Conv2d(wide, wide, 3, padding=1),
        )  # fmt: skip
        self.short = nn.Identity() if wide_in == wide else nn.Conv2d(wide_in, wide, 1)
        self.attend = _Attend(wide) if attention else None

    def forward(self, x: Tensor, audio: Tensor | None = None) -> Tensor:
        x = self.short(x) + self.body(x)
        return x if self.attend is None or audio is None else self.attend(x, audio)


class _Attend(nn.Module):
    """Self-attention, cross-attention to audio features and a gated feed-forward layer, on pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.ends = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(2))
        self.own = nn.MultiheadAttention(width, 8, batch_first=True)
        self.cross = nn.MultiheadAttention(width, 8, kdim=384, vdim=384, batch_first=True)
        self.gate, self.leave = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, audio: Tensor) -> Tensor:
        pixels = self.ends[0](x).flatten(2).transpose(1, 2)
        hidden = self.norms[0](pixels)
        pixels = pixels + self.own(hidden, hidden, hidden, need_weights=False)[0]
        pixels = pixels + self.cross(self.norms[1](pixels), audio, audio, need_weights=False)[0]
        value, gate = self.gate(self.norms[2](pixels)).chunk(2, -1)
        pixels = pixels + self.leave(value * F.gelu(gate))
        return x + self.ends[1](pixels.transpose(1, 2).reshape(x.shape))


def _conv(
    wide_in: int, wide: int, kernel: int = 3, *, stride: int | tuple[int, int] = 1, padding: int = 1
) -> nn.Module:
    return nn.Sequential(nn.Conv2d(wide_in, wide, kernel, stride, padding), nn.BatchNorm2d(wide), nn.ReLU())


def _transposed(wide_in: int, wide: int, stride: int, padding: int, more: int) -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(wide_in, wide, 3, stride, padding, more), nn.BatchNorm2d(wide), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _residuals(width: int, count: int) -> list[nn.Module]:
    return [_Residual(width) for _ in range(count)]


def peer_costs(generator: Generator, folded_ms: float) -> dict[str, dict[str, float]]:
    """Processor time of a frame by each, one thread, float32; ratios to the folded generator's time.

    Args:
        generator: Ours, as it was trained: neither folded nor with cached target features.
        folded_ms: Of the same as it runs.

    Returns:
        For each: `frame_ms`, `million_parameters`, and `times_ours`.
    """
    rows: dict[str, dict[str, float]] = {}

    def add(name: str, network: nn.Module, run: Callable[[], object], rounds: int) -> None:
        frame_ms = _best(run, rounds)
        size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        rows[name] = {"frame_ms": frame_ms, "million_parameters": size, "times_ours": frame_ms / folded_ms}

    with torch.inference_mode():
        crop, live = torch.rand(1, 3, CROP_SIZE, CROP_SIZE), torch.rand(1, LIVE_CHANNELS, CROP_SIZE, CROP_SIZE)

        def unfolded() -> Tensor:
            maps = generator.encoder(generator.encoder.encode_target(crop), live)
            return generator.synthesis(maps, live, generator.style_code(crop))

        add("ours, neither folded nor cached", generator, unfolded, 5)
        wav2lip = Wav2LipSized().eval()
        faces, mel = torch.rand(1, 6, wav2lip.SIZE, wav2lip.SIZE), torch.rand(1, 1, 80, 16)
        add("Wav2Lip-sized, 96 x 96", wav2lip, lambda: wav2lip(mel, faces), 5)
        musetalk = MuseTalkSized().eval()
        latents, audio = torch.rand(1, 8, _LATENT, _LATENT), torch.rand(1, 50, 384)
        add("MuseTalk-sized, 256 x 256", musetalk, lambda: musetalk(latents, audio), 2)
    return rows


def _best(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        times.append(1000 * (time.process_time() - started))
    return float(np.min(times))
