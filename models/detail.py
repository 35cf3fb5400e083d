"""The mouth in a picture that is finer than the crop: as sharp as its surroundings.

The crop has 256 pixels across the lower face, a picture of 1024 has nearly twice as many. So the picture's own pixels
are warped as the mesh warped the crop, and what the generator changed in the crop is added to them. Inside the open
mouth, where the warped pixels are not what is seen, there is only what was rendered.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import Window, mask_region
from models.layer import Layer, Planes
from models.mesh import Floats
from models.raster import Drawn
from models.rest_error import away_from_lips

Picture = NDArray[np.uint8]


class Detail(NamedTuple):
    """How the crop was warped; each of a window of it."""

    shift: Floats
    """From each pixel to where it came from `[h, w, 2]`, pixels of the crop."""
    bare: Picture
    """The warped crop before the generator changed it, and 255 where it is seen `[h, w, 4]`."""


class Mouth(NamedTuple):
    """A rendered mouth."""

    layer: Layer
    detail: Detail | None = None
    """For pictures that are finer than the crop."""


def detail_of(drawn: Drawn, reference: Picture, planes: Planes, window: Window) -> Detail:
    """The detail of a window of the crop.

    Args:
        drawn: By a `crop_rasteriser`.
        reference: What was warped `[256, 256, 3]`.
        planes: The live inputs `[256, 256, 6]`.
        window: Of the layer.
    """
    top, bottom, left, right = mask_region()
    x, y = _places()
    height, width = window.bottom - window.top, window.right - window.left
    shift, bare = np.zeros((height, width, 2), np.float32), np.zeros((height, width, 4), np.uint8)
    inside = np.s_[top - window.top : bottom - window.top, left - window.left : right - window.left]
    shift[inside] = np.dstack([drawn.positions[0] - x, drawn.positions[1] - y])
    moved = cv2.remap(reference, *drawn.positions, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    bare[inside] = cv2.merge([*cv2.split(moved), away_from_lips(planes, window)[inside]])
    return Detail(shift, bare)


@cache
def _places() -> tuple[Floats, Floats]:
    """Columns and rows of the mask's box `[h, w]`."""
    top, bottom, left, right = mask_region()
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    return x, y


def add_detail(
    colour: Picture, detail: Detail, places: Floats, still: Picture, positions: Floats, to_still: Floats
) -> Picture:
    """Colours `[h, w, 3]` of a placed layer, with the still's own detail.

    Args:
        colour: Of the placed layer `[h, w, 3]`.
        detail: Of the mouth.
        places: Where in the window each pixel comes from `[h, w, 2]`.
        still: `detailed`, `[2 H, 2 W, 4]`.
        positions: Where in the still each pixel comes from `[h, w, 2]`.
        to_still: From differences of places to those of positions `[2, 2]`.
    """
    shift = cv2.transform(cv2.remap(detail.shift, places, None, cv2.INTER_LINEAR), to_still)
    fine = cv2.remap(still, positions + shift, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    bare = cv2.remap(detail.bare, places, None, cv2.INTER_LINEAR)
    fine_colour, bare_colour = cv2.cvtColor(fine, cv2.COLOR_RGBA2RGB), cv2.cvtColor(bare, cv2.COLOR_RGBA2RGB)
    seen = cv2.cvtColor(cv2.extractChannel(bare, 3), cv2.COLOR_GRAY2RGB)
    lost = cv2.subtract(fine_colour, bare_colour, dtype=cv2.CV_16S)
    lost = cv2.multiply(lost, seen, scale=1 / 255, dtype=cv2.CV_16S)
    return np.asarray(cv2.add(colour, lost, dtype=cv2.CV_8U), np.uint8)
