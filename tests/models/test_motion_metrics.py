"""Figures of merit on motion whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.mesh import LIPS, topology
from models.training.motion_metrics import (
    Closures,
    bootstrap_interval,
    clip_metrics,
    closures,
    jitter,
    offset_frames,
    pearson,
    silence_closure,
)


@pytest.fixture
def opening() -> np.ndarray:
    """A smooth random lip opening of 120 frames, never negative."""
    noise = np.random.default_rng(0).normal(size=130)
    smooth = np.convolve(noise, np.ones(5) / 5, "valid")[:120]
    return (0.1 * (smooth - smooth.min())).astype(np.float32)


def talking(opening: np.ndarray) -> np.ndarray:
    """Meshes `[T, 478, 3]` whose lower lip drops by `opening`."""
    mesh = np.repeat(topology().reference[None], len(opening), 0).copy()
    lower = [14, 87, 178, 317, 402]
    mesh[:, lower, 1] += opening[:, None]
    return mesh


def test_perfect_prediction(opening: np.ndarray) -> None:
    figures = clip_metrics(talking(opening), talking(opening))
    assert figures["aperture_r"] == pytest.approx(1, abs=1e-4)
    assert figures["aperture_amplitude"] == pytest.approx(1, abs=1e-4)
    assert figures["lve"] == 0
    assert figures["lmd"] == 0
    assert figures["offset_frames"] == 0


@pytest.mark.parametrize("late", [-4, -1, 0, 2, 7])
def test_offset_is_positive_when_late(opening: np.ndarray, late: int) -> None:
    assert offset_frames(np.roll(opening, late), opening) == late


def test_correlation_of_a_constant_is_undefined() -> None:
    assert math.isnan(pearson(np.zeros(5, np.float32), np.arange(5, dtype=np.float32)))


def test_closures_are_counted() -> None:
    true = np.full(40, 0.1, np.float32)
    true[[10, 11, 25, 26]] = 0.0
    predicted = true.copy()
    predicted[25:27] = 0.1  # misses the second closure
    predicted[33] = 0.0  # closes where the mouth is open
    counts = closures(predicted, true, [(10, 12), (25, 27)])
    assert counts == Closures(due=2, hit=1, made=2, right=1)
    assert counts.f1 == 0.5
    assert closures(true, true, [(10, 12), (25, 27)]).f1 == 1.0
    assert counts + Closures() == counts


def test_jitter_of_steady_motion_is_zero(opening: np.ndarray) -> None:
    drift = topology().reference + np.arange(10, dtype=np.float32)[:, None, None] * 0.01
    assert jitter(drift) < 1e-6
    shaken = drift.copy()
    shaken[::2, LIPS] += 0.01
    assert jitter(shaken) > 0.01


def test_silence_closure_is_a_share() -> None:
    opening = np.array([0.0, 0.0, 0.2, 0.2], np.float32)
    assert silence_closure(opening, np.array([True, True, True, False])) == pytest.approx(2 / 3)


def test_lag_is_corrected(opening: np.ndarray) -> None:
    figures = clip_metrics(talking(np.roll(opening, 2)), talking(opening))
    assert figures["aperture_r"] < 0.9
    assert figures["aperture_r_lag_corrected"] > 0.99
    assert figures["offset_frames"] == 2


def test_bootstrap_interval_holds_the_mean_and_narrows_with_speakers() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    few, many = bootstrap_interval(values[:20]), bootstrap_interval(np.append(values, np.nan))
    assert many[0] < 0.5 < many[1]
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    assert np.isnan(bootstrap_interval(np.array([np.nan]))).all()
