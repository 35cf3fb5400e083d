"""The resampler's quality, in figures."""

from __future__ import annotations

import numpy as np
import pytest

from stream.pcm.fractional_resampler import FractionalResampler

RATE = 48_000
COUNT = 24_000


def read_tone(hertz: float, step: float, nominal: float = 1.0) -> tuple[float, float]:
    """Resample a tone; return its level and that of everything else, in dB of what was put in and of the tone."""
    resampler = FractionalResampler(nominal)
    tone = (0.5 * np.sin(2 * np.pi * hertz / RATE * np.arange(int(COUNT * step) + 200))).astype(np.float32)
    made = resampler.pull(tone, 60.3, step, COUNT)
    turn = 2 * np.pi * hertz / RATE * step * np.arange(COUNT)
    basis = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    weights = np.linalg.lstsq(basis, made, rcond=None)[0]
    rest = made - basis @ weights
    return 20 * np.log10(np.hypot(*weights) / 0.5), 10 * np.log10(np.mean(rest**2) / np.mean((made - rest) ** 2))


@pytest.mark.parametrize("hertz", [100, 1_000, 10_000, 18_000])
@pytest.mark.parametrize("step", [1.0001, 0.999])
def test_a_tone_stays_what_it_is(hertz: float, step: float) -> None:
    level, rest = read_tone(hertz, step)
    assert abs(level) < 0.01, "flat"
    assert rest < -80, "THD+N"


@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_a_tone_stays_what_it_is_at_other_rates(rate: int) -> None:
    level, rest = read_tone(5_000, RATE / rate * 1.0001, RATE / rate)
    assert abs(level) < 0.05
    assert rest < -70


def test_what_a_lower_rate_can_not_hold_is_filtered_out() -> None:
    resampler = FractionalResampler(3.0)
    tone = np.sin(2 * np.pi * 11_000 / RATE * np.arange(COUNT)).astype(np.float32)
    assert np.abs(resampler.pull(tone, 100.0, 3.0, 7_000)).max() < 1e-3, "or it would be heard at 5 kHz"


def test_whole_positions_give_the_samples_themselves() -> None:
    audio = np.random.default_rng(0).integers(-32768, 32767, 2_000).astype(np.float32)
    made = FractionalResampler().pull(audio, 40.0, 1.0, 1_900)
    np.testing.assert_allclose(made, audio[40:1_940], atol=0.5)


def test_in_pieces_equals_whole() -> None:
    audio = np.random.default_rng(1).standard_normal(3_000).astype(np.float32)
    resampler = FractionalResampler()
    whole = resampler.pull(audio, 20.25, 1.0003, 2_500)
    pieces, at = [], 0
    for count in [1, 7, 480, 0, 1_012, 1_000]:
        pieces.append(resampler.pull(audio, 20.25 + at * 1.0003, 1.0003, count))
        at += count
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_nothing_beyond_its_reach_matters() -> None:
    resampler = FractionalResampler()
    audio = np.random.default_rng(2).standard_normal(500).astype(np.float32)
    first, last = 100 - resampler.reach + 1, 299 + resampler.reach
    other = np.full(500, 9.0, np.float32)
    other[first : last + 1] = audio[first : last + 1]
    np.testing.assert_array_equal(resampler.pull(audio, 100.5, 1.0, 200), resampler.pull(other, 100.5, 1.0, 200))
    np.testing.assert_array_equal(
        resampler.pull(audio[first : last + 1], 100.5 - first, 1.0, 200), resampler.pull(audio, 100.5, 1.0, 200)
    )
