"""Latencies of one session: medians of the latest measurements, in ms."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from stream.clock import ms

WINDOW = 50
"""Chunks over which latencies are summarised: 2 s."""
_FRAMES = 9  # the latest few frames predict how long the next one takes


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass(slots=True)
class Latencies:
    """Filled in by the session as chunks pass."""

    render: deque[float] = field(default_factory=_window)
    ready_at: deque[float] = field(default_factory=_window)
    out: deque[float] = field(default_factory=_window)
    _frame_times: deque[float] = field(default_factory=lambda: deque(maxlen=_FRAMES))
    _arrivals: dict[int, int] = field(default_factory=dict)

    @property
    def frame_ms(self) -> float:
        """How long rendering a frame takes; 0 before the first."""
        return median(self._frame_times) if self._frame_times else 0.0

    def arrived(self, pts: int, time: int) -> None:
        """Note when the chunk at `pts` arrived, on the session's clock (samples at 16 kHz)."""
        self._arrivals[pts] = time

    def rendered(self, took_ms: float) -> None:
        """Note how long a frame took."""
        self.render.append(took_ms)
        self._frame_times.append(took_ms)

    def queued(self, pts: int, now: int, queued_ms: float) -> None:
        """Note that the chunk at `pts` was queued, with `queued_ms` held by now."""
        if (arrived := self._arrivals.get(pts)) is not None:
            # Its last sample is played when all that was queued before, and then the chunk itself, has been played.
            self.out.append(ms(now - arrived) + queued_ms)

    def ready(self, pts: int, now: int) -> float | None:
        """Note that the frame at `pts` is ready; return the time since its chunk arrived, if that came from outside."""
        arrived = self._arrivals.get(pts)
        for known in [known for known in self._arrivals if known <= pts]:  # no frame of an older chunk follows
            del self._arrivals[known]
        if arrived is None:
            return None
        ready_ms = ms(now - arrived)
        self.ready_at.append(ready_ms)
        return ready_ms

    def medians(self) -> dict[str, float | None]:
        """Return `render`, `ready` and `out`, None where nothing was measured yet."""
        named = (("render", self.render), ("ready", self.ready_at), ("out", self.out))
        return {name: round(median(values), 1) if values else None for name, values in named}
