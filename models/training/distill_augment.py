"""Augmentation of speech: what a voice, a room, a microphone and a line do to it.

Waveform effects work on numpy rows; vocal-tract length, equalisation and band limit are cheaper, and just as
good for a log-mel network, on mel spectra.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from torch import Tensor

from models.mel import FLOOR, SAMPLE_RATE

Array = NDArray[np.float32]


def resample(values: Array, factor: float, start: float, frames: int) -> Array:
    """Read a series at `start + factor * i` for i in 0..frames-1 by linear interpolation.

    Args:
        values: `[T]` or `[T, D]`.
        factor: speed; above 1 is faster.
        start: first position.
        frames: number of outputs.
    """
    at = np.clip(start + factor * np.arange(frames), 0, len(values) - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(values) - 1)
    mix = np.asarray(at - low, np.float32)
    if values.ndim > 1:
        mix = mix[:, None]
    return np.asarray(values[low] * (1 - mix) + values[high] * mix, np.float32)


def noise(samples: int, rng: np.random.Generator) -> Array:
    """Return noise of unit level: white, coloured, mains hum, or clicks."""
    kind = rng.random()
    if kind < 0.65:  # white to brown
        spectrum = rng.normal(size=samples // 2 + 1) + 1j * rng.normal(size=samples // 2 + 1)
        # Flat below 100 Hz: noise whose power hides under the voice would leave the voice untouched.
        spectrum /= np.maximum(np.arange(len(spectrum)) * SAMPLE_RATE / samples, 100) ** rng.uniform(0, 1.5)
        wave = np.fft.irfft(spectrum, samples)
    elif kind < 0.85:
        time = np.arange(samples) / SAMPLE_RATE
        base = rng.choice([50, 60, 100, 120]) * rng.uniform(0.99, 1.01)
        wave = sum(rng.random() / k * np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6)) for k in range(1, 9))
        wave = wave + 0.05 * rng.normal(size=samples)
    else:
        wave = 0.003 * rng.normal(size=samples)
        for _ in range(rng.integers(1, 2 + samples // 8000)):
            at = rng.integers(0, samples)
            click = rng.normal(size=rng.integers(20, 400))
            decay = np.exp(-np.linspace(0, 6, len(click)))
            wave[at : at + len(click)] += (click * decay)[: samples - at]
    return np.asarray(wave / (np.sqrt(np.mean(np.square(wave))) + 1e-9), np.float32)


class NoiseBank:
    """Ready-made noise of many kinds, from which rows take random pieces; making it anew costs more than a step."""

    def __init__(self, pieces: int, samples: int, rng: np.random.Generator) -> None:
        """Make `pieces` noises of `samples` each."""
        self._pieces = [noise(samples, rng) for _ in range(pieces)]

    def draw(self, samples: int, rng: np.random.Generator) -> Array:
        """Return a random stretch `[samples]` of unit level on average."""
        piece = self._pieces[rng.integers(len(self._pieces))]
        start = rng.integers(0, len(piece) - samples + 1)
        return piece[start : start + samples]


def reverberate(wave: Array, rng: np.random.Generator) -> Array:
    """Convolve with a short synthetic room whose direct sound comes first."""
    length = int(SAMPLE_RATE * rng.uniform(0.05, 0.35))
    room = rng.normal(size=length) * np.exp(-np.linspace(0, 7, length))
    room *= rng.uniform(0.1, 0.7) / (np.sqrt(np.square(room).sum()) + 1e-9)
    room[0] = 1.0
    return np.asarray(fftconvolve(wave, room)[: len(wave)], np.float32)


def disturb(wave: Array, bank: NoiseBank, rng: np.random.Generator) -> Array:
    """Apply level, room and noise to one row of speech `[N]` in -1..1."""
    level = float(np.sqrt(np.mean(np.square(wave)))) + 1e-5
    wave = wave * (10 ** (rng.uniform(-40, -16) / 20) / max(level, 1e-3))
    if rng.random() < 0.3:
        wave = reverberate(wave, rng)
    ratio = rng.uniform(4, 30) if rng.random() < 0.65 else rng.uniform(30, 60)  # signal to noise, dB
    loud = float(np.sqrt(np.mean(np.square(wave))))
    wave = wave + bank.draw(len(wave), rng) * loud * 10 ** (-ratio / 20)
    return np.asarray(np.clip(wave, -1, 1), np.float32)


def disturb_mel(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Apply vocal-tract length, equalisation and band limit to log-mel `[B, M, bands]`, per row."""
    B, _, bands = mel.shape
    warp = torch.where(
        torch.rand(B, 1, generator=generator) < 0.7,
        torch.empty(B, 1).uniform_(0.82, 1.22, generator=generator),
        torch.ones(B, 1),
    )
    # On the mel scale a frequency factor is nearly a shift that grows from the low bands to the high ones.
    band = torch.arange(bands, dtype=torch.float32)
    hertz = 700 * (10 ** ((56 + band * (2824 - 56) / (bands - 1)) / 2595) - 1)
    at = ((2595 * torch.log10(1 + hertz * warp / 700) - 56) / (2824 - 56) * (bands - 1)).clamp(0, bands - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=bands - 1)
    mix = (at - low)[:, None]
    mel = mel.gather(2, low[:, None].expand_as(mel)) * (1 - mix) + mel.gather(2, high[:, None].expand_as(mel)) * mix
    phase = band / bands * torch.pi
    curve = torch.zeros(B, bands)
    for order in range(1, 5):
        curve += torch.randn(B, 1, generator=generator) * 0.8 / order * torch.cos(order * phase)
    limited = torch.rand(B, 1, generator=generator) < 0.15
    cut = torch.empty(B, 1).uniform_(0.68, 0.9, generator=generator) * bands  # 3.4 to 6 kHz
    curve = curve - 12.0 * (limited & (band > cut))
    return torch.log((mel.exp() - FLOOR).clamp(min=0) * curve.exp()[:, None] + FLOOR)
