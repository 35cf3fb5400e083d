"""A renderer whose pictures say which chunk they belong to: how far sound and picture are apart can be read off.

The renderer inside works unchanged; its frames are overlaid with stripes, the bits of the chunk's number.
Beeps in its input are recorded with their place. `presenter bench camera` and a test compare both with the output.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from presenter.bench.beeps import BeepDetector
from presenter.runtime.renderer import Renderer
from stream.media import CHUNK_SAMPLES, VOICE_RATIO, AudioChunk, ByteArray, VideoFrame

SIZE = 512  # of the picture
BITS = 20  # 11 hours of chunks
STRIPE = 20
LEFT, ROWS = 56, slice(156, 356)  # of the stripes: the borders stay as they are


class FrameIdOverlay:
    """What a renderer is to a session, with stripes on its pictures."""

    def __init__(self, renderer: Renderer) -> None:
        """Start without input."""
        self._renderer = renderer
        self.beeps = BeepDetector()
        """The input, on the timeline of the chunks' `pts`, at 48 kHz."""

    def __getattr__(self, name: str) -> Any:
        """Whatever is not marked is the renderer's."""
        return getattr(self._renderer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what is the renderer's there."""
        if name in ("_renderer", "beeps"):
            super().__setattr__(name, value)
        else:
            setattr(self._renderer, name, value)

    def push(self, chunk: AudioChunk) -> list[tuple[AudioChunk, VideoFrame]]:
        """Process a chunk and overlay the frame id on its frame."""
        self.beeps.push(chunk.voice, chunk.pts * VOICE_RATIO)
        return [(heard, mark(frame)) for heard, frame in self._renderer.push(chunk)]

    def skip(self, chunk: AudioChunk) -> list[AudioChunk]:
        """Process a chunk without rendering its frame."""
        self.beeps.push(chunk.voice, chunk.pts * VOICE_RATIO)
        return self._renderer.skip(chunk)


def marked(renderer: Renderer) -> tuple[Renderer, BeepDetector]:
    """Mark a renderer; returns it and the beeps that it will process."""
    inside = FrameIdOverlay(renderer)
    return cast(Renderer, inside), inside.beeps


def mark(frame: VideoFrame) -> VideoFrame:
    """The same picture with stripes in its middle that say its `pts`, which is a whole number of chunks."""
    number = frame.pts // CHUNK_SAMPLES
    bits = np.array([255 * (number >> bit & 1) for bit in range(BITS)], np.uint8)
    stripes = np.repeat(bits, STRIPE)[:, None]
    pictures = [None if picture is None else picture.copy() for picture in (frame.rgb, frame.cutout)]
    for picture in pictures:
        if picture is not None:
            picture[ROWS, LEFT : LEFT + BITS * STRIPE] = 255
            picture[ROWS, LEFT : LEFT + BITS * STRIPE, :3] = stripes
    rgb, cutout = pictures
    assert rgb is not None
    return VideoFrame(rgb, frame.pts, cutout)


def read_mark(picture: ByteArray) -> int:
    """Return the `pts` that a picture says, from a canvas `[H, W, 3]` that it stands in the middle of, as tall."""
    height, width = picture.shape[:2]
    columns = (width - height) / 2 + (LEFT + (np.arange(BITS) + 0.5) * STRIPE) * height / SIZE
    bits = picture[height // 2, columns.astype(int), 0] > 127
    return int(np.sum(bits << np.arange(BITS))) * CHUNK_SAMPLES
