"""Plays a session's sound on a device: the sample of session time s at s + delay, without drift.

The virtual camera sends the frame of the same tick at the same s + delay, so the two stay in sync (docs/adr/0010).
The event loop writes ticks to a ring buffer; the device's thread reads it through a fractional resampler, at the
position that is due when its block is played, at a rate that follows the drift between the two clocks.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from stream.media import PLAYOUT_RATE, PLAYOUT_RATIO, FloatArray, Int16Array
from stream.pcm.drift import GAP_S, OFF_S, ClockFilter
from stream.pcm.fractional_resampler import FractionalResampler
from stream.playout.playout import Tick
from stream.sound.sample_ring import SampleRing

_FOLLOW_S = 3.0
_MAX_STRETCH = 1e-3
_SKEW_OVER_S = 1.0
_FADE_S = 0.005
_SPARE_S = 2.0


@dataclass(frozen=True, slots=True)
class OutputStats:
    """Timing error of the output, and counters since construction."""

    skew_ms: float = 0.0
    """How much later than session time + delay sound is played, over the last second."""
    ppm: float = 0.0
    """By how much the device's rate exceeds its nominal rate."""
    underruns: int = 0
    """Underruns: times that sound was missing because ticks were late."""
    jumps: int = 0
    """Times that the read position was more than 50 ms off, or the delay was set, and it changed at once."""


class Playhead:
    """The read position for each block of a device. Handles no samples.

    Positions are samples at 48 kHz since the session's epoch.
    """

    def __init__(self, rate: int, delay_s: float) -> None:
        """Begin without a position, until a device of `rate` samples per second was observed for half a second."""
        self.position: float | None = None
        """Where the next block begins, or None for silence."""
        self.step = PLAYOUT_RATE / rate
        """Samples of the session per sample of the device, in the next block."""
        self.skew_s = 0.0
        self._filter = ClockFilter(rate)
        self._rate = rate
        self._delay_s = delay_s
        self._count = 0

    @property
    def ppm(self) -> float:
        """By how much the device's rate exceeds its nominal rate."""
        return self._filter.ppm

    def aim(self, count: int, heard_at_s: float, delay_s: float) -> bool:
        """Set `position` and `step` for a block.

        Args:
            count: samples in it, at least 1.
            heard_at_s: when the device will play the first of them, session time, jittery.
            delay_s: from a sample's session time to when it is to be played.

        Returns:
            Whether what follows does not continue the block before.
        """
        before = self.position
        if abs(self._filter.observe(self._count, heard_at_s)) > GAP_S:
            self.position = None
        due = (self._filter.time_s - delay_s) * PLAYOUT_RATE
        if self.position is None:
            if self._filter.settled:
                self.position, self.skew_s = due, 0.0
        elif delay_s != self._delay_s or (self._filter.settled and abs(due - self.position) > OFF_S * PLAYOUT_RATE):
            self.position, self.skew_s = due, 0.0
        self._delay_s, self._count = delay_s, count
        self._follow(due)
        return before is not None and self.position != before

    def advance(self) -> None:
        """Advance to the next block."""
        if self.position is not None:
            self.position += self._count * self.step

    def _follow(self, due: float) -> None:
        """Choose the resampling rate that removes the timing error within some seconds."""
        late_s = 0.0
        if self.position is not None and self._filter.settled:
            late_s = (due - self.position) / PLAYOUT_RATE
            self.skew_s += (late_s - self.skew_s) * min(1.0, self._count / self._rate / _SKEW_OVER_S)
        stretch = self._filter.period_s * self._rate * (1.0 + late_s / _FOLLOW_S)
        self.step = PLAYOUT_RATE / self._rate * min(max(stretch, 1.0 - _MAX_STRETCH), 1.0 + _MAX_STRETCH)


@dataclass(slots=True)
class _Reading:
    """A read position, its step and its gain; a jump cross-fades from one to another."""

    position: float
    step: float
    gain: float = 0.0


class DelayedPlayer:
    """A `stream.playout.pump.TickSink` that a device's callback reads from.

    `release` and `stop` belong to the event loop, `fill` to the device's thread; the rest may be called from
    either.
    """

    def __init__(self, delay_ms: float, rate: int = PLAYOUT_RATE) -> None:
        """Start silent.

        Args:
            delay_ms: from a tick to its sound; at least what the device's latency, one of its
                blocks, a tick and 6 ms add up to.
            rate: samples per second of the device.
        """
        self._delay_s = delay_ms / 1000
        self._rate = rate
        self._head = Playhead(rate, self._delay_s)
        self._resampler = FractionalResampler(PLAYOUT_RATE / rate)
        self._ring = SampleRing(self._capacity(), round(_FADE_S * PLAYOUT_RATE))
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._leaving: _Reading | None = None
        self._stopped = self._dry = False
        self._underruns = self._jumps = 0

    @property
    def delay_ms(self) -> float:
        """From a tick to its sound."""
        return self._delay_s * 1000

    def set_delay(self, delay_ms: float) -> None:
        """Move to another delay, by a cross-fade of 5 ms; copies what is buffered."""
        with self._lock:
            self._delay_s = delay_ms / 1000
            self._ring.resize(self._capacity())

    def release(self, tick: Tick) -> None:
        """Take one tick; its sound is played `delay_ms` after `tick.time`."""
        with self._lock:
            self._ring.put(tick.time * PLAYOUT_RATIO, tick.audio)

    def stop(self) -> None:
        """Note that no more ticks will come: what is buffered is played, and silence after it is no underrun."""
        self._stopped = True

    def stats(self) -> OutputStats:
        """Return the state now and the counters."""
        return OutputStats(self._head.skew_s * 1000, self._head.ppm, self._underruns, self._jumps)

    def fill(self, count: int, heard_at_s: float) -> Int16Array:
        """Return the next block for the device.

        Args:
            count: samples wanted, at the device's rate.
            heard_at_s: session time at which the device will play the first of them; jitter is filtered out.

        Returns:
            int16 `[count]`; silence where nothing was released.
        """
        if count <= 0:
            return np.zeros(0, np.int16)
        if self._head.aim(count, heard_at_s, self._delay_s):
            self._leaving, self._reading = self._reading, None
            self._jumps += self._head.position is not None
        made = np.zeros(count, np.float32)
        if self._leaving is not None:
            made += self._read(self._leaving, count, rising=False)
            if not self._leaving.gain:
                self._leaving = None
        if self._head.position is not None:
            gain = 0.0 if self._reading is None else self._reading.gain
            self._reading = _Reading(self._head.position, self._head.step, gain)
            made += self._read(self._reading, count, rising=True)
        self._head.advance()
        return np.clip(np.rint(made), -32768, 32767).astype(np.int16)

    def _capacity(self) -> int:
        return round((self._delay_s + _SPARE_S) * PLAYOUT_RATE)

    def _read(self, reading: _Reading, count: int, *, rising: bool) -> FloatArray:
        """Read on, fading in or out."""
        at = reading.position + reading.step * np.arange(count)
        first = math.floor(at[0]) - self._resampler.reach + 1
        last = math.floor(at[-1]) + self._resampler.reach
        with self._lock:
            near, end = self._ring.cut(first, last + 1), self._ring.end
            ticking = not (self._ring.is_empty or self._stopped)
        ramp = np.arange(1, count + 1) / (_FADE_S * self._rate)
        gain = np.minimum(reading.gain + ramp, 1.0) if rising else np.maximum(reading.gain - ramp, 0.0)
        # Fade out before the end of the ring: later samples would be late.
        left = (end - self._resampler.reach - at) / (_FADE_S * PLAYOUT_RATE)
        gain = np.minimum(gain, np.clip(left, 0.0, 1.0))
        if rising:
            dry = ticking and left[-1] < 1.0
            self._underruns += dry and not self._dry
            self._dry = dry
        at_first, reading.gain = reading.position - first, float(gain[-1])
        reading.position += count * reading.step
        if not near.any():
            return np.zeros(count, np.float32)
        return self._resampler.pull(near, at_first, reading.step, count) * gain.astype(np.float32)
