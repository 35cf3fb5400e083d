"""The schedule of a camera: new frames at their time, the last one repeated in between. Sans-I/O.

Time is an argument, in samples at 16 kHz of the session's clock.
"""

from __future__ import annotations

from collections import deque

from stream.clock import samples
from stream.media import VideoFrame
from stream.playout.playout import Tick

_GRACE = samples(20)  # a new frame due this soon after a repetition replaces it
_TICKS_STOPPED = samples(100)  # without a tick for this long no new frame is expected
_BACKLOG = 64  # 2.5 s of frames


class Schedule:
    """The queue of frames, and which one is sent next."""

    def __init__(self, period: int, delay_ms: float) -> None:
        """Begin with a frame due at once.

        Args:
            period: from one frame to its repetition.
            delay_ms: from a tick to its frame.
        """
        self.delay_ms = delay_ms
        self.dropped = 0
        """Frames that were skipped for a later one, or dropped because the queue was full."""
        self._period = period
        self._waiting: deque[tuple[int, VideoFrame]] = deque()
        self._turn = -period
        self._last_tick = -_TICKS_STOPPED

    @property
    def first(self) -> VideoFrame | None:
        """The frame that has waited longest."""
        return self._waiting[0][1] if self._waiting else None

    def put(self, tick: Tick) -> None:
        """Take a tick, with a frame or without."""
        self._last_tick = tick.time
        if tick.frame is None:
            return
        if len(self._waiting) == _BACKLOG:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((tick.time, tick.frame))

    def overtake(self, now: int) -> None:
        """Drop frames whose successor is due."""
        while len(self._waiting) > 1 and self._due(self._waiting[1][0]) <= now:
            self._waiting.popleft()
            self.dropped += 1

    def discard(self, now: int) -> int:
        """Drop all that is due; returns how many frames that were."""
        count = 0
        while self._waiting and self._due(self._waiting[0][0]) <= now:
            self._waiting.popleft()
            count += 1
        return count

    def next(self, now: int, *, frozen: bool = False) -> tuple[int, VideoFrame | None]:
        """Return what to send next and when: a new frame, or None for the last one again."""
        again = self._turn + self._period
        if frozen:
            return again, None
        if self._waiting:
            time, frame = self._waiting[0]
            return (due, frame) if (due := self._due(time)) <= again + _GRACE else (again, None)
        is_ticking = now - self._last_tick < _TICKS_STOPPED
        known = self._due(self._last_tick)  # everything due until then has been received
        return (again + _GRACE if is_ticking and known < again + _GRACE else again), None

    def take(self, due: int, now: int, frame: VideoFrame | None) -> None:
        """Note that what `next` returned is being sent."""
        if frame is not None:
            self._waiting.popleft()
        # A repetition that is late by more than a period is skipped.
        self._turn = due if now - due < self._period else now

    def _due(self, time: int) -> int:
        return time + samples(self.delay_ms)
