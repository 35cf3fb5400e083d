"""Clock drift of a sound card: estimated from jittery callback times, and removed by a fractional resampler.

Asynchronous sample-rate conversion: a card that is 100 ppm fast would be 2.9 s ahead after 8 hours, so its samples are
resampled to the session's clock (docs/adr/0010). Times are arguments, in seconds of the session's clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stream.media import FloatArray
from stream.pcm.fractional_resampler import FractionalResampler

GAP_S = 0.5
"""An observation further off than this means that the device or the machine was suspended."""
OFF_S = 0.05
"""A lasting error above this is no jitter: samples were lost, or the latency has changed."""
_OFF_FOR_S = 0.3
_SETTLE_S = 0.5
_MAX_DRIFT = 500e-6
_BANDWIDTH_HZ = 0.01  # 10 ms of jitter moves the time by 0.3 ms
_FIRST_BANDWIDTH_HZ = 0.03
_LEARN_S = 15.0  # with fewer observations the nominal rate is a better estimate than a fitted one

_CATCH_UP_S = 10.0
_SLEW = 100e-6  # per second


class ClockFilter:
    """Smooth time of a device's samples from the jittery times of its callbacks.

    A delay-locked loop of second order: it averages at first, learns the rate with a bandwidth of 0.03 Hz and
    narrows to 0.01 Hz within half a minute. Source: F. Adriaensen, "Using a DLL to filter time", Linux Audio
    Conference 2005. The smooth time is late by the mean of the jitter.
    """

    def __init__(self, rate: int) -> None:
        """Take a device with a nominal rate of `rate` samples per second, at most 500 ppm off."""
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """Discard all state, the estimated rate too."""
        self.period_s = 1.0 / self._rate
        """Estimated seconds of the session's clock per sample."""
        self.time_s = 0.0
        """Smooth time of the sample that was observed last."""
        self._seen = 0
        self._age_s = 0.0
        self._off_since_s: float | None = None

    @property
    def settled(self) -> bool:
        """Whether half a second was observed since the last start."""
        return self._age_s >= _SETTLE_S

    @property
    def ppm(self) -> float:
        """By how much the device's rate exceeds its nominal rate, in parts per million."""
        return (1.0 / (self.period_s * self._rate) - 1.0) * 1e6

    def observe(self, count: int, at_s: float) -> float:
        """Note when a sample was observed.

        A gap, or a lasting shift of more than 50 ms, starts the time afresh; the rate is kept.

        Args:
            count: samples between the one that was observed before and this one, at least 1 (any for the first).
            at_s: when this one was captured or will be played, jittery.

        Returns:
            By how many seconds it was later than expected; 0 for the first.
        """
        if not self._seen:
            self._start(at_s)
            return 0.0
        expected_s = self.time_s + count * self.period_s
        error_s = at_s - expected_s
        if abs(error_s) > GAP_S or self._has_shifted(error_s, at_s):
            self._start(at_s)
            return error_s
        self._seen += 1
        self._age_s += count / self._rate
        bandwidth_hz = max(_BANDWIDTH_HZ, _FIRST_BANDWIDTH_HZ * _LEARN_S / (_LEARN_S + self._age_s))
        omega = min(0.5, 2.0 * math.pi * bandwidth_hz * count / self._rate)
        heeded_s = min(max(error_s, -OFF_S), OFF_S)
        self.time_s = expected_s + max(math.sqrt(2.0) * omega, 1.0 / self._seen) * heeded_s
        period_s = self.period_s + omega * omega * heeded_s / count
        self.period_s = min(max(period_s, (1.0 - _MAX_DRIFT) / self._rate), (1.0 + _MAX_DRIFT) / self._rate)
        return error_s

    def _start(self, at_s: float) -> None:
        self.time_s = at_s
        self._seen, self._age_s, self._off_since_s = 1, 0.0, None

    def _has_shifted(self, error_s: float, at_s: float) -> bool:
        """Whether the error has lasted; observations that were only late come in a short burst."""
        if abs(error_s) <= OFF_S:
            self._off_since_s = None
        elif self._off_since_s is None:
            self._off_since_s = at_s
        return self._off_since_s is not None and at_s - self._off_since_s > _OFF_FOR_S


@dataclass(frozen=True, slots=True)
class Resampling:
    """How to resample a block of input: to `count` samples, `step` samples of input apart."""

    ahead: float
    """From the first of them to the end of the input, in samples."""
    step: float
    count: int


class RateController:
    """Chooses the resampling ratio at which a device's samples follow the session's clock."""

    def __init__(self, rate: int, reach: int) -> None:
        """Read `reach` samples behind the end of the input."""
        self._rate, self._reach = rate, reach
        self.filter = ClockFilter(rate)
        self._ahead = 0.0
        self._step = 1.0
        self._due_s = 0.0

    def advance(self, count: int, now_s: float) -> Resampling:
        """Take `count` >= 1 samples of input, the last of them captured at `now_s`."""
        self.filter.observe(count, now_s)
        self._ahead += count
        next_s = self.filter.time_s - self._ahead * self.filter.period_s
        if not self.filter.settled:
            self._due_s = next_s
        wanted = (1.0 - (next_s - self._due_s) / _CATCH_UP_S) / (self._rate * self.filter.period_s)
        wanted = min(max(wanted, 1.0 - _MAX_DRIFT), 1.0 + _MAX_DRIFT)
        change = _SLEW * count / self._rate
        self._step += min(max(wanted - self._step, -change), change)
        made = max(0, math.floor((self._ahead - self._reach - 1) / self._step) + 1)
        resampling = Resampling(self._ahead, self._step, made)
        self._ahead -= made * self._step
        self._due_s += made / self._rate
        return resampling


class DriftCorrector:
    """A microphone's samples, resampled so that `rate` of them last one second of the session's clock.

    The ratio stays within 500 ppm (a hundredth of a semitone) and changes by 100 ppm a second, which is inaudible.
    Adds 17 samples of delay. The time of a gap is not filled.
    """

    def __init__(self, rate: int) -> None:
        """Take a device with a nominal rate of `rate` samples per second; the output has exactly that rate."""
        self._rate = rate
        self._resampler = FractionalResampler()
        self.reset()

    @property
    def ppm(self) -> float:
        """By how much the device's rate is estimated to exceed its nominal rate, in parts per million."""
        return self._controller.filter.ppm

    def reset(self) -> None:
        """Discard all state."""
        self._controller = RateController(self._rate, self._resampler.reach)
        self._held: FloatArray = np.zeros(self._resampler.reach - 1, np.float32)

    def push(self, pcm: FloatArray, now_s: float) -> FloatArray:
        """Add what was captured.

        Args:
            pcm: float32 `[N]`, any N.
            now_s: when its last sample was captured; its time of arrival, at a constant delay, is enough.

        Returns:
            float32 `[M]` by the session's clock; M is N or one more or less, 17 less at first.
        """
        if not len(pcm):
            return np.zeros(0, np.float32)
        resampling = self._controller.advance(len(pcm), now_s)
        held = np.concatenate([self._held, pcm])
        position = len(held) - resampling.ahead
        self._held = held[int(position + resampling.count * resampling.step) - self._resampler.reach + 1 :]
        if not resampling.count:
            return np.zeros(0, np.float32)
        return self._resampler.pull(held, position, resampling.step, resampling.count)
