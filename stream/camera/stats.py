"""Counters of a camera: frames sent, their lateness and their rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from stream.clock import samples
from stream.media import SAMPLE_RATE

_WINDOW = samples(2000)
_LEAST = samples(500)
_LATENESS_KEPT = 1500  # a minute of frames
_TIMES_KEPT = 256


@dataclass(frozen=True, slots=True)
class CameraStats:
    """Counters since construction."""

    sent: int = 0
    """Frames that were new."""
    repeated: int = 0
    dropped: int = 0
    """New frames that were skipped for a later one, or due while the device was gone."""
    late_ms: float = 0.0
    """How late new frames left, 95th percentile of the last minute."""
    fps: float = 0.0
    """Frames a second, repeated ones included, over the last two seconds."""
    new_fps: float | None = None
    """New frames a second, over the last two seconds; None during the first half second of frames."""


class CameraMeter:
    """Counts frames; times are in samples at 16 kHz."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._stats = CameraStats()
        self._lateness: deque[int] = deque(maxlen=_LATENESS_KEPT)
        self._times: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._new_times: deque[int] = deque(maxlen=_TIMES_KEPT)
        self._began: int | None = None

    def sent(self, due: int, left: int) -> None:
        """Count a new frame that was due at one instant and left at another."""
        self._times.append(left)
        self._new_times.append(left)
        self._began = left if self._began is None else self._began
        self._lateness.append(left - due)
        self._stats = replace(self._stats, sent=self._stats.sent + 1)

    def repeated(self, left: int) -> None:
        """Count a frame that was sent again."""
        self._times.append(left)
        self._stats = replace(self._stats, repeated=self._stats.repeated + 1)

    def dropped(self, count: int) -> None:
        """Count new frames that were not sent."""
        self._stats = replace(self._stats, dropped=self._stats.dropped + count)

    def stats(self, now: int) -> CameraStats:
        """Return the counters; the rate is as of now."""
        recent = sum(time > now - _WINDOW for time in self._times)
        late = float(np.percentile(self._lateness, 95)) if self._lateness else 0.0
        return replace(
            self._stats,
            late_ms=1000 * late / SAMPLE_RATE,
            fps=recent * SAMPLE_RATE / _WINDOW,
            new_fps=self._new_rate(now),
        )

    def _new_rate(self, now: int) -> float | None:
        if self._began is None or now - self._began < _LEAST:
            return None
        window = min(_WINDOW, now - self._began)
        return sum(time > now - window for time in self._new_times) * SAMPLE_RATE / window
