"""Background extension: the background of a presenter's frame, continued with growing blur beyond its edges."""

from __future__ import annotations

import cv2
import numpy as np

from stream.media import ByteArray, FloatArray

_SMALL = 8  # the extension is computed at an eighth of the canvas
_CHANGED = 6.0  # mean difference along the border of two frames with different backgrounds
_EDGE = 12.0  # steps between neighbours in a thumbnail's top rows that are more than a gradient of light
_THUMBNAIL = 64
_AROUND = np.ones((5, 5), np.uint8)
TOP_STRIP = 0.06
"""Rows that are extended upwards, as a share of the frame's height."""
SIDE_STRIP = 0.12
"""Columns that are extended sideways, as such a share."""
_SOFT = 0.08  # width of the soft edge at the sides, as such a share
_SOFT_TOP = 0.03


def border_samples(rgb: ByteArray) -> ByteArray:
    """Return samples `[N, 3]` of a frame's left, right and top border."""
    samples = rgb[::16, ::16]
    return np.concatenate([samples[:, 0], samples[:, -1], samples[0]])


def same_background(border: ByteArray, other: ByteArray) -> bool:
    """Return whether two borders show the same background."""
    return border.shape == other.shape and float(np.mean(cv2.absdiff(border, other))) < _CHANGED


def has_plain_top(rgb: ByteArray) -> bool:
    """Return whether the top rows show a plain background, which can be extended without visible distortion."""
    rows = rgb[: round(TOP_STRIP * rgb.shape[0])]
    strip = cv2.resize(rows, (_THUMBNAIL, 4), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
    return bool(np.abs(np.diff(strip, axis=1)).max() < _EDGE and np.abs(np.diff(strip, axis=0)).max() < _EDGE)


def soft_edges(rows: int, columns: int, sides: tuple[bool, bool], top: bool) -> ByteArray:
    """Return an opacity `[rows, columns]` that falls off smoothly at these edges."""

    def rise(count: int, share: float) -> FloatArray:
        t = np.clip((np.arange(count, dtype=np.float32) + 0.5) / (share * rows), 0, 1)
        return t * t * (3 - 2 * t)

    across, down = rise(columns, _SOFT), rise(rows, _SOFT_TOP)
    across = (across if sides[0] else np.ones_like(across)) * (across[::-1] if sides[1] else 1)
    return np.rint(255 * np.outer(down if top else np.ones_like(down), across)).astype(np.uint8)


def without_person(rgb: ByteArray, alpha: ByteArray) -> ByteArray:
    """Return a frame, soft, whose person (opacity `[H, W]`) is replaced by what surrounds them."""
    rows, columns = alpha.shape
    size = (2 * _THUMBNAIL, 2 * _THUMBNAIL)
    # What is even slightly opaque shows the person's colour.
    hidden = cv2.resize((alpha > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    hidden = cv2.dilate(hidden.astype(np.uint8), _AROUND)
    colour = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(colour, hidden, 5, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(filled, (0, 0), 6)  # hides the lines along which colours meet
    return cv2.resize(np.where(hidden[..., None] > 0, soft, filled), (columns, rows)).astype(np.uint8)


def extended_positions(count: int, start: int, length: int, total: int, strip: float) -> FloatArray:
    """Return source positions for `total` canvas pixels; the frame's `count` pixels cover `length` from `start`.

    Inside the mapping is linear; the outermost `strip` pixels of the frame are extended over what lies outside, with
    a continuous slope.
    """
    step = count / length
    places = (np.arange(total) + 0.5 - start) * step

    def outer(depth: FloatArray, outside: float) -> FloatArray:
        whole = max(outside, 0.0) + strip
        t = np.clip((depth + whole - strip) / whole, 0, 1)
        return np.maximum(0, (t**3 - 2 * t**2 + t) * strip / 2 + (3 - 2 * t) * t**2 * strip + (t**3 - t**2) * whole)

    places = np.where(places < strip, outer(places, start * step), places)
    far = count - places
    return np.where(far < strip, count - outer(far, (total - start - length) * step), places).astype(np.float32)


def extend_background(rgb: ByteArray, xs: FloatArray, ys: FloatArray, left: int, width: int) -> ByteArray:
    """Return a canvas with the blurred background of a frame that covers `width` columns from `left`.

    `xs` and `ys` are the source positions of each column and row of the canvas. The blur grows with the distance.
    """
    rows, columns = rgb.shape[:2]
    small = cv2.resize(rgb, (2 * _THUMBNAIL, 2 * _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), 2)
    x, y = np.meshgrid(xs[::_SMALL] * small.shape[1] / columns - 0.5, ys[::_SMALL] * small.shape[0] / rows - 0.5)
    soft = cv2.GaussianBlur(cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), (0, 0), 2)
    softer = cv2.GaussianBlur(soft, (0, 0), sigmaX=1, sigmaY=len(y) / 6)  # hides extended lines
    places = np.arange(len(x[0])) * _SMALL
    outside = np.maximum(left - places, places - left - width) / max(left, len(xs) - left - width, 1)
    soft += (softer - soft) * np.clip(outside, 0, 1)[None, :, None]
    wide = cv2.resize(soft, (len(xs), len(ys)), interpolation=cv2.INTER_CUBIC)
    wide += (
        np.random.default_rng(0).uniform(-0.5, 0.5, wide.shape).astype(np.float32)
    )  # dither: smooth gradients would show bands
    return np.rint(np.clip(wide, 0, 255)).astype(np.uint8)
