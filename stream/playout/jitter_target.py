"""Adaptive jitter target: how much sound a playout buffer should hold before it plays.

Buffered sound adds delay; too little of it ends in underruns. The target starts small, grows by a chunk at each
underrun and decays slowly without any. `Playout` brings the buffer level to the target during pauses of speech.
"""

from __future__ import annotations

from stream.clock import samples
from stream.media import CHUNK_SAMPLES

_STEP_MS = 40.0  # one chunk
_DECAY_MS = 4.0  # per window: a grown target is back after a minute without underruns
_WINDOW_TICKS = 100  # 2 s
_PAUSE_SAMPLES = samples(500)  # a longer gap is a pause of the source, not jitter
_BAND_MS = 60.0  # the level swings this far below the target, by a chunk and a tick

assert samples(_STEP_MS) == CHUNK_SAMPLES


class JitterTarget:
    """The target, and how far the buffer level is from it. Levels in ms, times in samples at 16 kHz."""

    def __init__(self, base_ms: float, max_ms: float) -> None:
        """Begin at `base_ms` and never go above `max_ms`."""
        self._base_ms, self._max_ms = base_ms, max_ms
        self._grown_ms = self._held_ms = 0.0
        self._starved_at: int | None = None
        self._least_ms: float | None = None
        self._window_least_ms = float("inf")
        self._window_ticks = 0

    @property
    def target_ms(self) -> float:
        """What has to be buffered before playout starts or resumes."""
        return min(max(self._base_ms, self._held_ms) + self._grown_ms, self._max_ms)

    @property
    def slack_ms(self) -> float:
        """By how much the lowest level of the last window was above the target."""
        return 0.0 if self._least_ms is None else max(0.0, self._least_ms - self.target_ms)

    @property
    def is_thin(self) -> bool:
        """Whether the lowest level of the last window was further below the target than it usually swings."""
        return self._least_ms is not None and self._least_ms < self.target_ms - _BAND_MS

    def observe(self, level_ms: float) -> None:
        """Note the level; call it every tick (20 ms) during playout."""
        self._window_least_ms = min(self._window_least_ms, level_ms)
        self._window_ticks += 1
        if self._window_ticks == _WINDOW_TICKS:
            least = self._window_least_ms
            self._restart_window()
            self._least_ms = least
            self._grown_ms = max(0.0, self._grown_ms - _DECAY_MS)

    def hold(self, ahead_ms: float) -> None:
        """Let the target be high enough that a new chunk waits `ahead_ms` before it plays, within the limit."""
        if ahead_ms + _BAND_MS > self._held_ms and self._window_ticks:
            self._least_ms = self._window_least_ms  # known already: act on it in the next pause
        self._held_ms = ahead_ms + _BAND_MS

    def starve(self, time: int) -> None:
        """Note an underrun: nothing was buffered at `time`."""
        self._starved_at = time
        self._grown_ms = min(self._grown_ms + _STEP_MS, self._max_ms - self._base_ms)
        self._restart_window()

    def refill(self, time: int) -> None:
        """Note that sound waits at `time`; after a long pause the underrun before it was no jitter."""
        if self._starved_at is not None and time - self._starved_at > _PAUSE_SAMPLES:
            self._starved_at = None
            self._grown_ms = max(0.0, self._grown_ms - _STEP_MS)

    def is_reached(self, level_ms: float, waited_ms: float) -> bool:
        """Whether playout may start with `level_ms` buffered, the oldest of which has waited `waited_ms`.

        Waiting counts like buffered sound: an utterance shorter than the target has to start as well.
        """
        return max(level_ms, waited_ms) >= self.target_ms

    def start(self) -> None:
        """Note that playout starts or resumes, which begins a new window."""
        self._starved_at = None
        self._restart_window()

    def take(self, slack_ms: float) -> None:
        """Note that the level was lowered by `slack_ms`."""
        if self._least_ms is not None:
            self._least_ms -= slack_ms
        self._window_least_ms -= slack_ms

    def _restart_window(self) -> None:
        self._least_ms = None
        self._window_least_ms, self._window_ticks = float("inf"), 0
