"""The One Euro filter: calm at rest, quick on the move."""

import numpy as np

from models.one_euro import OneEuro


def smooth(values: np.ndarray, rate: float, min_cutoff: float = 1.0, beta: float = 20.0) -> np.ndarray:
    euro = OneEuro(min_cutoff, beta)
    return np.array([euro.filter(np.array([value]), k / rate)[0] for k, value in enumerate(values)])


def test_jitter_at_rest_goes():
    noise = np.random.default_rng(0).normal(0, 0.002, 600)
    assert smooth(noise, 15)[30:].std() < 0.5 * noise.std()


def test_a_quick_move_is_hardly_late():
    t = np.arange(60) / 15
    ramp = np.clip(t - 1, 0, 0.5)  # one unit a second
    late_s = (ramp - smooth(ramp, 15))[18:22].mean()
    calm = (ramp - smooth(ramp, 15, beta=0.0))[18:22].mean()
    assert late_s < 0.04
    assert calm > 2.5 * late_s, "without the speed it would be"


def test_a_step_is_reached_and_not_overshot():
    step = smooth(np.repeat([0.0, 1.0], 30), 15)
    assert np.all(np.diff(step) >= 0)
    assert 0.99 < step[-1] <= 1


def test_the_rate_does_not_matter_for_what_is_slow():
    fine, coarse = (smooth(np.sin(np.arange(4 * rate) / rate), rate, beta=0.0) for rate in (30, 10))
    assert np.abs(fine[::3] - coarse).max() < 0.05


def test_forgetting():
    euro = OneEuro(1.0, 0.0)
    euro.filter(np.array([5.0]), 0.0)
    euro.reset()
    assert euro.filter(np.array([1.0]), 1.0) == 1.0
