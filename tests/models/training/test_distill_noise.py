"""Sounds that are mixed into training speech."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")  # of the extra [train]

from models.mel import SAMPLE_RATE  # noqa: E402
from models.training.distill_augment import disturb, mu_law, telephone  # noqa: E402
from models.training.distill_noise import NoiseBank, babble, music, noise  # noqa: E402

RNG = np.random.default_rng


def level(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave))))


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_music_have_unit_level(seed: int) -> None:
    assert level(noise(SAMPLE_RATE, RNG(seed))) == pytest.approx(1, rel=1e-3)
    assert level(music(2 * SAMPLE_RATE, RNG(seed))) == pytest.approx(1, rel=1e-3)


def test_only_draw_any_has_other_voices() -> None:
    voice = np.full(SAMPLE_RATE, 7.0, np.float32)  # a constant: no noise or music is one
    bank = NoiseBank(6, 2 * SAMPLE_RATE, RNG(0), [voice])
    rng = RNG(1)
    talk = [np.ptp(bank.draw_any(800, rng)) == 0 for _ in range(60)]
    assert any(talk)
    assert not all(talk)
    assert not any(np.ptp(bank.draw(800, rng)) == 0 for _ in range(60))


def test_babble_mixes_voices_of_any_length() -> None:
    voices = [RNG(k).normal(size=5000 + k).astype(np.float32) for k in range(3)]
    assert level(babble(voices, 12000, RNG(0))) == pytest.approx(1, rel=1e-3)


def test_mu_law_keeps_quiet_and_loud_samples_within_its_steps() -> None:
    wave = np.concatenate([np.linspace(-1, 1, 999), np.geomspace(1e-3, 1, 99)]).astype(np.float32)
    error = np.abs(mu_law(wave) - wave)
    assert (error <= 0.025 * np.abs(wave) + 1e-4).all()
    assert error.max() > 1e-3


def test_telephone_cuts_what_lies_outside_its_band() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    low, middle, high = (telephone(0.3 * np.sin(2 * np.pi * f * time), RNG(0)) for f in (60, 1000, 6000))
    assert level(middle) > 0.15
    assert level(low) < 0.1 * level(middle)
    assert level(high) < 0.1 * level(middle)


def test_disturbed_speech_keeps_its_length_and_range() -> None:
    bank = NoiseBank(6, 2 * SAMPLE_RATE, RNG(0))
    for seed in range(12):
        wave = disturb(0.1 * RNG(seed).normal(size=SAMPLE_RATE).astype(np.float32), bank, RNG(seed))
        assert wave.shape == (SAMPLE_RATE,)
        assert np.abs(wave).max() <= 1
