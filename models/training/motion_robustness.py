"""How the network copes with bad lines, levels and company, on the open-vocabulary validation speakers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.mel import SAMPLE_RATE
from models.mesh import NUM_VERTICES, aperture
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.training.audio_corpus import AudioClip
from models.training.distill_augment import mu_law, telephone
from models.training.distill_noise import babble, music, noise
from models.training.motion_data import MotionClip, held_out_kind
from models.training.motion_eval import StudentPredictor, all_delays, open_figures, with_intervals
from models.training.motion_metrics import CLOSED

Array = NDArray[np.float32]
NOISE_LEVELS_DB = (-90.0, -60.0, -45.0, -35.0)
MUSIC_LEVELS_DB = (-40.0, -30.0, -20.0)
SECONDS = 8
PIECES = 6


def robustness(
    model: StyleSyncFormer, corpus: dict[str, AudioClip], motion: dict[str, MotionClip]
) -> dict[str, dict[str, list[float]]]:
    """Evaluate the open-vocabulary clips under each disturbance.

    Returns:
        For each disturbance the figures of `with_intervals`.
    """
    names = [name for name in motion if held_out_kind(name) == "open" and name in corpus]
    voices = [_wave(corpus[name].pcm) for name in names]
    rng = np.random.default_rng(11)

    def company(wave: Array, below_db: float) -> Array:
        return wave + babble(voices, len(wave), rng) * _level(wave) * np.float32(10 ** (-below_db / 20))

    kinds: dict[str, Callable[[Array], Array]] = {
        "clean": lambda wave: wave,
        "telephone": lambda wave: telephone(wave, rng),
        "mu-law": mu_law,
        "-45 dBFS": lambda wave: wave * np.float32(10 ** (-45 / 20) / _level(wave)),
        "peak 0 dBFS": lambda wave: wave / max(float(np.abs(wave).max()), 1e-6),
        "babble -20 dB": lambda wave: company(wave, 20.0),
        "white noise -15 dB": lambda wave: wave + noise(len(wave), rng) * _level(wave) * np.float32(10 ** (-15 / 20)),
    }
    report = {}
    for kind, change in kinds.items():
        disturbed = {name: replace(corpus[name], pcm=_pcm(change(_wave(corpus[name].pcm)))) for name in names}
        predictor = StudentPredictor(model).at(model.config.delay)
        report[kind] = with_intervals(open_figures(predictor, disturbed, motion, model.basis.numpy()))
    return report


def closed_shares(model: StyleSyncFormer, neutral: NDArray[np.float32]) -> dict[str, float]:
    """Share of frames with closed lips in digital silence, in noise and in instrumental music, by level."""
    rng = np.random.default_rng(7)
    samples = SECONDS * SAMPLE_RATE
    shares = {"digital": _closed_share(model, np.zeros(samples, np.float32), neutral)}
    for make, levels in ((noise, NOISE_LEVELS_DB), (music, MUSIC_LEVELS_DB)):
        for level in levels:
            waves = [make(samples, rng) * np.float32(10 ** (level / 20)) for _ in range(PIECES)]
            share = float(np.mean([_closed_share(model, wave, neutral) for wave in waves]))
            shares[f"{make.__name__} {level:.0f} dBFS"] = share
    return shares


def _closed_share(model: StyleSyncFormer, wave: Array, neutral: NDArray[np.float32]) -> float:
    coefficients = all_delays(model, _pcm(wave))[model.config.delay]
    mesh = neutral + (coefficients @ model.basis.numpy()).reshape(-1, NUM_VERTICES, 3)
    return float((aperture(mesh) < CLOSED).mean())


def _wave(pcm: NDArray[np.int16]) -> Array:
    return np.asarray(pcm / np.float32(32768), np.float32)


def _pcm(wave: Array) -> NDArray[np.int16]:
    whole = len(wave) // CHUNK_SAMPLES * CHUNK_SAMPLES
    return np.asarray(np.clip(wave[:whole], -1, 1) * 32767, np.int16)


def _level(wave: Array) -> np.float32:
    return np.float32(np.sqrt(np.mean(np.square(wave))) + 1e-6)
