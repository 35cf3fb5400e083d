"""Brows and gaze of a still picture: both move as another face's do, by a smooth field of shifts."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from models.eyelids import LOWER_LIDS, UPPER_LIDS, closing_lid
from models.head_motion import EYES_CLOSED
from models.head_warp import smoothstep
from models.mesh import Floats
from models.still import DETAIL, Box, reach

# Of each brow, from its outer to its inner end and on to the other's outer end: upper and lower edge.
_BROW_EDGES = np.array(
    [[70, 46], [63, 53], [105, 52], [66, 65], [107, 55], [336, 285], [296, 295], [334, 282], [293, 283], [300, 276]]
)
_IRISES = (468, 473)
_IRIS_RIMS = (slice(469, 473), slice(474, 478))
# What a picture stands, inter-ocular distances, as in `models.head_warp`; brows that come down meet the eyes.
_RAISED, _LOWERED, _SIDEWAYS = 0.13, 0.07, 0.05
_GAZE = np.array([0.06, 0.035])
# How the tracker sees brows and irises that this warp moves by known lengths: it finds this share, as of a head's turn
# (`models.user_head`). A gaze up or down it hardly finds, and what it says of it is not made larger.
_FOUND_BROWS, _FOUND_GAZE = 0.52, np.array([0.5, 1.0])
# Lengths of the field, inter-ocular distances.
_ALONG = 0.13  # of a brow's point along the brow
_ABOVE, _BESIDE = 0.6, 0.3  # over which a brow's movement fades: forehead and temples
_RIM = 0.03  # lashes that slide along the lid with the iris
_COARSE = 8  # pixels of the detailed still per cell of the brows' field
_ROUNDS = 4


class UpperFace(NamedTuple):
    """By how much brows and irises have moved; inter-ocular distances, canonical space."""

    brows: Floats
    """`[10, 2]`, right and down."""
    gaze: Floats
    """`[2]`, of the irises from the middle of the eyes, right and down."""


def looking(right: float, down: float) -> UpperFace | None:
    """Irises that have moved so far, inter-ocular distances, and brows that have not; None if nothing has."""
    if not right and not down:
        return None
    return UpperFace(np.zeros((len(_BROW_EDGES), 2), np.float32), np.array([right, down], np.float32))


def read_upper_face(mesh: Floats) -> UpperFace:
    """Measure a tracked canonical mesh `[478, 3]`; only the differences between two are lengths of a face."""
    middles = [mesh[[upper[0], upper[-1]], :2].mean(0) for upper in UPPER_LIDS]
    gaze = np.mean([mesh[iris, :2] - middle for iris, middle in zip(_IRISES, middles, strict=True)], 0)
    return UpperFace(mesh[_BROW_EDGES, :2].mean(1) / _FOUND_BROWS, gaze / _FOUND_GAZE)


class UpperFaceWarp:
    """Moves brows and irises in a `detailed` still.

    Brows take the forehead along, and leave lids and temples; irises slide between their lids.

    Args:
        landmarks: The face in the frame `[478, 3]`, pixels.
        unit: Pixels per inter-ocular distance.
    """

    def __init__(self, landmarks: Floats, unit: float) -> None:
        points, self._unit = landmarks[:, :2] * np.float32(DETAIL), unit * DETAIL
        self._brows = points[_BROW_EDGES].mean(1)
        self._eyes = [
            _Eye(points[upper], points[lower], points[rim], self._unit)
            for upper, lower, rim in zip(UPPER_LIDS, LOWER_LIDS, _IRIS_RIMS, strict=True)
        ]
        lids = np.concatenate([points[lid] for lid in (*UPPER_LIDS, *LOWER_LIDS)])
        margin = np.multiply([_BESIDE, _ABOVE], self._unit)
        self._low = np.floor(np.minimum(self._brows.min(0), lids.min(0)) - margin).astype(np.float32)
        self._high = (np.maximum(self._brows.max(0), lids.max(0)) + [margin[0], _RIM * self._unit]).astype(np.float32)
        self._size = tuple(int(n) for n in np.ceil((self._high - self._low) / _COARSE) + 1)
        self._cells = self._low + _COARSE * np.stack(np.meshgrid(*(np.arange(n) for n in self._size)), -1)
        self._spread = self._weights(np.concatenate([points[upper] for upper in UPPER_LIDS]))

    def move(self, positions: Floats, shifts: Floats, box: Box, to: UpperFace, eyelids: int) -> None:
        """Change where in the still each pixel comes from, in place.

        Args:
            positions: From `HeadWarp.positions` `[h, w, 2]`.
            shifts: From `HeadWarp.shifts`.
            box: Its box.
            to: How far from the still's own brows and gaze.
            eyelids: Level of closure.
        """
        if to.brows.any():
            part = positions[reach(self._low / DETAIL, self._high / DETAIL, shifts, box)]
            places = (part - self._low) / np.float32(_COARSE)
            field = self._brow_field(to.brows)
            part -= cv2.remap(field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gaze = _GAZE * np.tanh(to.gaze / _GAZE) * self._unit
        for eye in self._eyes:
            low, high = (np.asarray(end / DETAIL, np.float32) for end in (eye.low, eye.high))
            part = positions[reach(low, high, shifts, box)]
            eye.look(part, gaze, eyelids / EYES_CLOSED)

    def _weights(self, lids: Floats) -> Floats:
        """How far each cell goes with each point of the brows `[h, w, 10]`."""
        x, y = np.moveaxis(self._cells, -1, 0)
        near = np.exp(-0.5 * np.square((x[..., None] - self._brows[:, 0]) / (_ALONG * self._unit)))
        near /= near.sum(-1, keepdims=True) + 1e-12
        order = np.argsort(self._brows[:, 0])
        brow = np.interp(x, *self._brows[order].T)
        order = np.argsort(lids[:, 0])
        lid = np.interp(x, *lids[order].T)
        above = 1 - (brow - y) / (_ABOVE * self._unit)
        below = (lid - y) / np.maximum(lid - brow, 1)
        outside = np.maximum(self._brows[:, 0].min() - x, x - self._brows[:, 0].max())
        beside = 1 - outside / (_BESIDE * self._unit)
        weight = smoothstep(np.where(y < brow, above, below)) * smoothstep(beside)
        return np.asarray(near * weight[..., None], np.float32)

    def _brow_field(self, brows: Floats) -> Floats:
        """How far what each cell shows has come `[h, w, 2]`, pixels of the still."""
        vertical = np.where(brows[:, 1] < 0, _RAISED, _LOWERED)
        limits = np.stack([np.full(len(brows), _SIDEWAYS), vertical], -1)
        moved = self._unit * limits * np.tanh(brows / limits)
        forward = np.ascontiguousarray(self._spread @ moved.astype(np.float32))
        grid = ((self._cells - self._low) / _COARSE).astype(np.float32)
        field = forward
        for _ in range(_ROUNDS):  # the inverse map, by fixed-point iteration
            field = cv2.remap(
                forward, grid - field / np.float32(_COARSE), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        return np.asarray(field, np.float32)


class _Eye:
    """One eye of a detailed still; its lids as heights over its columns."""

    def __init__(self, upper: Floats, lower: Floats, rim: Floats, unit: float) -> None:
        self._left, self._right = float(upper[:, 0].min()), float(upper[:, 0].max())
        self._upper, self._lower = upper, lower
        self._margin = _RIM * unit
        self._iris = float(rim[:, 0].min()), float(rim[:, 0].max())
        self.low = np.array([self._left, min(upper[:, 1].min(), lower[:, 1].min()) - self._margin], np.float32)
        self.high = np.array([self._right, max(upper[:, 1].max(), lower[:, 1].max()) + self._margin], np.float32)

    def look(self, positions: Floats, gaze: Floats, closure: float) -> None:
        """Let the iris slide by `gaze`, pixels of the still, between lids that are closed by a share; in place."""
        inside = np.all((positions > self.low) & (positions < self.high), -1)
        if closure == 1 or not inside.any():
            return
        x, y = positions[inside].T
        above, below = self._lids(x, closure)
        from_x = x - gaze[0] * self._along(x)
        from_above, from_below = self._lids(from_x, closure)
        # An iris that moves keeps its share of the way from lid to lid, so that it never shows skin.
        height = np.maximum(below - above, 1e-3)
        share = np.clip((y - above) / height, 0, 1)
        slid = share - gaze[1] / np.maximum(height, 4 * self._margin) * np.sin(np.pi * share)
        from_y = from_above + np.clip(slid, 0, 1) * (from_below - from_above) + (y - np.clip(y, above, below))
        outside = np.maximum(above - y, y - below)
        weight = smoothstep(1 - outside / self._margin) * smoothstep(height / self._margin - 1)
        moved = np.stack([x + weight * (from_x - x), y + weight * (from_y - y)], -1)
        positions[inside] = moved

    def _along(self, x: Floats) -> Floats:
        """How far each column goes with the iris: whole where it is and arrives, not at all in the corners."""
        first, last = self._iris
        return smoothstep((x - self._left) / max(first - self._left, 1)) * smoothstep(
            (self._right - x) / max(self._right - last, 1)
        )

    def _lids(self, x: Floats, closure: float) -> tuple[Floats, Floats]:
        lid, bottom = (np.interp(x, edge[:, 0], edge[:, 1]).astype(np.float32) for edge in (self._upper, self._lower))
        return closing_lid(lid, bottom, closure), bottom
