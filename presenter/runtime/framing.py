"""How a presenter is shown: the picture's size, how near they are, and what is behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType

from models.identity import READ_HEIGHT, Identity
from presenter.errors import PresenterError
from presenter.runtime.output import Output
from stream.files.movie import ALPHA_SUFFIXES, SoundFormat
from stream.files.pictures import is_picture_pattern
from stream.framing.canvas import FRAMINGS, OWN, Canvas
from stream.media import FloatArray, VideoFrame

TRANSPARENT = "transparent"
"""No background: the film has an alpha channel."""
PHOTO = "photo"
"""The photo's own framing: all of it, in its own size, at most 1080p. A presenter without one: their whole picture."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """What the user chose.

    Attributes:
        size: `own` (512 pixels high), `photo` (see `PHOTO`), one of `stream.framing.canvas.SIZES`, or `WIDTHxHEIGHT` in
            pixels.
        distance: One of `stream.framing.canvas.FRAMINGS`.
        background: As of `Canvas`; `transparent` for films only.
    """

    size: str = OWN
    distance: str = "medium"
    background: str = OWN

    def canvas(self, own_size: tuple[int, int]) -> Canvas | None:
        """The canvas for a presenter whose own frames have a size `(height, width)`; None to show them as they are.

        Raises:
            CanvasError: If something can't be used; says what was expected.
            PresenterError: If there is no such distance.
        """
        if self.distance not in FRAMINGS:
            raise PresenterError(f"framing: expected {', '.join(FRAMINGS)}, got {self.distance!r}")
        background = OWN if self.background == TRANSPARENT else self.background
        if (self.size, background, FRAMINGS[self.distance]) == (OWN, OWN, 1.0):
            return None
        height, width = own_size
        size: str | tuple[int, int] = (width, height) if self.size == PHOTO else self.size
        if self.size == OWN:  # frames may be finer, for a presenter who is near
            shown = min(height, READ_HEIGHT)
            size = round(width * shown / height), shown
        canvas = Canvas(size, background, scale=FRAMINGS[self.distance])
        as_it_is = (canvas.height, canvas.width, background, self.distance) == (height, width, OWN, "medium")
        return None if as_it_is else canvas

    def frame_size(self, identity: Identity) -> tuple[int, int]:
        """`(height, width)` in which a presenter's own frames are rendered: as they are shown, if the picture allows.

        Raises:
            CanvasError, PresenterError: As of `canvas`.
        """
        rows, columns = identity.frame.shape[:2]
        if identity.template is not None:
            return rows, columns
        if self.size == PHOTO:
            height, width = (identity.frame if identity.photo is None else identity.photo.picture).shape[:2]
            return height, width
        own = identity.shrunk(READ_HEIGHT)
        height, width = own.frame.shape[:2]
        canvas = self.canvas((height, width))
        shown = height if canvas is None else canvas.frame_height(own.frame, own.matte)
        height = min(max(-(-shown // 4) * 4, height), rows)
        return height, round(columns * height / rows)

    def shown(self, identity: Identity) -> Identity:
        """A presenter with the picture that is rendered, of `frame_size`."""
        shown = identity.whole() if self.size == PHOTO else identity.shrunk(self.frame_size(identity)[0])
        return replace(shown, photo=None)

    def check(self, out: Output) -> None:
        """Check before any work is done.

        Raises:
            PresenterError: If the output's format has no transparency, or a setting can't be used.
            CanvasError: If one can't be used.
        """
        self.canvas((512, 512))
        if self.background != TRANSPARENT or (out.path is not None and is_picture_pattern(out.path)):
            return
        if out.path is None or out.path.suffix.lower() not in ALPHA_SUFFIXES:
            known = ", ".join(ALPHA_SUFFIXES)
            raise PresenterError(f"{out}: expected a name in {known}, or pictures, for a transparent background")


DEFAULT_FRAMING = Framing()


class Film:
    """A context manager that writes a presenter's frames as they are to be shown, with their sound.

    Args:
        out: The output.
        framing: How they are shown.
        own_size: `(height, width)` of the frames.
        audio: The sound.
        duration_s: How long it will be, as far as is known.
        cut_out: Called once if frames must carry their `cutout`.

    Raises:
        MattingError: If the background is to be replaced and the presenter has no matte and none can be made.
    """

    def __init__(
        self,
        out: Output,
        framing: Framing,
        own_size: tuple[int, int],
        audio: SoundFormat,
        duration_s: float | None,
        cut_out: Callable[[], None],
    ) -> None:
        self._canvas = framing.canvas(own_size)
        self._transparent = framing.background == TRANSPARENT
        self.needs_cutout = self._transparent or (self._canvas is not None and self._canvas.needs_cutout)
        """Whether frames must carry their `cutout`."""
        if self.needs_cutout:
            cut_out()
        size = own_size if self._canvas is None else (self._canvas.height, self._canvas.width)
        self._writer = out.open_film(size, audio, duration_s, alpha=self._transparent)

    def __enter__(self) -> Film:
        """Open the output."""
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish it, or leave nothing behind after an error."""
        self._writer.__exit__(kind, error, trace)

    def write(self, frame: VideoFrame) -> None:
        """Add the next frame; raises `MediaFileError`."""
        shown = frame if self._canvas is None else self._canvas.reframe(frame, cutout=self._transparent)
        picture = shown.cutout if self._transparent else shown.rgb
        assert picture is not None
        self._writer.write(picture)

    def write_sound(self, piece: FloatArray) -> None:
        """Add the next sound, float32 `[C, N]`; raises `MediaFileError`."""
        self._writer.write_sound(piece)
