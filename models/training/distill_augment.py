"""Augmentation of speech: what a voice, a room, a microphone and a line do to it.

Waveform effects work on numpy rows; vocal-tract length, equalisation and band limit are cheaper, and just as
good for a log-mel network, on mel spectra.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt
from torch import Tensor

from models.mel import FLOOR, SAMPLE_RATE
from models.training.distill_noise import NoiseBank

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


def reverberate(wave: Array, rng: np.random.Generator) -> Array:
    """Convolve with a short synthetic room whose direct sound comes first."""
    length = int(SAMPLE_RATE * rng.uniform(0.05, 0.35))
    room = rng.normal(size=length) * np.exp(-np.linspace(0, 7, length))
    room *= rng.uniform(0.1, 0.7) / (np.sqrt(np.square(room).sum()) + 1e-9)
    room[0] = 1.0
    return np.asarray(fftconvolve(wave, room)[: len(wave)], np.float32)


def mu_law(wave: Array, steps: int = 255) -> Array:
    """Quantise to 8 bits on a logarithmic scale. Source: ITU-T G.711, the continuous form of the µ-law."""
    compressed = np.sign(wave) * np.log1p(steps * np.abs(wave)) / np.log1p(steps)
    coarse = np.round((compressed + 1) / 2 * steps) / steps * 2 - 1
    return np.asarray(np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(steps)) / steps, np.float32)


def telephone(wave: Array, rng: np.random.Generator) -> Array:
    """Band of a telephone line (about 300 to 3,400 Hz) and its µ-law, for a row in -1..1."""
    band = (rng.uniform(200, 350), rng.uniform(3000, 3800))
    narrow = sosfilt(butter(4, band, "bandpass", fs=SAMPLE_RATE, output="sos"), wave)
    return mu_law(np.clip(np.asarray(narrow, np.float32), -1, 1))


def disturb(wave: Array, bank: NoiseBank, rng: np.random.Generator) -> Array:
    """Apply level, room, noise and line to one row of speech `[N]` in -1..1."""
    level = float(np.sqrt(np.mean(np.square(wave)))) + 1e-5
    wave = wave * (10 ** (rng.uniform(-45, -12) / 20) / max(level, 1e-3))
    if rng.random() < 0.3:
        wave = reverberate(wave, rng)
    ratio = rng.uniform(4, 30) if rng.random() < 0.4 else rng.uniform(30, 60)  # signal to noise, dB
    loud = float(np.sqrt(np.mean(np.square(wave))))
    wave = wave + bank.draw_any(len(wave), rng) * loud * 10 ** (-ratio / 20)
    if rng.random() < 0.12:
        wave = telephone(wave, rng)
    return np.asarray(np.clip(wave, -1, 1), np.float32)


def disturb_mel(mel: Tensor, generator: torch.Generator) -> Tensor:
    """Apply vocal-tract length, equalisation and band limit to log-mel `[B, M, bands]`, per row."""
    B, _, bands = mel.shape
    warp = torch.where(
        torch.rand(B, 1, generator=generator) < 0.5,
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
