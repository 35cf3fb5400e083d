"""Interfaces of a renderer and of its provider, so that tests and benchmarks can substitute their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.head_motion import HeadMotion
from models.identity import SpeakingStyle
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.identity_folder import StoredIdentity
from stream.media import AudioChunk, VideoFrame


class RenderFrame(Protocol):
    """Renders one frame."""

    def __call__(self, *, keep_mouth: bool = False) -> VideoFrame:
        """Render it.

        Args:
            keep_mouth: Show the mouth that was rendered last, with this frame's head and eyelids: much cheaper.
        """


class FrameRenderer(Protocol):
    """Turns audio chunks into frames, `latency_samples` later. One thread at a time, unless said otherwise.

    Audio and frames are processed by two threads, so that audio never waits for a frame.
    """

    motion: HeadMotion
    """What moves head and eyelids; may be exchanged from any thread."""
    speaking_style: SpeakingStyle | None
    """How the mouth moves, None for the neutral style; may be exchanged from any thread."""

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""

    @property
    def latency_samples(self) -> int:
        """How much sound after a frame's own chunk has to be pushed before the frame comes, in samples at 16 kHz."""

    @property
    def matte(self) -> bool:
        """Whether frames carry their `cutout`."""

    def add_matte(self) -> None:
        """Let frames carry their `cutout`, from the next one on. May take seconds; may be called from any thread.

        Raises:
            MattingError: if the presenter has no matte and none can be made; the frames stay as they are.
        """

    def remove_matte(self) -> None:
        """Let frames carry no `cutout`, from the next one on; may be called from any thread."""

    def advance(self, chunk: AudioChunk) -> Sequence[tuple[AudioChunk, RenderFrame]]:
        """Process a chunk of audio; return the chunk that is complete with it, or nothing at first.

        Cheap, and called for every chunk. With the completed chunk comes the function that renders its frame, which is
        called once or never, by one thread that may be another, in the order of the chunks; only one that keeps the
        mouth may be called after a later one.
        """

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Drop what was pushed and close the mouth.

        Args:
            shown_pts: `pts` of the frame on the screen, or None if there is none.
            pts: where the timeline continues.

        Returns:
            The pts of the chunk to push next.
        """

    def take_over(self, other: FrameRenderer) -> None:
        """Continue where another presenter stops; `other` must not be used afterwards.

        Raises:
            TypeError: if `other` is not of the same kind.
        """

    def close(self) -> None:
        """Release the renderer; safe twice."""


class RendererPool(Protocol):
    """Provides renderers, at most one per slot at a time: `presenter.runtime.engine.Engine`."""

    @property
    def slots(self) -> int | None:
        """How many renderers may be in use at a time; None for any number."""

    @property
    def is_full(self) -> bool:
        """Whether every slot is in use now."""

    def renderer(
        self, stored: StoredIdentity, *, framing: Framing = DEFAULT_FRAMING, replaces: bool = False
    ) -> FrameRenderer:
        """Return a renderer; closing it frees its slot.

        Args:
            stored: the presenter.
            framing: how it will be shown: its frames are rendered in that size, if its picture is so fine.
            replaces: whether another one is about to be closed for it.

        Raises:
            CapacityError: if every slot is in use.
        """
