"""Sounds that are not the speaker: noise, instrumental music, and other people talking."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.mel import SAMPLE_RATE

Array = NDArray[np.float32]


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
    return _unit(wave)


def music(samples: int, rng: np.random.Generator) -> Array:
    """Return instrumental music of unit level: chords of decaying or held harmonic notes, bass and drums."""
    wave = np.zeros(samples)
    beat = int(SAMPLE_RATE * rng.uniform(0.25, 0.7))
    held, bright = rng.random() < 0.4, rng.uniform(0.8, 2.5)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    for start in range(0, samples, beat):
        length = min(beat * int(rng.integers(1, 4)), samples - start)
        time = np.arange(length) / SAMPLE_RATE
        envelope = np.minimum(time / 0.02, 1) * (1.0 if held else np.exp(-time * rng.uniform(2, 8)))
        for step in rng.choice([-12, 0, 3, 4, 5, 7, 9, 12, 16, 19], rng.integers(1, 5)):
            pitch = root * 2 ** (step / 12)
            for partial in range(1, int(min(12, 7000 // pitch)) + 1):
                phase = 2 * np.pi * pitch * partial * time + rng.uniform(0, 6)
                wave[start : start + length] += envelope * np.sin(phase) / partial**bright
        if rng.random() < 0.5:
            drum = rng.normal(size=length) * np.exp(-time * rng.uniform(15, 60))
            wave[start : start + length] += rng.uniform(0.2, 1.5) * drum
    return _unit(wave)


def babble(voices: Sequence[Array], samples: int, rng: np.random.Generator) -> Array:
    """Return three to seven people talking at once, at unit level."""
    wave = np.zeros(samples)
    for _ in range(rng.integers(3, 8)):
        voice = np.resize(voices[int(rng.integers(len(voices)))], samples)
        wave += np.roll(voice, rng.integers(samples)) / (np.sqrt(np.mean(np.square(voice))) + 1e-4)
    return _unit(wave)


def _unit(wave: NDArray[np.float64]) -> Array:
    return np.asarray(wave / (np.sqrt(np.mean(np.square(wave))) + 1e-9), np.float32)


class NoiseBank:
    """Ready-made noise of many kinds, from which rows take random pieces; generating it costs more than a step."""

    def __init__(self, pieces: int, samples: int, rng: np.random.Generator, voices: Sequence[Array] = ()) -> None:
        """Make `pieces` noises and half as many pieces of music, of `samples` each, and babble out of `voices`."""
        self._silent = [noise(samples, rng) for _ in range(pieces)] + [music(samples, rng) for _ in range(pieces // 2)]
        self._babble = [babble(voices, samples, rng) for _ in range(pieces // 3)] if voices else []

    def draw(self, samples: int, rng: np.random.Generator) -> Array:
        """Return a random stretch `[samples]`, of unit level on average, without speech."""
        return _stretch(self._silent, samples, rng)

    def draw_any(self, samples: int, rng: np.random.Generator) -> Array:
        """Return a random stretch `[samples]` of unit level on average, with other people's speech now and then."""
        return _stretch(self._babble if self._babble and rng.random() < 0.25 else self._silent, samples, rng)


def _stretch(pieces: list[Array], samples: int, rng: np.random.Generator) -> Array:
    piece = pieces[rng.integers(len(pieces))]
    start = rng.integers(0, len(piece) - samples + 1)
    return piece[start : start + samples]
