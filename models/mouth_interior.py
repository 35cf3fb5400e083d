"""The mouth's inside as geometry: teeth, gums and tongue, painted into the warped reference where it shows none.

Most photos show closed lips, and what is warped into the mouth's opening is then their stretched border. Here the upper
row of teeth is fixed to the skull, the lower one and the tongue to the jaw, whose opening is read from the mesh. All
are drawn in the colours that a mouth can have in this picture: no colour of it is more saturated than its skin allows.

The shapes are those of ICT-FaceKit (MIT), as relief maps that `presenter train interior` drew; see docs/adr/0017.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.mesh import INNER_LIP_PAIRS, NUM_VERTICES, UPPER_LIP, Floats, Pose, fit_pose
from models.metrics import mouth_box
from models.mouth_colours import InteriorColours, interior_colours

Picture = NDArray[np.uint8]

ASSET = Path(__file__).with_name("mouth_interior.safetensors")
RELIEF_SHAPE = (128, 192)
PIXELS_PER_UNIT = 160.0
ORIGIN = np.array([-0.6, 0.8], np.float32)  # canonical x and y of a relief's corner
EDGE = np.float32(1.13)  # canonical y of the upper incisors' edge in the reliefs
THIN = (
    0.015  # inter-ocular distances; narrower gaps would show as a dotted line, and are painted fully at twice as much
)
_SHOWN = np.float32(0.03)  # how far that edge lies below the upper lip at rest
_FRONT = np.float32(-0.19)  # canonical z of the lower incisors; what lies behind drops less as the jaw turns
_TURN = np.float32(0.75)
_LEAST_DROP = 0.9  # molars that stay higher show as white specks in the corners of the mouth
# Canonical: how much lower than in the reliefs teeth and tongue lie in speech, on the mean; lips hide most teeth.
_LOWER_REST, _TONGUE_REST = 0.03, 0.04
_BRIGHTER = np.float32(1.2)  # the reliefs' light is not frontal: brings teeth that face the camera to their colour
_DARKER = np.float32(4.0)  # how fast light falls with depth: by this exponent, per canonical unit
CHIN = 152
JAW = 0.75  # of the opening is at least the jaw's: trackers see too little of a chin's fall
CHIN_LEVER = 1.27  # the incisors drop by so much more than the chin's lowest point, which turns about the same axis
_SEAM = np.ones((3, 3), np.uint8)
# How steep edges are in 60 portraits blurred by a Gaussian of so many pixels, and about a third of one more, which
# teeth lack that lie in a plane.
_STEEPNESS, _BLUR = (0.27, 0.31, 0.37, 0.45, 0.51), (2.0, 1.5, 1.1, 0.75, 0.35)
SMOOTH = 4.0  # pixels over which lips shade what lies behind them
DIMMEST = 0.42  # of the light is left where they shade most


@dataclass(frozen=True, eq=False)
class Relief:
    """One piece of the mouth.

    Attributes:
        picture: Opacity, tooth in its light and flesh in its light `[H, W, 3]`, all but the first times the opacity.
        columns: Numbers of the columns `[W]`.
        x: Canonical x of each column `[W]`.
        z: Canonical z of each column `[W]`.
        drop: How far each column drops when the jaw opens by 1 `[W]`.
    """

    picture: Picture
    columns: Floats
    x: Floats
    z: Floats
    drop: Floats


@cache
def reliefs() -> dict[str, Relief]:
    """By name, from back to front."""
    tensors = load_file(ASSET)
    return {name: _relief(tensors[name], tensors[f"{name}.depth"]) for name in ("tongue", "lower", "upper")}


def _relief(stored: Picture, z: Floats) -> Relief:
    opacity, is_tooth, shade = (stored.astype(np.float32) / 255).transpose(2, 0, 1)
    # Less light reaches what lies further back.
    lit = opacity * shade * _BRIGHTER * np.exp(-_DARKER * (z - z.min()))
    picture = np.stack([opacity, lit * is_tooth, lit * (1 - is_tooth)], -1)
    columns = np.arange(RELIEF_SHAPE[1], dtype=np.float32)
    x = ORIGIN[0] + (columns + np.float32(0.5)) / np.float32(PIXELS_PER_UNIT)
    drop = (1 - _TURN * (z - _FRONT)).clip(_LEAST_DROP, 1.0)
    return Relief(np.clip(255 * picture + 0.5, 0, 255).astype(np.uint8), columns, x, z, drop.astype(np.float32))


@dataclass(frozen=True, eq=False)
class InteriorLook:
    """What a reference says about the inside of its mouth; constant as long as the reference is.

    Attributes:
        colours: In its light.
        blur: How much less sharp than the reliefs it is, standard deviation in pixels.
        edge: Where the upper incisors end, canonical y.
        chin: Canonical y of the chin.
        gap: Between the lips, canonical.
        sunk: How much lower than on the mean head the lower teeth lie, canonical; the tongue by half of it.
    """

    colours: InteriorColours
    blur: float
    edge: float
    chin: float
    gap: float
    sunk: float = 0.0


def interior_look(reference: Picture, points: Floats, sunk: float = 0.0) -> InteriorLook:
    """Read from a reference what `paint_interior` needs.

    Args:
        reference: A face crop `[256, 256, 3]`.
        points: The mesh in it `[>= 478, 3]`, crop pixels.
        sunk: See `InteriorLook`; no reference with closed lips tells it.
    """
    lip, chin, gap = _lips(points[:NUM_VERTICES], fit_pose(points[:NUM_VERTICES]))
    # A smile or an open mouth lifts the lip off the teeth; they do not rise with it.
    edge = lip + float(_SHOWN) + 0.7 * min(gap, 0.15)
    return InteriorLook(interior_colours(reference, points), _softness(reference, points), edge, chin, gap, sunk)


def _softness(reference: Picture, points: Floats) -> float:
    """How blurred a picture is around the mouth: from how steep its edges are, for how high they are."""
    luma = cv2.cvtColor(np.ascontiguousarray(reference[mouth_box(points, len(reference))]), cv2.COLOR_RGB2GRAY)
    bends = np.abs(cv2.Laplacian(luma, cv2.CV_32F))
    rises = np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1)) / 4
    steep = float(np.quantile(bends, 0.97) / max(float(np.quantile(rises, 0.97)), 1e-3))
    return float(np.interp(steep, _STEEPNESS, _BLUR))


class Piece(NamedTuple):
    """One piece of the mouth as a reference shows it."""

    relief: Relief
    follows: float
    """The jaw: 0 or 1."""
    lowered: float
    """How much below the relief's place it is while the jaw is closed, canonical; it turns with the jaw."""
    flesh: Floats
    """Its colour `[3]`."""


def pieces(look: InteriorLook) -> list[Piece]:
    """From back to front."""
    tongue, lower, upper = (reliefs()[name] for name in ("tongue", "lower", "upper"))
    colours = look.colours
    return [
        Piece(tongue, 1.0, _TONGUE_REST + look.sunk / 2, colours.tongue),
        Piece(lower, 1.0, _LOWER_REST + look.sunk, colours.gum),
        Piece(upper, 0.0, 0.0, colours.gum),
    ]


def paint_interior(warped: Picture, interior: Picture, points: Floats, look: InteriorLook, share: float) -> None:
    """Paint teeth, gums and tongue into the mouth's opening, in place.

    Args:
        warped: The warped reference `[256, 256, 3]`.
        interior: Where the mouth is open `[256, 256]`, 255 inside.
        points: The mesh in this frame `[>= 478, 3]`, crop pixels.
        look: Of the reference.
        share: How opaque the paint is, 0..1.
    """
    left, top, width, height = cv2.boundingRect(interior)
    if not width or share <= 0:
        return
    # Tracked lips end a pixel too early as often as too late: a seam of them must not stay between lip and teeth.
    left, top, width, height = left - 2, top - 2, width + 4, height + 4
    box = np.s_[top : top + height, left : left + width]
    pose = fit_pose(points[:NUM_VERTICES])
    _, chin, gap = _lips(points[:NUM_VERTICES], pose)
    share *= float(np.clip(gap / THIN - 1, 0, 1))
    if not share:
        return
    drop = min(max(CHIN_LEVER * (chin - look.chin) + look.gap, JAW * gap), gap + 0.05)
    inside = interior[box]
    soft = cv2.GaussianBlur(
        cv2.copyMakeBorder(inside, 8, 8, 8, 8, cv2.BORDER_CONSTANT), (0, 0), SMOOTH, borderType=cv2.BORDER_CONSTANT
    )
    # Light comes from above: the upper lip throws more shade than the lower one.
    open_to_light = (soft[5 : 5 + height, 8 : 8 + width].astype(np.float32) * np.float32(1 / 255)).clip(0.2, 1.0)
    colours = look.colours
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = colours.cavity
    for piece in pieces(look):
        lowered = look.edge - float(EDGE), piece.follows * drop + piece.lowered
        _lay(picture, piece.relief, pose, (left, top), lowered, piece.flesh, colours.tooth)
    picture *= (DIMMEST + (1 - DIMMEST) * open_to_light)[..., None]
    if look.blur:
        cv2.GaussianBlur(picture, (0, 0), look.blur, picture)
    edge = cv2.GaussianBlur(cv2.dilate(inside, _SEAM), (3, 3), 0)
    opacity = edge.astype(np.float32) * np.float32(share / 255)
    part = warped[box]
    part[:] = (part + opacity[..., None] * (picture - part) + np.float32(0.5)).astype(np.uint8)


def _lips(points: Floats, pose: Pose) -> tuple[float, float, float]:
    """Canonical y of the upper lip's lower edge and of the chin, and the gap between the lips (0 or more)."""
    upper, lower = np.array(INNER_LIP_PAIRS).T
    canonical = pose.unproject(points[[UPPER_LIP, CHIN, *upper, *lower]])[:, 1]
    count = len(upper)
    gap = float((canonical[2 + count :] - canonical[2 : 2 + count]).mean())
    return float(canonical[0]), float(canonical[1]), max(gap, 0.0)


def _lay(
    picture: Floats,
    relief: Relief,
    pose: Pose,
    corner: tuple[int, int],
    lowered: tuple[float, float],
    flesh: Floats,
    tooth: Floats,
) -> None:
    """Draw one relief over a picture `[h, w, 3]` whose first pixel is `corner` (x, y) of the crop.

    `lowered` is how much below the relief's place the piece is, as a whole and by the turning jaw.
    """
    height, width = picture.shape[:2]
    columns, rate, offset, drop = projected(relief, pose, np.arange(corner[0], corner[0] + width))
    offset = offset + np.float32(PIXELS_PER_UNIT) * lowered[0] + lowered[1] * drop
    rows = rate * np.arange(corner[1], corner[1] + height, dtype=np.float32) - np.float32(0.5)
    y = rows[:, None] - offset
    grid = np.empty_like(y)
    grid[:] = columns
    drawn = cv2.remap(relief.picture, grid, y.astype(np.float32, copy=False), cv2.INTER_LINEAR)
    parts = drawn.reshape(-1, 3).astype(np.float32)
    parts *= np.float32(1 / 255)
    flat = picture.reshape(-1, 3)
    flat *= 1 - parts[:, :1]
    flat += parts[:, 1:] @ np.stack([tooth, flesh])


def projected(relief: Relief, pose: Pose, x: NDArray[np.int64]) -> tuple[Floats, np.float32, Floats, Floats]:
    """Where a relief lies in the picture at columns `x [w]` of the crop.

    Returns:
        The columns of the relief `[w]`; its rows are `rate * y - 0.5 - offset`, with that rate and the offset `[w]`,
        which grows by so much for each unit that the jaw drops `[w]`.
    """
    rotation, scale = pose.rotation, np.float32(pose.scale)
    # Columns of the relief as they lie in the picture; what turns out of view behind others is left out.
    across = scale * (rotation[0, 0] * relief.x + rotation[0, 1] * EDGE + rotation[0, 2] * relief.z)
    across = np.maximum.accumulate(across + pose.translation[0])
    columns = np.interp(x, across, relief.columns).astype(np.float32)
    # The rows: y of the relief is affine in the picture's, with an offset of its own in every column.
    below = scale * (rotation[1, 0] * relief.x + rotation[1, 2] * relief.z) + pose.translation[1]
    rate = np.float32(PIXELS_PER_UNIT) / (scale * rotation[1, 1])
    offset = rate * below + np.float32(PIXELS_PER_UNIT * ORIGIN[1])
    nearest = np.rint(columns).astype(np.int64)
    return columns, rate, offset[nearest], np.float32(PIXELS_PER_UNIT) * relief.drop[nearest]
