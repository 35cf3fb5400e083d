"""Eyelids that close over the eyes of a picture: placed by the face mesh, coloured by the skin around the eyes.

Nothing outside of the lids moves: brows, hair and the frames of glasses stay as they are. A closed lid continues the
skin above and below the eye, has that skin's grain, a crease above and the person's own lashes below.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.head_motion import EYES_CLOSED
from models.head_warp import smoothstep
from models.mesh import Floats
from models.still import Blinks, Picture

# Upper and lower lid margins, from the corner on the picture's left to the one on its right.
UPPER_LIDS = ([33, 246, 161, 160, 159, 158, 157, 173, 133], [362, 398, 384, 385, 386, 387, 388, 466, 263])
LOWER_LIDS = ([33, 7, 163, 144, 145, 153, 154, 155, 133], [362, 382, 381, 380, 374, 373, 390, 249, 263])
_BROWS = ([46, 53, 52, 65, 55], [285, 295, 282, 283, 276])  # lower edges, from the picture's left
_FALL = 0.9  # of the opening
_LEADING = 0.06  # of the closure: people's lids don't fall exactly together

# All of the following in widths of the eye.
_MARGIN = 0.6  # of the overlays around the eyes
_AROUND = 0.5  # skin above and below that colours the lid
_LASHES = 0.13  # above the upper margin
_WING = 0.1  # lashes are that much longer at the outer corner
_LOWER_LASHES = 0.07
_GRAIN = 0.045  # coarser differences of the skin are not its grain


def draw_blinks(rgb: Picture, landmarks: Floats, levels: int = EYES_CLOSED) -> Blinks:
    """Draw the eyes of a picture at growing closure.

    Args:
        rgb: The frame `[H, W, 3]`, eyes open.
        landmarks: The face in it `[478, 3]`, pixels.
        levels: How many closures; the last one is closed.
    """
    height, width = rgb.shape[:2]
    eyes = [tuple(landmarks[line, :2] for line in lines) for lines in zip(UPPER_LIDS, LOWER_LIDS, _BROWS, strict=True)]
    points = np.concatenate([line for upper, lower, _ in eyes for line in (upper, lower)])
    around = _MARGIN * np.linalg.norm(eyes[0][0][-1] - eyes[0][0][0])
    left, top = np.maximum(np.floor(points.min(0) - around), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(0) + around), [width, height]).astype(int)
    picture = rgb[top:bottom, left:right].astype(np.float32)
    corner = np.array([left, top], np.float32)
    lids = [
        _Lid.of(picture, _Eye.at(picture.shape[:2], *(line - corner for line in lines), outer_first=first))
        for lines, first in zip(eyes, (True, False), strict=True)
    ]
    overlays = []
    for level in range(1, levels + 1):
        closed = picture
        for lid, behind in zip(lids, (0.0, _LEADING), strict=True):
            closed = lid.drawn(closed, level / levels - behind * (level < levels))
        overlays.append(np.clip(closed + 0.5, 0, 255).astype(np.uint8))
    return Blinks((int(top), int(left)), np.stack(overlays))


def closing_lid(upper: Floats, lower: Floats, closure: float) -> Floats:
    """How far down the upper margin is at a closure of 0 to 1; the lower lid rises to meet it."""
    return upper + closure * _FALL * (lower - upper)


@dataclass(frozen=True, eq=False)
class _Eye:
    """Every pixel `[h, w]` in the axes of an eye: from corner to corner and down, in widths of the eye.

    Attributes:
        width: Pixels.
        across: 0 at the corner on the picture's left, 1 at the other.
        down: 0 on the line between the corners.
        upper: Where the upper margin is in the pixel's column.
        lower: The same of the lower margin.
        brow: The same of the lower edge of the brow.
        wing: How much longer lashes are there.
    """

    width: float
    across: Floats
    down: Floats
    upper: Floats
    lower: Floats
    brow: Floats
    wing: Floats

    @classmethod
    def at(cls, size: tuple[int, int], upper: Floats, lower: Floats, brow: Floats, *, outer_first: bool) -> _Eye:
        """The eye with these margins `[9, 2]` and edge `[5, 2]` in a picture of `(height, width)`."""
        first, last = (upper[0] + lower[0]) / 2, (upper[-1] + lower[-1]) / 2
        width = float(np.linalg.norm(last - first))
        axes = np.array([last - first, [first[1] - last[1], last[0] - first[0]]], np.float32).T / width**2
        rows, columns = np.indices(size, np.float32)
        across, down = np.moveaxis((np.dstack([columns, rows]) - first) @ axes, -1, 0)
        above, below = (_curve((margin - first) @ axes, np.clip(across, 0, 1)) for margin in (upper, lower))
        edge = np.interp(across, *((brow - first) @ axes).T).astype(np.float32)
        outward = across if outer_first else 1 - across
        return cls(width, across, down, above, np.maximum(above, below), edge, _WING * smoothstep(1 - outward / 0.45))


@dataclass(frozen=True, eq=False)
class _Lid:
    """What the upper lid of an eye looks like, wherever it is.

    Attributes:
        eye: Which one.
        skin: `[h, w, 3]`, with grain.
        lash_colour: `[3]`.
        lashes: How dense they are, 0 to 1.
    """

    eye: _Eye
    skin: Floats
    lash_colour: Floats
    lashes: float

    @classmethod
    def of(cls, picture: Floats, eye: _Eye) -> _Lid:
        """Take skin and lashes from a picture `[h, w, 3]` with open eyes."""
        luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        within = (eye.across > 0.05) & (eye.across < 0.95)
        beneath = within & (eye.down > eye.lower + 0.12) & (eye.down < eye.lower + 0.4)
        if not beneath.any():  # the picture ends below the eye
            beneath = np.ones_like(within)
        # Lashes, brows and glints are no skin; the crease above the eye is, although it is darker.
        ratio = luma / max(float(np.median(luma[beneath])), 1.0)
        weight = np.exp(-np.square(np.maximum(0.78 - ratio, 0) / 0.16) - np.square(np.maximum(ratio - 1.25, 0) / 0.15))
        weight = np.where(_within(eye, -0.1, _LASHES, _LOWER_LASHES), 0, weight + 1e-4)
        weight *= _within(eye, -0.35, _AROUND, _AROUND) & (eye.down > eye.brow + 0.04)
        skin = _filled(picture, weight.astype(np.float32))
        darker = np.clip(1 - luma / np.maximum(cv2.cvtColor(skin, cv2.COLOR_RGB2GRAY), 1), 0, 1)
        lashes = darker[within & (eye.down > eye.upper - 0.07) & (eye.down < eye.upper)]
        margin = within & (eye.down > eye.upper - 0.06) & (eye.down < eye.upper + 0.03)
        darkest = margin & (luma <= np.quantile(luma[margin], 0.08)) if margin.any() else margin
        colour = picture[darkest].mean(0) if darkest.any() else np.zeros(3, np.float32)
        density = float(np.clip(1.6 * lashes.mean(), 0.25, 0.9)) if lashes.size else 0.25
        return cls(eye, skin + _grain(luma, beneath, eye.width)[..., None], colour, density)

    def drawn(self, picture: Floats, closure: float) -> Floats:
        """The picture `[h, w, 3]` with this lid closed by 0 to 1."""
        eye, pixel = self.eye, 1 / self.eye.width
        margin = closing_lid(eye.upper, eye.lower, closure)
        below = eye.down - margin
        ends = smoothstep((eye.across + 0.12) / 0.12) * smoothstep((1.12 - eye.across) / 0.12)
        # The eyeball under the lid lies in its shadow, and the last of it vanishes behind the lower lid.
        shadow = 0.35 * ends * np.exp(-np.square(below / 0.06)) * ((below > 0) & (eye.down < eye.lower))
        result = picture * (1 - shadow)[..., None]
        closed = max(closure - 0.8, 0.0) / 0.2
        rising = (
            closed * ends * np.clip(below / pixel + 0.5, 0, 1) * np.clip((eye.lower + 0.05 - eye.down) / 0.03, 0, 1)
        )
        result += rising[..., None] * (0.97 * self.skin - result)
        top = smoothstep((eye.down - eye.upper + 0.11 + _LASHES + eye.wing) / 0.15)
        top *= smoothstep((eye.down - eye.brow) / 0.08)
        covered = top * ends * np.clip(0.5 - below / pixel, 0, 1)
        result += covered[..., None] * (self._shade(margin)[..., None] * self.skin - result)
        line = self._lash_line(below, closure)
        return result + line[..., None] * (self.lash_colour - result)

    def _shade(self, margin: Floats) -> Floats:
        """Light on the lid `[h, w]`: it curves over the eyeball, from the crease to the lashes."""
        eye = self.eye
        along = (eye.down - eye.upper) / np.maximum(margin - eye.upper, 0.05)
        height = (eye.down - eye.upper + 0.12) / np.maximum(eye.lower - eye.upper + 0.12, 0.05)
        middle = 4 * np.clip(eye.across, 0, 1) * np.clip(1 - eye.across, 0, 1)
        bulge = middle * np.sin(np.pi * np.clip(height, 0, 1))
        crease, lashes = smoothstep(1 - np.abs(along + 0.15) / 0.45), smoothstep((along - 0.55) / 0.45)
        return (1 - 0.08 * crease + 0.03 * bulge - 0.1 * lashes - 0.1 * (1 - middle)).astype(np.float32)

    def _lash_line(self, below: Floats, closure: float) -> Floats:
        """Opacity of the lashes `[h, w]`: a line at the margin that reaches down as the lid closes."""
        thickness = 0.012 + 0.018 * self.lashes
        reach = np.where(below < 0, 0.6 * thickness, thickness * (1 + 1.2 * closure * self.lashes))
        ends = smoothstep((self.eye.across + 0.04) / 0.22) * smoothstep((1.04 - self.eye.across) / 0.22)
        return (0.35 + 0.6 * self.lashes) * ends * np.exp(-np.square(below / reach))


def _within(eye: _Eye, side: float, above: float, below: float) -> NDArray[np.bool_]:
    """Which pixels are nearer to an eye than this; `side` is a place across."""
    across = (eye.across > side) & (eye.across < 1 - side)
    return across & (eye.down > eye.upper - above - eye.wing) & (eye.down < eye.lower + below)


def _curve(margin: Floats, across: Floats) -> Floats:
    """A lid margin `[9, 2]` at other places across: a quartic through both corners, least squares between them."""
    x, y = margin[1:-1, 0], margin[:, 1]

    def between(at: Floats) -> Floats:
        return (at * (1 - at))[..., None] * np.stack([np.ones_like(at), at, at * at], -1)

    weights = np.linalg.lstsq(between(x), y[1:-1] - y[0] - (y[-1] - y[0]) * x, rcond=None)[0]
    return (y[0] + (y[-1] - y[0]) * across + between(across) @ weights).astype(np.float32)


def _grain(luma: Floats, skin: NDArray[np.bool_], width: float) -> Floats:
    """Noise `[h, w]` as strong as the fine differences of some skin; the same for the same picture."""
    detail = (luma - cv2.GaussianBlur(luma, (0, 0), _GRAIN * width))[skin]
    noise = np.random.default_rng(0).standard_normal(luma.shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.9)
    noise -= cv2.GaussianBlur(noise, (0, 0), _GRAIN * width)
    strength = min(0.6 * float(np.median(np.abs(detail))), 3.0)
    return (strength / noise.std() * noise).astype(np.float32)


def _filled(picture: Floats, weight: Floats) -> Floats:
    """A picture `[h, w, 3]` whose pixels without weight `[h, w]` continue those around them.

    Source: Gortler et al., "The lumigraph", 1996, section 3.4 (push-pull).
    """
    if min(weight.shape) <= 2:
        mean = (picture * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return np.broadcast_to(mean, picture.shape).astype(np.float32)
    fewer = cv2.pyrDown(weight)
    coarse = _filled(cv2.pyrDown(picture * weight[..., None]) / np.maximum(fewer, 1e-6)[..., None], fewer)
    coarse = cv2.pyrUp(coarse, dstsize=weight.shape[::-1])
    near = cv2.GaussianBlur(weight, (0, 0), 1)
    own = cv2.GaussianBlur(picture * weight[..., None], (0, 0), 1) / np.maximum(near, 1e-6)[..., None]
    return coarse + np.minimum(weight, 1)[..., None] * (own - coarse)
