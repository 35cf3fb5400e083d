"""The user's own picture with a presenter's face, in step with the microphone's sound.

What is shown is either a picture in which the one face was swapped, or the presenter's still: never a picture of the
user as it is, not for a frame.
"""

from __future__ import annotations

from collections import deque
from functools import partial

import cv2
import numpy as np

from models.head_motion import HeadMotion, IdleMotion
from models.identity import SpeakingStyle
from models.matting import MattingError
from presenter.meeting.face_watcher import FaceWatcher
from presenter.meeting.moments import Moments
from presenter.meeting.status import Swap
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from presenter.runtime.identity_folder import StoredIdentity
from presenter.video.live_swap import LiveSwap
from presenter.video.swap import check_consent, labelled, source_texture
from stream.clock import SessionClock, samples
from stream.framing.canvas import Canvas
from stream.media import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk, ByteArray, VideoFrame, silence

_LATENCY = 2 * CHUNK_SAMPLES  # as of the presenters; in it the webcam's pictures arrive and are tracked
_STEADY = samples(300)  # after a problem the still stays for so long, so that it doesn't flicker


class SwapRenderer:
    """A `FrameRenderer` whose frames are the webcam's, with another face.

    Args:
        stored: whose face; consent must be recorded.
        watcher: the user; may be shared with the renderers before and after.
        clock: the session's.
        size: `(width, height)` of the frames.

    Raises:
        ConsentError: if nobody's consent is recorded.
    """

    def __init__(
        self, stored: StoredIdentity, watcher: FaceWatcher, clock: SessionClock, size: tuple[int, int]
    ) -> None:
        check_consent(stored)
        self.motion: HeadMotion = IdleMotion()
        """Not used: the user moves."""
        self.speaking_style: SpeakingStyle | None = None
        """Not used: the user speaks."""
        self._watcher = watcher
        self._size = size
        self._swap = LiveSwap(source_texture(stored))
        self._moments = Moments(clock)
        self._waiting: deque[AudioChunk] = deque()
        self._troubled = -_STEADY
        self._still = labelled(Canvas(size).compose(VideoFrame(stored.identity.frame, 0)))
        self._shown = self._still
        self._shown_time = -1

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        return self._size[1], self._size[0]

    @property
    def latency_samples(self) -> int:
        """How much later than its sound a frame is rendered, in samples at 16 kHz."""
        return _LATENCY

    @property
    def matte(self) -> bool:
        """Never: the user's own background stays."""
        return False

    def add_matte(self) -> None:
        """Refuse.

        Raises:
            MattingError: always.
        """
        raise MattingError("a swapped face keeps its own background")

    def remove_matte(self) -> None:
        """There is none."""

    def advance(self, chunk: AudioChunk) -> list[tuple[AudioChunk, RenderFrame]]:
        """Take a chunk; the one that was pushed `latency_samples` ago is complete with it."""
        self._waiting.append(chunk)
        if len(self._waiting) * CHUNK_SAMPLES <= _LATENCY:
            return []
        complete = self._waiting.popleft()
        return [(complete, partial(self._render, complete.pts))]

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Drop the sound that was pushed; see `FrameRenderer.interrupt`."""
        self._waiting.clear()
        while len(self._waiting) * CHUNK_SAMPLES < _LATENCY:
            self._waiting.append(silence(pts))
            pts += CHUNK_SAMPLES
        return pts

    def take_over(self, other: FrameRenderer) -> None:
        """Continue with this face where another one stops.

        Raises:
            TypeError: if `other` is not a `SwapRenderer`.
        """
        if not isinstance(other, SwapRenderer):
            raise TypeError(f"take_over: expected a SwapRenderer, got {type(other).__name__}")
        self._waiting, self._moments = other._waiting, other._moments
        self._swap.continue_from(other._swap)
        self._troubled = other._troubled

    def close(self) -> None:
        """Nothing to release: the watcher is the caller's."""

    def _render(self, pts: int, *, keep_mouth: bool = False) -> VideoFrame:
        if not keep_mouth:
            self._moments.advance(pts // CHUNK_SAMPLES)
            self._show(self._moments.now)
        return VideoFrame(self._shown, pts)

    def _show(self, moment: int) -> None:
        """Choose what to show: the picture of a moment with its face swapped, or the still."""
        seen = Swap.OFF if self._watcher.hidden else self._watcher.at(moment)
        if isinstance(seen, Swap):
            self._fail(seen, moment)
            return
        (time, rgb, _, _), face = seen
        if time == self._shown_time:
            return
        swapped = self._swap.swap(rgb, face, time / SAMPLE_RATE)
        if swapped is None:
            self._fail(Swap.COVERED if self._swap.covered else Swap.LEARNING, moment)
        elif moment - self._troubled >= _STEADY:
            self._watcher.shows, self._shown_time = Swap.SWAPPED, time
            self._shown = labelled(fitted(swapped, self._size))

    def _fail(self, why: Swap, moment: int) -> None:
        self._watcher.shows, self._troubled = why, moment
        self._shown, self._shown_time = self._still, -1


def fitted(picture: ByteArray, size: tuple[int, int]) -> ByteArray:
    """A whole picture in the middle of a frame of a size `(width, height)`, with bars where the shapes differ."""
    width, height = size
    rows, columns = picture.shape[:2]
    factor = min(width / columns, height / rows)
    wide, high = round(columns * factor), round(rows * factor)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    picture = picture if factor == 1 else cv2.resize(picture, (wide, high), interpolation=how)
    if (wide, high) == size:
        return picture
    frame = np.zeros((height, width, 3), np.uint8)
    top, left = (height - high) // 2, (width - wide) // 2
    frame[top : top + high, left : left + wide] = picture
    return frame
