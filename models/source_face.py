"""What of a photographed face is not its own to give to another: a smile, and hair before it."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import FACE_OVAL, LIPS, Floats, topology

Picture = NDArray[np.uint8]

EYES = (
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    [362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398],
)
BROWS = (
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46],
    [300, 293, 334, 296, 336, 285, 295, 282, 283, 276],
)
# Lengths in inter-ocular distances.
_MOUTH_REACH = 0.3  # from the lips outwards, in which a smile moves the face
_SMILE_WIDENS = 1.5  # what a smile widens the mouth by, for what it raises its corners by
_HAIR_BAND = 0.4  # along the outline, in which a source's hair may lie before its face
_HAIR_DARK, _HAIR_MOST = 0.55, 0.4  # share of the skin's brightness; more of the band than this is shadow
_NOSE_BASE = 2


@cache
def _mouth_field() -> tuple[Floats, Floats]:
    """Where vertices are across the mouth `[478]`, -1 to 1 at its corners, and how near to the lips, 0 to 1."""
    reference = topology().reference
    gaps = np.linalg.norm(reference[:, None, :2] - reference[None, LIPS, :2], axis=-1).min(1)
    across = np.clip(reference[:, 0] / np.abs(reference[LIPS, 0]).max(), -1.0, 1.0)
    return across.astype(np.float32), np.exp(-np.square(gaps / _MOUTH_REACH)).astype(np.float32)


def without_smile(difference: Floats) -> Floats:
    """What sets a face's shape apart from another's `[478, 3]`, less a smile in it, which is expression.

    A smile raises the corners of the mouth, and widens it about as much; what is wider without that is shape.
    """
    across, near = _mouth_field()
    lips, x, x2 = difference[LIPS], across[LIPS], np.square(across[LIPS])
    wider = float(lips[:, 0] @ x / (x @ x))
    centred = x2 - x2.mean()
    smile = max(-float(lips[:, 1] @ centred / (centred @ centred)), 0.0)
    made = difference.copy()
    made[:, 0] -= near * across * np.clip(wider, 0.0, _SMILE_WIDENS * smile)
    made[:, 1] += near * np.square(across) * smile
    return made


def without_hair(picture: Picture, points: Floats, unit: float) -> Picture:
    """The picture `[S, S, 3]` of a face whose hair at temples and forehead is painted over with the skin beside it.

    Hair is what is much darker than the cheeks within a band along the upper outline; a dark side of a face is none.

    Args:
        picture: Upright.
        points: The mesh in it `[478, 3]` or more, pixels.
        unit: Pixels of an inter-ocular distance.
    """
    size = len(picture)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    oval = polygons(size, points[FACE_OVAL, :2])
    features = widened(polygons(size, *(points[ring, :2] for ring in (*EYES, *BROWS))), 0.06 * unit)
    middle = widened(oval, -_HAIR_BAND * unit)
    upper = (np.arange(size) < points[_NOSE_BASE, 1])[:, None]
    band = (oval > middle) & (features == 0) & upper
    dark = band & (grey < _HAIR_DARK * np.median(grey[middle > features]))
    if not dark.any() or dark.sum() > _HAIR_MOST * band.sum():
        return picture
    hair = widened(dark.astype(np.uint8), 0.08 * unit) * (features == 0)
    # With what lies outside, so that only the face's own skin is continued.
    hair = np.maximum(hair, widened(hair, 0.3 * unit) * (oval == 0))
    return cv2.inpaint(picture, hair, 0.1 * unit, cv2.INPAINT_TELEA).astype(np.uint8)


def polygons(size: int, *outlines: NDArray[Any]) -> Picture:
    """What lies within outlines `[N, 2]`: 1 in a square of that size."""
    mask = np.zeros((size, size), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
    return mask


def widened(mask: NDArray[Any], pixels: float) -> NDArray[Any]:
    """A mask `[H, W]` that reaches so many pixels further, or less far."""
    reach = round(abs(pixels))
    if not reach:
        return mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return (cv2.dilate if pixels > 0 else cv2.erode)(mask, kernel)
