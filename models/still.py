"""An animated still picture: eyelid overlays, a picture of twice the size, and rendered crops composited over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import Window, crop_mask, mask_region
from models.detail import Mouth, add_detail
from models.mesh import Floats

Picture = NDArray[np.uint8]

DETAIL = 2  # a still is held at so many times its size: see `detailed`
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Blinks:
    """Eyes at growing closure, cut from the frame.

    Attributes:
        box: `(top, left)` of the overlays in the frame.
        overlays: `[N, h, w, 3]`, the last one closed.
    """

    box: tuple[int, int]
    overlays: Picture

    def resized(self, frame: Picture, resize: Callable[[Picture], Picture]) -> Blinks:
        """The overlays of the frame `[H, W, 3]` after it was resized by a function."""
        (top, left), (height, width) = self.box, self.overlays.shape[1:3]
        rows, columns = frame.shape[:2]
        whole, resized = frame.copy(), []
        for overlay in self.overlays:
            whole[top : top + height, left : left + width] = overlay
            resized.append(resize(whole))
        down, across = resized[0].shape[0] / rows, resized[0].shape[1] / columns
        first, last = int(top * down), -int(-(top + height) * down // 1)
        begin, end = int(left * across), -int(-(left + width) * across // 1)
        return Blinks((first, begin), np.stack([each[first:last, begin:end] for each in resized]))


def detailed(picture: Picture) -> Picture:
    """A picture `[H, W, ...]` at twice its size, with its own pixels at even places.

    Moving a picture by parts of a pixel takes cubic interpolation, or it blurs and sharpens as it goes. From twice
    the size linear interpolation is as sharp, at a third of the time.
    """
    height, width = picture.shape[:2]
    scale = np.array([[DETAIL, 0, 0], [0, DETAIL, 0]], np.float32)
    size = (DETAIL * width, DETAIL * height)
    return cv2.warpAffine(picture, scale, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


class LivingStill:
    """A `detailed` still and whichever eyelids lie on it.

    Args:
        picture: `[2 H, 2 W, 3]`, or with straight alpha `[2 H, 2 W, 4]`; kept and written to.
        blinks: What the eyes look like as they close; only shown where the picture is opaque.
    """

    def __init__(self, picture: Picture, blinks: Blinks) -> None:
        self.frame = np.ascontiguousarray(picture[::DETAIL, ::DETAIL])
        """The still itself `[H, W, C]`, its eyes open."""
        self._cut_out = picture.shape[2] == 4
        # OpenCV moves four channels in less than half the time that three take.
        picture = picture if self._cut_out else cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)
        self._picture = picture
        height, width = (DETAIL * side for side in blinks.overlays.shape[1:3])
        top, left = (DETAIL * edge for edge in blinks.box)
        self._eyes = np.s_[top : top + height, left : left + width]
        is_open = picture[self._eyes].copy()
        self._overlays = [is_open, *(_over(is_open, detailed(overlay)) for overlay in blinks.overlays)]
        self._level = 0

    def with_eyes(self, level: int) -> Picture:
        """The picture at a level of closure `[2 H, 2 W, 4]`; not to be kept, nor to be changed."""
        if level != self._level:
            self._picture[self._eyes], self._level = self._overlays[level], level
        return self._picture

    def moved(self, level: int, positions: Floats) -> Picture:
        """The pixels `[h, w, C]` that come from `positions` in the picture at a level of closure."""
        moved = cv2.remap(self.with_eyes(level), positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return moved if self._cut_out else cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)


def _over(picture: Picture, colours: Picture) -> Picture:
    """A picture `[h, w, C]` with other colours `[h, w, 3]` where it is opaque."""
    changed = picture.copy()
    opaque = picture[..., 3:].min(-1, initial=255) == 255
    changed[opaque, :3] = colours[opaque]
    return changed


def blended(colour: Picture, opacity: Floats, behind: Picture) -> Picture:
    """Lay colours `[h, w, 3]` over a picture; over one with alpha `[h, w, 4]` only where it is opaque."""
    if behind.shape[2] == 4:
        alpha = cv2.extractChannel(behind, 3)
        shown = blended(colour, opacity * (alpha == 255), np.ascontiguousarray(behind[..., :3]))
        return cv2.merge([shown, alpha])
    return cv2.blendLinear(colour, np.ascontiguousarray(behind), opacity, 1 - opacity)


def reach(low: Floats, high: Floats, shifts: Floats, box: Box) -> Box:
    """Rows and columns within a `box` of the frame in which a part of the still can be seen.

    Args:
        low: Its first x and y, pixels of the frame.
        high: Its last.
        shifts: From `HeadWarp.shifts`.
        box: What is shown of the frame.
    """
    ends = np.array([cv2.minMaxLoc(part)[:2] for part in cv2.split(shifts)])
    low, high = low + ends[:, 0], high + ends[:, 1]
    slices = []
    for part, first, last in zip(box, low[::-1], high[::-1], strict=True):
        length = part.stop - part.start
        start = int(np.clip(np.floor(first) - part.start, 0, length))
        slices.append(slice(start, int(np.clip(np.ceil(last) + 1 - part.start, start, length))))
    return slices[0], slices[1]


def window_map(transform: Floats, window: Window) -> NDArray[np.float64]:
    """The affine map `[2, 3]` from a `detailed` frame to a window of the crop, from that of the frame to the crop."""
    return transform / [DETAIL, DETAIL, 1] - [[0, 0, window.left], [0, 0, window.top]]


class Placement:
    """Composites rendered crops over a still whose head has moved, in one interpolation.

    Args:
        transform: Affine map `[2, 3]` from the still frame to crop pixels.
        window: What of the crop is rendered.
    """

    def __init__(self, transform: Floats, window: Window) -> None:
        self._to_window = window_map(transform, window)
        self._to_still = np.linalg.inv(self._to_window[:, :2]).astype(np.float32)
        inverse = cv2.invertAffineTransform(transform.astype(np.float64))
        top, bottom, left, right = mask_region()
        corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64)
        placed = corners @ inverse[:, :2].T + inverse[:, 2]
        self._low, self._high = placed.min(0), placed.max(0)

    def region(self, shifts: Floats, box: Box) -> Box:
        """Rows and columns within a `box` of the frame in which a rendered crop can be seen.

        Args:
            shifts: From `HeadWarp.shifts`.
            box: What is shown of the frame.
        """
        return reach(self._low, self._high, shifts, box)

    def place(self, mouth: Mouth, positions: Floats, still: Picture) -> tuple[Picture, Floats]:
        """Colour `[h, w, 3]` and opacity `[h, w]` (0..1) of a mouth where a moved frame shows it.

        Args:
            mouth: What was rendered of the window.
            positions: Where in the `detailed` still each pixel comes from `[h, w, 2]`.
            still: That still `[2 H, 2 W, 4]`.
        """
        places = cv2.transform(positions, self._to_window)
        moved = cv2.remap(mouth.layer, places, None, cv2.INTER_LINEAR)
        opacity = cv2.extractChannel(moved, 3).astype(np.float32)
        opacity *= 1 / 255
        colour = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
        if mouth.detail is not None:
            colour = add_detail(colour, mouth.detail, places, still, positions, self._to_still)
        return colour, opacity


class Paster:
    """Blends rendered crops into a filmed frame.

    Args:
        size: `(height, width)` of the frame.
        transform: Affine map `[2, 3]` from frame to crop pixels.
        window: What of the crop is rendered; without, its mask's bounding box.
    """

    def __init__(self, size: tuple[int, int], transform: Floats, window: Window | None = None) -> None:
        height, width = size
        inverse = cv2.invertAffineTransform(transform.astype(np.float64))
        top, bottom, left, right = mask_region()
        corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64)
        placed = corners @ inverse[:, :2].T + inverse[:, 2]
        x0, y0 = np.clip(np.floor(placed.min(0)), 0, [width, height]).astype(int)
        x1, y1 = np.clip(np.ceil(placed.max(0)), 0, [width, height]).astype(int)
        self._region = (slice(int(y0), int(y1)), slice(int(x0), int(x1)))
        self._size = (int(x1 - x0), int(y1 - y0))
        self._window = window or Window(top, bottom, left, right)
        inverse[:, 2] += inverse[:, :2] @ [self._window.left, self._window.top] - [x0, y0]
        self._inverse = inverse

    def paste(self, frame: Picture, rendered: Floats) -> None:
        """Blend colour and mask `[4, 256, 256]` (0..1) into `frame [H, W, 3]`, in place."""
        window = np.s_[self._window.top : self._window.bottom, self._window.left : self._window.right]
        # Colour and mask of the crop become bytes, and the mask fades out towards the border.
        colour, mask = 255 * rendered[:3][:, *window], 255 * rendered[3:][:, *window] * crop_mask()[window]
        self.paste_layer(frame, cv2.merge(list((np.concatenate([colour, mask]) + 0.5).astype(np.uint8))))

    def paste_layer(self, frame: Picture, layer: Picture) -> None:
        """Blend colour and opacity of the window `[h, w, 4]` into `frame [H, W, 3]` or `[H, W, 4]`, in place."""
        if not all(self._size):  # the face is outside of the picture
            return
        moved = cv2.warpAffine(layer, self._inverse, self._size, flags=cv2.INTER_CUBIC)
        opacity = cv2.extractChannel(moved, 3).astype(np.float32) / 255
        frame[self._region] = blended(cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB), opacity, frame[self._region])
