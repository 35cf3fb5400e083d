"""How much sound to hold back: enough for the jitter that was seen, no more than that.

Sound that waits is delay; sound that is missing is a hole in a word. The target starts small, grows
by a chunk at each hole, and shrinks slowly while there are none. The level is brought to the target
where it is inaudible, in pauses: see `Playout`.
"""

from __future__ import annotations

from stream.clock import samples
from stream.media import CHUNK_SAMPLES

_STEP_MS = 40.0  # one chunk
_DECAY_MS = 4.0  # per window: a grown target is back after a minute without holes
_WINDOW_TICKS = 100  # 2 s
_PAUSE_SAMPLES = samples(500)  # longer than this the source paused: that is no jitter
_BAND_MS = 60.0  # the level may be this far below the target: it swings by a chunk and a tick

assert samples(_STEP_MS) == CHUNK_SAMPLES


class JitterTarget:
    """The target, and how far the level is from it. Levels in ms, times in samples at 16 kHz."""

    def __init__(self, base_ms: float, max_ms: float) -> None:
        """Begin at `base_ms` and never go above `max_ms`."""
        self._base_ms, self._max_ms = base_ms, max_ms
        self._grown_ms = 0.0
        self._starved_at: int | None = None
        self._least_ms: float | None = None
        self._window_least_ms = float("inf")
        self._window_ticks = 0

    @property
    def target_ms(self) -> float:
        """What is to be held when play starts or resumes."""
        return min(self._base_ms + self._grown_ms, self._max_ms)

    @property
    def slack_ms(self) -> float:
        """How much of the level was not needed during the last window and is above the target."""
        return 0.0 if self._least_ms is None else max(0.0, self._least_ms - self.target_ms)

    @property
    def is_thin(self) -> bool:
        """Whether the level fell further below the target than its usual swing."""
        return self._least_ms is not None and self._least_ms < self.target_ms - _BAND_MS

    def observe(self, level_ms: float) -> None:
        """Note the level; call it every tick (20 ms) while something plays."""
        self._window_least_ms = min(self._window_least_ms, level_ms)
        self._window_ticks += 1
        if self._window_ticks == _WINDOW_TICKS:
            least = self._window_least_ms
            self._restart_window()
            self._least_ms = least
            self._grown_ms = max(0.0, self._grown_ms - _DECAY_MS)

    def starve(self, time: int) -> None:
        """Note a hole: there was nothing to play at `time`."""
        self._starved_at = time
        self._grown_ms = min(self._grown_ms + _STEP_MS, self._max_ms - self._base_ms)
        self._restart_window()

    def is_full(self, level_ms: float, waited_ms: float, time: int) -> bool:
        """Whether play may start with `level_ms`, the oldest of which has waited `waited_ms`.

        Waiting counts like sound: an utterance shorter than the target has to start as well.
        """
        if self._starved_at is not None and time - self._starved_at > _PAUSE_SAMPLES:
            self._starved_at = None
            self._grown_ms = max(0.0, self._grown_ms - _STEP_MS)
        return max(level_ms, waited_ms) >= self.target_ms

    def start(self) -> None:
        """Note that play starts or resumes: older levels say nothing about what follows."""
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
