"""A microphone's clock is followed for hours, and its samples come out by the session's."""

from __future__ import annotations

import numpy as np
import pytest

from stream.pcm.drift import ClockFilter, DriftCorrector, RateController

RATE = 48_000
HOUR_S = 3600


def arrivals(seed: int, count: int, block_s: float, *, burst: int = 1) -> np.ndarray:
    """When each block of a device arrives: with the last of its burst, a little late, now and then 30 ms late."""
    draw = np.random.default_rng(seed)
    whole = (np.arange(count) // burst + 1) * burst * block_s
    late = np.where(draw.random(count) < 0.002, draw.uniform(0.01, 0.03, count), 0.0)
    return np.maximum.accumulate(whole + draw.exponential(0.0008, count) + late)


def paired(seed: int, count: int, block_s: float) -> np.ndarray:
    """The same for large blocks: every third is 10 ms late as well, as pairs of callbacks are."""
    return arrivals(seed, count, block_s) + 0.01 * (np.random.default_rng(seed + 1).random(count) < 0.3)


def excess_ms(block: int, times: np.ndarray, ppm: float) -> tuple[np.ndarray, RateController]:
    """Run the control alone; return how much more came out than session time has passed, after each block."""
    controller, out = RateController(RATE, 16), np.zeros(len(times))
    for k, now_s in enumerate(times.tolist()):
        out[k] = controller.advance(block, now_s).count
    true_s = np.arange(1, len(times) + 1) * block / RATE / (1 + ppm * 1e-6)
    return (np.cumsum(out) / RATE - true_s) * 1e3, controller


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [100, -100])
def test_over_eight_hours_as_many_samples_come_out_as_the_session_lasts(ppm: float) -> None:
    block = 1_920  # 40 ms: a quarter of the callbacks there would be
    block_s = block / RATE / (1 + ppm * 1e-6)
    excess, controller = excess_ms(block, paired(0, int(8 * HOUR_S / block_s), block_s), ppm)
    settled = excess[int(5 / block_s) :]
    print(
        f"{ppm:+} ppm: {settled.min():+.2f}..{settled.max():+.2f} ms over 8 h,"
        f" {controller.filter.ppm:+.1f} ppm at the end"
    )
    assert np.abs(settled).max() < 5
    assert abs(controller.filter.ppm - ppm) < 15


@pytest.mark.parametrize("burst", [1, 2, 4])
@pytest.mark.parametrize("ppm", [100, -300])
def test_bursts_of_callbacks_do_not_disturb(burst: int, ppm: float) -> None:
    block_s = 480 / RATE / (1 + ppm * 1e-6)
    excess, controller = excess_ms(480, arrivals(1, int(300 / block_s), block_s, burst=burst), ppm)
    settled = excess[int(5 / block_s) :]
    assert np.abs(settled).max() < 5
    assert abs(controller.filter.ppm - ppm) < 15


def test_the_speed_is_limited_and_changes_slowly() -> None:
    controller = RateController(RATE, 16)
    steps = np.array(
        [controller.advance(480, now_s).step for now_s in (arrivals(2, 6_000, 0.01 / 1.002, burst=4)).tolist()]
    )
    assert np.abs(steps - 1).max() <= 500.001e-6
    assert np.abs(np.diff(steps)).max() <= 1.001e-6, "100 ppm a second"


def test_the_filter_smooths_and_learns() -> None:
    times, block_s = ClockFilter(RATE), 480 / RATE / 1.0001
    errors = []
    for k, at_s in enumerate(arrivals(3, 12_000, block_s, burst=2).tolist()):
        times.observe(480, at_s)
        errors.append(times.time_s - (k + 1) * block_s)
    late = np.array(errors[500:]) * 1e3
    assert late.std() < 0.3, "the jitter's is 5 ms"
    assert 5 < late.mean() < 7, "its mean remains: half a burst, and a little"
    assert abs(times.ppm - 100) < 10


def test_the_filter_starts_afresh_after_a_gap_and_keeps_the_rate() -> None:
    times = ClockFilter(RATE)
    for k in range(6_000):
        times.observe(480, k * 0.01 / 1.0001)
    ppm = times.ppm
    assert times.settled
    assert times.observe(480, 100.0) == pytest.approx(40.0, abs=0.01)
    assert times.time_s == 100.0
    assert not times.settled
    assert times.ppm == ppm > 90


@pytest.mark.parametrize("shift_s", [0.2, -0.2])
def test_the_filter_starts_afresh_after_a_lasting_shift(shift_s: float) -> None:
    times = ClockFilter(RATE)
    for k in range(1_000):
        times.observe(480, k * 0.01)
    for k in range(1_000, 1_100):
        times.observe(480, k * 0.01 + shift_s)
    assert times.time_s == pytest.approx(10.99 + shift_s, abs=1e-3)


def test_a_late_burst_is_no_shift() -> None:
    times = ClockFilter(RATE)
    for k in range(1_000):
        times.observe(480, k * 0.01)
    for _ in range(1_000, 1_040):
        times.observe(480, 10.40)
    assert times.settled
    assert times.time_s == pytest.approx(10.39, abs=5e-3)


def test_reset_equals_fresh() -> None:
    used, fresh = DriftCorrector(RATE), DriftCorrector(RATE)
    audio = np.random.default_rng(4).standard_normal(480).astype(np.float32)
    for k in range(300):
        used.push(audio, 7 + k * 0.0101)
    used.reset()
    assert used.ppm == 0
    for k in range(300):
        np.testing.assert_array_equal(used.push(audio, k * 0.01), fresh.push(audio, k * 0.01))


def test_two_correctors_equal_two_separate_ones() -> None:
    audio = np.random.default_rng(5).standard_normal(480).astype(np.float32)
    alone = DriftCorrector(RATE)
    expected = [alone.push(audio, k * 0.01 / 1.0002) for k in range(300)]
    one, other = DriftCorrector(RATE), DriftCorrector(RATE)
    for k in range(300):
        np.testing.assert_array_equal(one.push(audio, k * 0.01 / 1.0002), expected[k])
        other.push(audio, k * 0.01 / 0.9998)


def test_in_pieces_equals_whole_where_the_times_agree() -> None:
    draw = np.random.default_rng(6)
    audio = draw.standard_normal(RATE).astype(np.float32)
    whole = DriftCorrector(RATE).push(audio, 1.0)
    corrector, pieces, at = DriftCorrector(RATE), [], 0
    while at < len(audio):
        piece = audio[at : at + int(draw.integers(0, 900))]
        at += len(piece)
        pieces.append(corrector.push(piece, at / RATE))
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-3)
    np.testing.assert_allclose(whole, audio[: len(whole)], atol=1e-3)
    assert len(audio) - len(whole) <= 17, "the filter's taps are all the delay"


@pytest.mark.parametrize("ppm", [100, -100])
def test_clicks_come_out_by_the_sessions_clock(ppm: float) -> None:
    """A click every half second of the session, captured by a card whose clock is off, for a minute."""
    speed = 1 + ppm * 1e-6
    captured = np.zeros(61 * RATE, np.float32)
    clicks = np.arange(1, 120) * 0.5
    captured[np.rint(clicks * RATE * speed).astype(int)] = 1
    corrector, pieces = DriftCorrector(RATE), []
    for k, now_s in enumerate(arrivals(7, 6_000, 0.01 / speed).tolist()):
        pieces.append(corrector.push(captured[k * 480 : (k + 1) * 480], now_s))
    heard = np.flatnonzero(np.concatenate(pieces) > 0.4)
    heard = heard[np.diff(heard, prepend=-10) > 2]
    assert len(heard) == len(clicks)
    assert np.abs(heard / RATE - clicks).max() < 2e-3
    assert np.abs(np.diff(heard[60:]) - RATE / 2).max() <= 2


@pytest.mark.parametrize("gap_s", [0.2, 0.6, 3_600.0])
def test_a_gap_is_not_made_up_for(gap_s: float) -> None:
    corrector, audio, out = DriftCorrector(RATE), np.zeros(480, np.float32), []
    for k in range(6_000):
        out.append(len(corrector.push(audio, k * 0.01 + gap_s * (k >= 3_000))))
    assert abs(sum(out) - 6_000 * 480) < 50


def test_nothing_gives_nothing() -> None:
    corrector = DriftCorrector(RATE)
    assert corrector.push(np.zeros(0, np.float32), 0.0).shape == (0,)
    assert corrector.push(np.zeros(10, np.float32), 0.0).dtype == np.float32
