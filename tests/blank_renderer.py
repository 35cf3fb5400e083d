"""A renderer of blank frames, for tests about time."""

from __future__ import annotations

from collections import deque

import numpy as np

from models.head_motion import HeadMotion, IdleMotion
from models.identity import SpeakingStyle
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame


class BlankRenderer:
    """A `FrameRenderer` with the look-ahead of the real one; what it costs is its executor's affair."""

    latency_samples = 2 * CHUNK_SAMPLES
    matte = False

    def __init__(self, side: int = 16) -> None:
        """Render grey squares of this side."""
        self.motion: HeadMotion = IdleMotion()
        self.speaking_style: SpeakingStyle | None = None
        self.size = side, side
        self._waiting: deque[AudioChunk] = deque()
        self._grey = np.full((side, side, 3), 128, np.uint8)

    def advance(self, chunk: AudioChunk) -> list[tuple[AudioChunk, RenderFrame]]:
        self._waiting.append(chunk)
        if len(self._waiting) * CHUNK_SAMPLES <= self.latency_samples:
            return []
        complete = self._waiting.popleft()
        return [(complete, lambda **_: VideoFrame(self._grey, complete.pts))]

    def add_matte(self) -> None:
        raise AssertionError("nobody wants it")

    def remove_matte(self) -> None:
        """There is none."""

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        raise AssertionError("nobody interrupts")

    def take_over(self, other: FrameRenderer) -> None:
        raise AssertionError("nobody else is shown")

    def close(self) -> None:
        """Nothing to give back."""
