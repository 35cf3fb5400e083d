"""A person without the background: how opaque each pixel is, and the person's own colours at the edge.

Coarse to fine: MediaPipe's selfie network says where a person is, GrabCut moves the outline to the
picture's colours, and a guided filter makes it as soft as the picture's own edge, hair included.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.inference import Network
from models.mesh import Floats

Picture = NDArray[np.uint8]
Matte = NDArray[np.uint8]  # [H, W], 0 background, 255 person
_Mask = NDArray[np.uint8]  # [H, W], 0 or 1

_SIZE = 256  # the network's picture

# Shares of the frame's height.
_COARSE_BAND = 0.02  # how far the network's outline may be off
_FINE_BAND = 0.012  # how far hair reaches over the outline
_SPREAD = 0.01  # over how far colours near the edge are averaged
_SMOOTHNESS = 1e-4  # of the guided filter: edges of less contrast (variance, 0..1 colours) are ignored
_TRIM = 0.08  # opacities closer than this to 0 or 1 are the filter's haze, not hair


class MattingError(ModelError):
    """No matte can be computed for a picture; the text gives the reason."""


def draw_matte(rgb: Picture) -> Matte:
    """The matte `[H, W]` of the one person in a picture `[H, W, 3]`: without holes, and in one piece.

    Raises:
        MattingError: If the picture doesn't show a person before a background.
    """
    outline = _largest(_segment(rgb) > 0.5)
    labels = np.where(outline, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    inside, outside = _sure(outline, _COARSE_BAND)
    labels[inside], labels[outside] = cv2.GC_FGD, cv2.GC_BGD
    if not inside.any() or not outside.any():
        raise MattingError("expected a person before a background, found only one of the two")
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(rgb, labels, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    outline = _largest((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    inside, outside = _sure(outline, _FINE_BAND)
    guide = rgb.astype(np.float32) / np.float32(255)
    soft = _guided_filter(guide, outline.astype(np.float32), _pixels(rgb, _FINE_BAND))
    soft = np.clip((soft - _TRIM) / (1 - 2 * _TRIM), 0, 1)
    soft[inside], soft[outside] = 1, 0
    opacity = np.rint(soft * 255).astype(np.uint8)
    return opacity * _largest(opacity > 0)


@dataclass(frozen=True, eq=False)
class Cutout:
    """What it takes to show frames of a person without the background, as straight alpha.

    Attributes:
        matte: `[H, W]`.
        colours: The picture `[H, W, 3]` with the person's colours carried on under and beyond the soft
            edge, so that nothing of the old background is visible on a new one.
    """

    matte: Matte
    colours: Picture

    @classmethod
    def of(cls, rgb: Picture, matte: Matte) -> Cutout:
        """Estimate the person's colours where the matte `[H, W]` lets the background of `rgb [H, W, 3]` through.

        A pixel is `a * person + (1 - a) * background`. Both are guessed from what is near and sure, then
        the person's colour takes up what the guess leaves unexplained (Forte, "Approximate Fast
        Foreground Colour Estimation", ICIP 2021).
        """
        person, background = _smooth_colours(rgb, matte == 255), _smooth_colours(rgb, matte == 0)
        colours = cv2.copyTo(rgb, cv2.inRange(matte, 255, 255), person.astype(np.uint8))
        reach = cv2.dilate((matte > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
        edge = np.flatnonzero((matte != 255) & (reach > 0))
        alpha = matte.reshape(-1)[edge, None].astype(np.float32) / 255
        mine, own, other = (each.reshape(-1, 3)[edge] for each in (rgb, person, background))
        rest = mine - alpha * own - (1 - alpha) * other
        colours.reshape(-1, 3)[edge] = np.clip(own + alpha * rest + 0.5, 0, 255).astype(np.uint8)
        return cls(matte, colours)

    def apply(self, rgb: Picture) -> NDArray[np.uint8]:
        """A frame `[H, W, 3]` of the still head as colour and alpha `[H, W, 4]`."""
        opaque = cv2.inRange(self.matte, 255, 255)
        colours = cv2.copyTo(rgb, opaque, self.colours.copy())
        return cv2.merge([colours, self.matte])


def _segment(rgb: Picture) -> Floats:
    """How likely each pixel is a person `[H, W]`."""
    height, width = rgb.shape[:2]
    stretch = np.array([[width / _SIZE, 0, 0], [0, height / _SIZE, 0]])
    # As MediaPipe samples it; a resize would sample half a pixel of the small picture further in.
    small = cv2.warpAffine(rgb, stretch, (_SIZE, _SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    (person,) = Network("selfie_segmentation").run(small[None].astype(np.float32) / np.float32(255))
    return cv2.resize(person[..., 0], (width, height), interpolation=cv2.INTER_LINEAR)


def _largest(mask: NDArray[np.bool_]) -> _Mask:
    """The largest connected part `[H, W]`, its holes filled."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return filled


def _sure(outline: _Mask, band: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where it is surely inside and surely outside: further than `band` from the outline."""
    side = 2 * _pixels(outline, band) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.erode(outline, disc) == 1, cv2.dilate(outline, disc) == 0


def _pixels(picture: NDArray[np.uint8], share: float) -> int:
    return max(1, round(share * picture.shape[0]))


def _guided_filter(guide: Floats, picture: Floats, radius: int) -> Floats:
    """Make the edges of `picture [H, W]` follow those of `guide [H, W, 3]`.

    Source: He, Sun and Tang, "Guided Image Filtering", PAMI 2013, with a colour guide.
    """

    def mean(values: Floats) -> Floats:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    # In every window the picture is fitted as slope . guide + offset.
    centre, level = mean(guide), mean(picture)
    products = np.stack([mean(guide * guide[..., k : k + 1]) for k in range(3)], -1)
    covariance = products - centre[..., :, None] * centre[..., None, :]
    shared = mean(guide * picture[..., None]) - centre * level[..., None]
    slope = np.linalg.solve(covariance + _SMOOTHNESS * np.eye(3, dtype=np.float32), shared[..., None])[..., 0]
    offset = level - (slope * centre).sum(-1)
    return (mean(slope) * guide).sum(-1) + mean(offset)


def _smooth_colours(rgb: Picture, sure: NDArray[np.bool_]) -> Floats:
    """Colours of the sure pixels `[H, W, 3]`, carried on over all others and averaged.

    They are smooth, so they are computed at half the size.
    """
    height, width = sure.shape
    size = max(width // 2, 1), max(height // 2, 1)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_NEAREST)
    known = cv2.resize(sure.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) == 1
    smooth = cv2.GaussianBlur(_nearest(small.astype(np.uint8), known), (0, 0), _SPREAD * height / 2)
    return cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)


def _nearest(rgb: Picture, sure: NDArray[np.bool_]) -> Floats:
    """Each pixel's nearest sure colour `[H, W, 3]`; a sure pixel keeps its own."""
    _, labels = cv2.distanceTransformWithLabels(
        (~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((labels.max() + 1, 3), np.float32)
    table[labels[sure]] = rgb[sure]
    return table[labels]
