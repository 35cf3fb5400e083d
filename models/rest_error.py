"""What the generator changes in a reference at rest, where nothing should change, is taken away from all it renders.

The generator gives the warped reference and a residual. Where a face has what its training hardly showed (a beard,
drawn outlines, a microphone, grain), the residual pulls it towards skin. At rest that error is known, pixel by pixel,
since the reference itself is right. So the residual is laid over a *base*: the reference less this error, warped in the
same way; see docs/adr/0029.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import Window, crop_mask
from models.layer import Layer, Planes
from models.mesh import INNER_LIP_RING, Floats

Picture = NDArray[np.uint8]
LIP_EDGE, LIP_FADE = 9, 5  # pixels: the edge of open lips on both sides of their outline, and its soft border
# Pixels: the line between closed lips is dark, becomes two edges as they open, and is the generator's to change.
_SEAM_WIDTH, _SEAM_BLUR = 7, 2.5
# Grey values, on the mean over some pixels. Smaller errors are the smoothing that brings a frame's noise nearer to all
# others of its film, and stay; larger ones are of what the generator does not know.
_SMALL, _LARGE, _AROUND = 4.0, 10.0, 3.0


def rest_error(layer: Layer, reference: Picture, source: Floats, window: Window) -> Floats:
    """What a layer at rest adds to the reference `[256, 256, 3]`, grey values; 0 at the lips' edges and within.

    Args:
        layer: Of the reference's own mesh.
        reference: The crop `[256, 256, 3]`.
        source: The extended mesh in it `[514, 3]`.
        window: Of the layer.
    """
    covered = np.s_[window.top : window.bottom, window.left : window.right]
    error = np.zeros(reference.shape, np.float32)
    error[covered] = layer[..., :3].astype(np.float32) - reference[covered]
    error *= crop_mask()[..., None]
    size = cv2.GaussianBlur(np.abs(error).mean(-1), (0, 0), _AROUND)
    error *= np.clip((size - _SMALL) / (_LARGE - _SMALL), 0, 1)[..., None]
    seam = np.zeros(reference.shape[:2], np.float32)
    inner = [np.rint(source[INNER_LIP_RING, :2]).astype(np.int32)]
    cv2.fillPoly(seam, inner, 1.0)
    cv2.polylines(seam, inner, True, 1.0, _SEAM_WIDTH)
    error *= 1 - cv2.GaussianBlur(seam, (0, 0), _SEAM_BLUR)[..., None]
    return error


def away_from_lips(planes: Planes, window: Window) -> Picture:
    """255 where a window `[h, w]` shows skin, 0 in the open mouth and on the edge of its lips, of live inputs.

    Cubic interpolation would draw a bright line beside the dark edge of open lips.
    """
    live = planes[window.top : window.bottom, window.left : window.right]
    edge = cv2.dilate(live[..., 4], np.ones((LIP_EDGE, LIP_EDGE), np.uint8))
    return (255 - cv2.blur(edge, (LIP_FADE, LIP_FADE))).astype(np.uint8, copy=False)


def laid_over(layer: Layer, base: Floats, planes: Planes, window: Window) -> Layer:
    """A layer whose residual lies over another picture than the warped reference; the mouth's inside and its edge stay.

    Args:
        layer: Of the window `[h, w, 4]`.
        base: The other picture, warped `[256, 256, 3]`; it may exceed 0..255.
        planes: The live inputs `[256, 256, 6]` that the layer was rendered from.
        window: Of the layer.
    """
    covered = np.s_[window.top : window.bottom, window.left : window.right]
    live = planes[covered]
    outside = away_from_lips(planes, window).astype(np.float32) * np.float32(1 / 255)
    colours = zip(cv2.split(base[covered]), cv2.split(live[..., :3]), cv2.split(layer), strict=False)
    changed = [
        cv2.add(rendered, outside * cv2.subtract(one, warped, dtype=cv2.CV_32F), dtype=cv2.CV_8U)
        for one, warped, rendered in colours
    ]
    return np.asarray(cv2.merge([*changed, layer[..., 3]]), np.uint8)
