"""What lies beyond the edges of a presenter's picture: its background, stretched and ever softer."""

from __future__ import annotations

import cv2
import numpy as np

from stream.media import ByteArray, FloatArray

_SMALL = 8  # what is stretched is computed at an eighth of the canvas
_CHANGED = 6.0  # mean difference at the rim of two pictures that show different backgrounds
_EDGE = 12.0  # steps between neighbours in a thumbnail's top rows that are more than light falling off
_THUMBNAIL = 64
TOP_STRIP = 0.06
"""What is stretched upwards, as a share of the picture's height."""
SIDE_STRIP = 0.12
"""What is stretched to the sides, as such a share."""
_SOFT = 0.08  # width of the soft edge at the sides, as such a share
_SOFT_TOP = 0.03


def rim_of(rgb: ByteArray) -> ByteArray:
    """Samples `[N, 3]` of a picture's sides and top."""
    samples = rgb[::16, ::16]
    return np.concatenate([samples[:, 0], samples[:, -1], samples[0]])


def is_alike(rim: ByteArray, other: ByteArray) -> bool:
    """Whether two rims show the same background."""
    return rim.shape == other.shape and float(np.mean(cv2.absdiff(rim, other))) < _CHANGED


def has_plain_top(rgb: ByteArray) -> bool:
    """Whether nothing but light and shade is in the top rows: no hair, nothing that would be seen to be stretched."""
    rows = rgb[: round(TOP_STRIP * rgb.shape[0])]
    strip = cv2.resize(rows, (_THUMBNAIL, 4), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
    return bool(np.abs(np.diff(strip, axis=1)).max() < _EDGE and np.abs(np.diff(strip, axis=0)).max() < _EDGE)


def soft_edges(rows: int, columns: int, sides: tuple[bool, bool], top: bool) -> ByteArray:
    """Opacity `[rows, columns]` that falls off at these edges, smoothly."""

    def rise(count: int, share: float) -> FloatArray:
        t = np.clip((np.arange(count, dtype=np.float32) + 0.5) / (share * rows), 0, 1)
        return t * t * (3 - 2 * t)

    across, down = rise(columns, _SOFT), rise(rows, _SOFT_TOP)
    across = (across if sides[0] else np.ones_like(across)) * (across[::-1] if sides[1] else 1)
    return np.rint(255 * np.outer(down if top else np.ones_like(down), across)).astype(np.uint8)


def stretched(count: int, start: int, length: int, total: int, strip: float) -> FloatArray:
    """Where `total` positions of a canvas look into a picture of `count` pixels that covers `length` from `start`.

    Inside they look straight ahead; the outermost `strip` pixels are stretched to what lies outside, at a slope
    that goes on smoothly from the picture's.
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


def surround(rgb: ByteArray, xs: FloatArray, ys: FloatArray, left: int, width: int) -> ByteArray:
    """The background beyond the edges of a picture that covers `width` columns from `left`: soft, then softer.

    `xs` and `ys` say where in the picture each column and row of the canvas looks.
    """
    rows, columns = rgb.shape[:2]
    small = cv2.resize(rgb, (2 * _THUMBNAIL, 2 * _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), 2)
    x, y = np.meshgrid(xs[::_SMALL] * small.shape[1] / columns - 0.5, ys[::_SMALL] * small.shape[0] / rows - 0.5)
    soft = cv2.GaussianBlur(cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), (0, 0), 2)
    softer = cv2.GaussianBlur(soft, (0, 0), sigmaX=1, sigmaY=len(y) / 6)  # down the stretched lines, or they show
    places = np.arange(len(x[0])) * _SMALL
    outside = np.maximum(left - places, places - left - width) / max(left, len(xs) - left - width, 1)
    soft += (softer - soft) * np.clip(outside, 0, 1)[None, :, None]
    wide = cv2.resize(soft, (len(xs), len(ys)), interpolation=cv2.INTER_CUBIC)
    wide += np.random.default_rng(0).uniform(-0.5, 0.5, wide.shape).astype(np.float32)  # or a smooth shade shows bands
    return np.rint(np.clip(wide, 0, 255)).astype(np.uint8)
