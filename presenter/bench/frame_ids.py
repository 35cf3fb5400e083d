"""A renderer whose frames carry their chunk's number, so that the offset of audio and video can be measured.

The wrapped renderer is unchanged; stripes on its frames carry the bits of the chunk's number. Beeps in
the chunks are noted with their position. `presenter bench camera` and a test compare both with the output.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from models.head_motion import HeadMotion
from models.identity import SpeakingStyle
from presenter.bench.beeps import BeepDetector
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from stream.media import CHUNK_SAMPLES, PLAYOUT_RATIO, AudioChunk, ByteArray, VideoFrame

SIZE = 512  # of the frame in which the following are pixels; others are scaled
BITS = 20  # 11 hours of chunks
STRIPE = 20
LEFT, ROWS = 56, (156, 356)  # of the stripes: the borders stay as they are


class FrameIdOverlay:
    """A `FrameRenderer` that draws stripes on another one's frames."""

    def __init__(self, renderer: FrameRenderer) -> None:
        """Process nothing yet."""
        self._renderer = renderer
        self.beeps = BeepDetector()
        """The beeps that were pushed, on the timeline of the chunks' `pts`, at 48 kHz."""

    @property
    def motion(self) -> HeadMotion:
        """What moves head and eyelids."""
        return self._renderer.motion

    @motion.setter
    def motion(self, motion: HeadMotion) -> None:
        self._renderer.motion = motion

    @property
    def speaking_style(self) -> SpeakingStyle | None:
        """How the mouth moves."""
        return self._renderer.speaking_style

    @speaking_style.setter
    def speaking_style(self, style: SpeakingStyle | None) -> None:
        self._renderer.speaking_style = style

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        return self._renderer.size

    @property
    def latency_samples(self) -> int:
        """The look-ahead, in samples at 16 kHz."""
        return self._renderer.latency_samples

    @property
    def matte(self) -> bool:
        """Whether frames carry their `cutout`."""
        return self._renderer.matte

    def add_matte(self) -> None:
        """Let frames carry their `cutout`."""
        self._renderer.add_matte()

    def remove_matte(self) -> None:
        """Let frames carry no `cutout`."""
        self._renderer.remove_matte()

    def advance(self, chunk: AudioChunk) -> list[tuple[AudioChunk, RenderFrame]]:
        """Process a chunk; the frame that is complete with it will be marked."""
        self.beeps.push(chunk.audio, chunk.pts * PLAYOUT_RATIO)
        return [(complete, partial(_marked, render)) for complete, render in self._renderer.advance(chunk)]

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Drop what was pushed and close the mouth."""
        return self._renderer.interrupt(shown_pts, pts)

    def take_over(self, other: FrameRenderer) -> None:
        """Continue where another presenter stops, with an overlay or without."""
        self._renderer.take_over(other._renderer if isinstance(other, FrameIdOverlay) else other)

    def close(self) -> None:
        """Release the renderer."""
        self._renderer.close()


def _marked(render: RenderFrame, *, keep_mouth: bool = False) -> VideoFrame:
    return mark(render(keep_mouth=keep_mouth))


def mark(frame: VideoFrame) -> VideoFrame:
    """The same frame with stripes in its middle that encode its `pts`, which is a whole number of chunks."""
    number = frame.pts // CHUNK_SAMPLES
    bits = np.array([255 * (number >> bit & 1) for bit in range(BITS)], np.uint8)
    pictures = [None if picture is None else picture.copy() for picture in (frame.rgb, frame.cutout)]
    for picture in pictures:
        if picture is not None:
            scale = picture.shape[0] / SIZE
            first, last, top, bottom = (round(scale * edge) for edge in (LEFT, LEFT + BITS * STRIPE, *ROWS))
            columns = (np.arange(first, last) + 0.5) / scale - LEFT
            picture[top:bottom, first:last] = 255
            picture[top:bottom, first:last, :3] = bits[(columns / STRIPE).astype(int)][:, None]
    rgb, cutout = pictures
    assert rgb is not None
    return VideoFrame(rgb, frame.pts, cutout)


def read_mark(picture: ByteArray) -> int:
    """Return the `pts` that a frame encodes, from a canvas `[H, W, 3]` of its height with the frame at its centre."""
    height, width = picture.shape[:2]
    columns = (width - height) / 2 + (LEFT + (np.arange(BITS) + 0.5) * STRIPE) * height / SIZE
    bits = picture[height // 2, columns.astype(int), 0] > 127
    return int(np.sum(bits << np.arange(BITS))) * CHUNK_SAMPLES
