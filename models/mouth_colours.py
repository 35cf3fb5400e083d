"""The colours that the inside of a mouth can have in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import INNER_LIP_RING, Floats

Picture = NDArray[np.uint8]
# Where skin is looked at: cheeks, beside the nose and over the lip; the median ignores a beard or a highlight.
_SKIN = [50, 280, 205, 425, 36, 266, 101, 330, 187, 411, 118, 347, 142, 371, 203, 423, 207, 427, 216, 436]
_TEETH_PIXELS = 60  # of a reference's opening: fewer tell no colour
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, eq=False)
class InteriorColours:
    """RGB in 0..255, each `[3]`."""

    tooth: Floats
    gum: Floats
    tongue: Floats
    cavity: Floats


def skin_colour(picture: Picture, points: Floats) -> Floats:
    """The colour of a face's skin `[3]` in 0..255.

    Args:
        picture: `[S, S, 3]`.
        points: The mesh in it `[>= 478, 3]`.
    """
    x, y = np.clip(np.rint(points[_SKIN, :2]), 0, len(picture) - 1).astype(np.int64).T
    colour: Floats = np.median(picture[y, x], axis=0).astype(np.float32)
    return colour


def interior_colours(reference: Picture, points: Floats) -> InteriorColours:
    """The colours of a mouth's inside in the light, white balance and saturation of a picture, read from its skin.

    Teeth that it shows have their own.

    Args:
        reference: A face crop `[S, S, 3]`.
        points: The mesh in it `[>= 478, 3]`, crop pixels.
    """
    seen = skin_colour(reference, points)
    light, a, b = cv2.cvtColor(seen[None, None] / np.float32(255), cv2.COLOR_RGB2Lab)[0, 0]
    # Skin's own chroma is about 20 in neutral light: less means a picture with less colour, and grey has none.
    colour = min(float(np.hypot(a, b)) / 20, 1.0)
    bright = min(0.6 * light + 36, light + 26)
    wanted = np.array(
        [
            [bright, np.clip(0.06 * a, -2, 2), np.clip(0.5 * b, -4, 11) + colour],
            [0.62 * light + 4, 0.6 * a + 13 * colour, 0.5 * b + 2 * colour],
            [0.39 * light + 3, 0.4 * a + 6 * colour, 0.4 * b],
            [0.1 * light + 2, 7 * colour, 5 * colour],
        ],
        np.float32,
    )
    tooth, *others = (255 * cv2.cvtColor(wanted[None], cv2.COLOR_Lab2RGB)[0]).astype(np.float32)
    return InteriorColours(_own_tooth(reference, points, tooth), *others)


def _own_tooth(reference: Picture, points: Floats, expected: Floats) -> Floats:
    """The colour of the teeth `[3]` that a reference shows, or what is expected if it shows none."""
    opening = np.zeros(reference.shape[:2], np.uint8)
    cv2.fillPoly(opening, [np.rint(points[INNER_LIP_RING, :2]).astype(np.int32)], 1)
    inside = reference[cv2.erode(opening, np.ones((3, 3), np.uint8)) > 0].astype(np.float32)
    if len(inside) < _TEETH_PIXELS:
        return expected
    luma = inside @ _LUMA
    brightest = np.median(inside[luma >= np.quantile(luma, 2 / 3)], 0).astype(np.float32)
    # Lips and tongues are redder than teeth in any light, and an open mouth may show but darkness.
    is_tooth = brightest @ _LUMA > 0.6 * (expected @ _LUMA) and brightest[0] - brightest[1] < 0.2 * brightest[0]
    return brightest if is_tooth else expected
