"""Composes a picture of another shape or background: the presenter, head and shoulders, with head room.

A presenter's frame is square and a camera's is wide. On a colour, an image or a blurred background the presenter is
cut out. On the presenter's own background the frame stays whole, and its background is extended beyond
the edges, so that no edge is visible and no cut-out has to be rendered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stream.errors import StreamError
from stream.framing.background import (
    SIDE_STRIP,
    TOP_STRIP,
    border_samples,
    extend_background,
    extended_positions,
    has_plain_top,
    same_background,
    soft_edges,
    without_person,
)
from stream.media import ByteArray, VideoFrame

SIZES = {
    "square": (1024, 1024), "720p": (1280, 720), "1080p": (1920, 1080), "portrait": (1080, 1920),
    "portrait-720p": (720, 1280),
}  # fmt: skip
"""Named canvas sizes: width and height."""
FRAMINGS = {"wide": 0.75, "medium": 1.0, "close": 1.25}
"""How near the presenter is: height of their frame, in heights of the canvas."""
PLACES = {"left": 0.0, "centre": 0.5, "right": 1.0}
"""Horizontal position of the presenter: share of the free width that is to the left."""
OWN = "own"
"""The presenter's own background. The default: its light and blur match the face."""
BLUR = "blur"
"""The same, blurred."""
COLOURS = {
    "aqua": "#00ffff", "black": "#000000", "blue": "#0000ff", "fuchsia": "#ff00ff", "gray": "#808080",
    "green": "#008000", "lime": "#00ff00", "maroon": "#800000", "navy": "#000080", "olive": "#808000",
    "purple": "#800080", "red": "#ff0000", "silver": "#c0c0c0", "teal": "#008080", "white": "#ffffff",
    "yellow": "#ffff00",
}  # fmt: skip
"""The basic colours of CSS."""

_CARD = (58, 66, 76)  # shown for `own` before the presenter's first frame
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_SINK = 0.05  # share of its height below the canvas, for head room
_NARROW = 1.45  # a presenter's frame is at most so many widths of the canvas high: upright ones show both cheeks


_Box = tuple[slice, slice]


class CanvasError(StreamError):
    """A setting of a canvas can't be used; says what was expected."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What is computed once per presenter."""

    size: tuple[int, int]
    """`(height, width)` of its frames."""
    border: ByteArray
    is_cutout: bool
    height: int
    width: int
    """Of the whole presenter on the canvas, in pixels."""
    top: int
    left: int
    """Where the presenter's frame begins; negative where it begins outside."""
    plate: ByteArray
    """uint8 `[H, W, 3]`: the background."""
    ramp: ByteArray
    """uint8 `[h, w]`, at the frame's own size: opacity, 0 at edges that must not be visible."""


class Canvas:
    """Composes frames of a camera. Not thread-safe: one thread composes."""

    def __init__(
        self,
        size: str | tuple[int, int] = "720p",
        background: str | Path = OWN,
        place: str = "centre",
        *,
        scale: float = 1.0,
    ) -> None:
        """Read the background.

        Args:
            size: one of `SIZES`, or width and height in pixels, both even.
            background: `own`, `blur`, `#rrggbb`, a basic colour of CSS, or an image file, cropped to the canvas.
            place: `left`, `centre` or `right`.
            scale: height of the presenter's frame, in heights of the canvas; see `FRAMINGS`.

        Raises:
            CanvasError: if one of them can't be used.
        """
        self.width, self.height = _size(size)
        if place not in PLACES:
            raise CanvasError(f"place: expected {', '.join(PLACES)}, got {place!r}")
        if not 0.2 <= scale <= 3.0:
            raise CanvasError(f"scale: expected 0.2 to 3, got {scale}")
        self._place = PLACES[place]
        self._scale = scale
        self.needs_cutout = background != OWN
        """Whether frames should carry their `cutout`; without it the presenter keeps their own background."""
        self._plate = _plate(background, self.width, self.height) if background not in (OWN, BLUR) else None
        self._scene: _Scene | None = None

    def card(self) -> ByteArray:
        """Return the background alone, uint8 `[H, W, 3]`: what is shown before there is a presenter."""
        return _colour(_CARD, self.width, self.height) if self._plate is None else self._plate.copy()

    def frame_height(self, rgb: ByteArray, matte: ByteArray | None = None) -> int:
        """Return how high a presenter's frame is shown, in pixels of the canvas: best if it is rendered so high.

        Args:
            rgb: such a frame, of any size, uint8 `[H, W, 3]`.
            matte: the presenter's opacity in it, uint8 `[H, W]`, if it has one.
        """
        cut = matte if self.needs_cutout else None
        return self._shown_height(has_plain_top(rgb) if cut is None else not cut[:2].any())

    def _shown_height(self, has_room: bool) -> int:
        # A head that is cut off by the frame's edge stays at the edge of the canvas.
        height = round(self.height * (self._scale if has_room else max(self._scale, 1.0)))
        return min(height, round(_NARROW * self._scale * self.width))

    def compose(self, frame: VideoFrame) -> ByteArray:
        """Return the camera frame composed from a presenter's frame, RGB uint8 `[H, W, 3]`."""
        cutout = frame.cutout if self.needs_cutout else None
        if cutout is None and self._fits(frame):
            return frame.rgb
        scene = self._scene = self._scene_of(frame, cutout)
        if cutout is None:
            colour, alpha = frame.rgb, scene.ramp
        else:
            colour, alpha = cutout[:, :, :3], cv2.multiply(cutout[:, :, 3], scene.ramp, scale=1 / 255)
        # Alpha is premultiplied before resizing: colour under transparent pixels must not bleed into the edge.
        picture = cv2.multiply(colour, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        size = (scene.width, scene.height)
        how = cv2.INTER_AREA if scene.height < colour.shape[0] else cv2.INTER_CUBIC
        large, alpha = (cv2.resize(plane, size, interpolation=how) for plane in (picture, alpha))
        if cutout is not None:
            # Cubic interpolation overshoots where opacity is clipped at 255, which would show as a bright border.
            limit = cv2.resize(cv2.dilate(picture, _NEIGHBOURS), size, interpolation=cv2.INTER_LINEAR)
            large = cv2.min(large, limit)
        return self._over(scene, large, alpha)

    def _fits(self, frame: VideoFrame) -> bool:
        """Whether a frame is the canvas as it is."""
        is_whole = frame.rgb.shape[:2] == (self.height, self.width)
        return is_whole and self._scale == 1.0 and self.height <= _NARROW * self.width

    def reframe(self, frame: VideoFrame, *, cutout: bool = False) -> VideoFrame:
        """Return a presenter's frame as it is on the canvas, with its `cutout` if that is asked for."""
        return VideoFrame(self.compose(frame), frame.pts, self.compose_cutout(frame) if cutout else None)

    def compose_cutout(self, frame: VideoFrame) -> ByteArray:
        """Return the presenter alone as they stand on the canvas: colour and straight alpha, uint8 `[H, W, 4]`.

        Raises:
            CanvasError: if the frame carries no `cutout`.
        """
        if frame.cutout is None:
            raise CanvasError("expected a frame that carries its cutout, got one without")
        scene = self._scene = self._scene_of(frame, frame.cutout if self.needs_cutout else None)
        picture = np.zeros((self.height, self.width, 4), np.uint8)
        there, here = self._overlap(scene)
        picture[there] = cv2.resize(frame.cutout, (scene.width, scene.height), interpolation=cv2.INTER_LINEAR)[here]
        return picture

    def _overlap(self, scene: _Scene) -> tuple[_Box, _Box]:
        """What shows the presenter's frame: on the canvas, and in the enlarged frame."""
        top, left = max(scene.top, 0), max(scene.left, 0)
        bottom = min(scene.top + scene.height, self.height)
        right = min(scene.left + scene.width, self.width)
        on_frame = np.s_[top - scene.top : bottom - scene.top, left - scene.left : right - scene.left]
        return np.s_[top:bottom, left:right], on_frame

    def _over(self, scene: _Scene, picture: ByteArray, alpha: ByteArray) -> ByteArray:
        """Blend a premultiplied frame over the background, as far as it is on the canvas."""
        there, here = self._overlap(scene)
        beneath = cv2.cvtColor(cv2.bitwise_not(alpha[here]), cv2.COLOR_GRAY2RGB)
        canvas = scene.plate.copy()
        canvas[there] = cv2.add(picture[here], cv2.multiply(canvas[there], beneath, scale=1 / 255))
        return canvas

    def _scene_of(self, frame: VideoFrame, cutout: ByteArray | None) -> _Scene:
        """Return the present scene, or a new one for another presenter."""
        border, scene, size = border_samples(frame.rgb), self._scene, frame.rgb.shape[:2]
        if (
            scene is not None
            and (scene.size, scene.is_cutout) == (size, cutout is not None)
            and same_background(scene.border, border)
        ):
            return scene
        has_room = has_plain_top(frame.rgb) if cutout is None else not cutout[:2, :, 3].any()
        rows, columns = size
        height = self._shown_height(has_room)
        width = round(height * columns / rows)
        is_whole = (width, height) == (self.width, self.height)
        sink = round(_SINK * height) if has_room and not is_whole else 0
        # What is higher than the canvas is cut off below, not above.
        top = self.height - height + sink if height <= self.height else 0
        left = round((self.width - width) * self._place)
        sides = (left > 0, left + width < self.width)
        if self._plate is not None and cutout is not None:
            return _Scene(
                size, border, True, height, width, top, left, self._plate, soft_edges(rows, columns, sides, False)
            )
        ramp = soft_edges(rows, columns, sides, top > 0 and cutout is None)
        xs = extended_positions(columns, left, width, self.width, SIDE_STRIP * rows)
        ys = extended_positions(rows, top, height, max(self.height, top + height), TOP_STRIP * rows)[: self.height]
        behind = frame.rgb if cutout is None else without_person(frame.rgb, cutout[:, :, 3])
        plate = extend_background(behind, xs, ys, left, width)
        return _Scene(size, border, cutout is not None, height, width, top, left, plate, ramp)


def _size(size: str | tuple[int, int]) -> tuple[int, int]:
    wanted = _named_size(size) if isinstance(size, str) else size
    if wanted is None:
        raise CanvasError(f"size: expected {', '.join(SIZES)} or WIDTHxHEIGHT, got {size!r}")
    if not all(64 <= side <= 4096 and side % 2 == 0 for side in wanted):
        raise CanvasError(f"size: expected even numbers from 64 to 4096, got {wanted[0]}x{wanted[1]}")
    return wanted


def _named_size(name: str) -> tuple[int, int] | None:
    given = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", name)
    return (int(given[1]), int(given[2])) if given else SIZES.get(name)


def _colour(rgb: tuple[int, ...], width: int, height: int) -> ByteArray:
    return np.full((height, width, 3), rgb, np.uint8)


def _plate(background: str | Path, width: int, height: int) -> ByteArray:
    """A colour or an image as `[height, width, 3]`."""
    code = COLOURS.get(str(background).lower(), str(background))
    if code.startswith("#"):
        try:
            if len(code) != 7:
                raise ValueError
            return _colour(tuple(bytes.fromhex(code[1:])), width, height)
        except ValueError as error:
            raise CanvasError(f"background: expected a colour as #rrggbb, got {code!r}") from error
    path = Path(background).expanduser()
    if not path.is_file():
        raise CanvasError(
            f"background: expected {OWN!r}, {BLUR!r}, #rrggbb, a colour ({', '.join(COLOURS)}) or an image;"
            f" found no {code!r}"
        )
    image = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise CanvasError(f"background: expected an image (PNG, JPEG, WebP), can't read {path}")
    rows, columns = image.shape[:2]
    factor = max(width / columns, height / rows)
    size = max(width, round(columns * factor)), max(height, round(rows * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    image = cv2.cvtColor(cv2.resize(image, size, interpolation=how), cv2.COLOR_BGR2RGB)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])
