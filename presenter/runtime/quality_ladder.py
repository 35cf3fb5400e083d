"""What is rendered when frames cost more than there is time for: decided by what they cost, without clock or threads.

Full quality renders every chunk's frame. On the rungs below, every second, third … chunk's mouth is rendered. Between
them the head moves on, with the mouth that was rendered last (`RenderFrame`'s `keep_mouth`), if that is cheap enough to
take no time from the mouths. Which other rungs were measured and left out, see docs/adr/0018.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Literal, NamedTuple

FULL_RATE_MS = 38.0
"""Up to this time for a frame, 25 a second are rendered; up to twice as much, every second one, and so on: fewer frames
at a steady rate look better than more frames at an uneven one."""

Quality = Literal["good", "reduced"]
_BACK = 0.85  # a better rung is taken when it needs only this share of the time there is
_REMEMBERED = 9  # of the latest frames with a kept mouth
_AGAIN_MS = 5000.0  # what was measured so long ago is measured again


class Rung(NamedTuple):
    """What is rendered."""

    stride: int = 1
    """Chunks per rendered mouth."""
    moves_between: bool = False
    """Whether the head moves in the frames between."""

    @property
    def quality(self) -> Quality:
        """In one word."""
        return "good" if self.stride == 1 else "reduced"


def stride_for(frame_ms: float, stride: int) -> int:
    """Return the stride, in chunks per rendered frame, given the present one.

    It falls only with a margin (hysteresis), so that it does not oscillate.
    """
    while frame_ms > stride * FULL_RATE_MS:
        stride += 1
    while stride > 1 and frame_ms < _BACK * (stride - 1) * FULL_RATE_MS:
        stride -= 1
    return stride


class QualityLadder:
    """Chooses the rung. Times are arguments, in ms."""

    def __init__(self) -> None:
        """Begin with full quality."""
        self.rung = Rung()
        """What to render now."""
        self._between: deque[float] = deque(maxlen=_REMEMBERED)
        self._between_at = 0.0

    @property
    def between_ms(self) -> float:
        """How long a frame with a kept mouth takes; 0 until one was measured, so that one is tried."""
        return median(self._between) if self._between else 0.0

    def note_between(self, took_ms: float, now_ms: float) -> None:
        """Note how long a frame with a kept mouth took."""
        self._between.append(took_ms)
        self._between_at = now_ms

    def decide(self, frame_ms: float, now_ms: float) -> Rung:
        """Choose the rung for whole frames that take `frame_ms`; it is kept in `rung`."""
        if self._between and now_ms - self._between_at > _AGAIN_MS:
            self._between.clear()
        stride = stride_for(frame_ms, self.rung.stride)
        time_ms = stride * FULL_RATE_MS
        if not (self.rung.moves_between and stride == self.rung.stride):
            time_ms *= _BACK
        cost_ms = frame_ms + (stride - 1) * self.between_ms
        self.rung = Rung(stride, stride > 1 and cost_ms <= time_ms)
        return self.rung
