"""Which moment of the user a frame shows: in step with its sound, evenly spaced though frames are rendered unevenly."""

from __future__ import annotations

from stream.clock import SessionClock, samples
from stream.media import CHUNK_SAMPLES

DELAY_MS = 120.0
"""From the moment that a frame shows to its rendering: its sound lasts 40 ms, and the model's look-ahead is 80 ms. A
microphone adds latency to that, and a webcam more."""

_OFF_SAMPLES = samples(200)  # a timeline that is further off was interrupted
_CREEP = 0.05  # share of a timeline's error that is corrected per frame


class Moments:
    """The moments of consecutive frames.

    Frames are rendered at irregular times but are 40 ms apart in content: so are their moments, and their error
    against the clock is corrected gradually.
    """

    def __init__(self, clock: SessionClock, delay_ms: float = DELAY_MS) -> None:
        """Begin with the next frame.

        Args:
            clock: the session's.
            delay_ms: from the moment that a frame shows to its rendering.
        """
        self.now = 0
        """The moment of the last frame, in samples of the clock."""
        self._clock = clock
        self._delay = samples(delay_ms)
        self._frame: int | None = None

    def advance(self, frame: int) -> bool:
        """Go on to the moment of a frame that is rendered now; True if it does not continue from the last frame's."""
        wanted = self._clock.now() - self._delay
        if self._frame is None:
            self._frame, self.now = frame, wanted
            return False
        moment = self.now + (frame - self._frame) * CHUNK_SAMPLES
        off = wanted - moment
        was_cut = frame <= self._frame or abs(off) > _OFF_SAMPLES
        self.now = wanted if was_cut else moment + round(_CREEP * off)
        self._frame = frame
        return was_cut
