"""Moves the head in a still picture: shifts it, tilts it, and turns it by the depth of its face mesh."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.head_motion import HeadPose, rotation
from models.mesh import FACE_OVAL, Floats, topology
from models.still import DETAIL, Box, Picture

# Where the head turns, in inter-ocular distances from the middle of the face oval: the neck, just under the chin.
NECK_BELOW = 1.4
EARS = (234, 454)  # as deep in the head as the axis it turns about
# The head as an ellipse around the face's middle: hair belongs to it.
_HEAD_ABOVE = 0.35
_HEAD_RADII = (1.3, 1.9)
_SMOOTHNESS = 0.1  # of the depth, inter-ocular distances
_SPREADING = 1200  # rounds in which the depth of the face spreads over the head; more change less than a hundredth
_LIMITS = HeadPose(0.16, 0.12, *np.radians([9, 14, 13]))
"""What a picture stands: a pose comes ever closer to these and never gets there."""


class HeadWarp:
    """Moves the head in a picture and leaves shoulders and background where they are.

    Every pixel of the head goes where its point in space goes when the head turns about the neck. Depth is known for
    the face, and falls smoothly to that of the axis at the outline of the head: a turn moves the nose much, the ears
    little and the background not at all.

    Args:
        size: `(height, width)` of the frame.
        landmarks: The face in the frame `[478, 3]`, pixels.
        unit: Pixels per inter-ocular distance.

    Attributes:
        box: Rows and columns of the frame that can move; all others stay for ever.
        field: On a coarse grid over the whole frame and one cell around, x, y and depth from the point about which the
            head turns, and 1, all times how much of a head is there `[H / cell + 2, W / cell + 2, 4]`, see `cell_size`.
    """

    def __init__(self, size: tuple[int, int], landmarks: Floats, unit: float) -> None:
        height, width = size
        middle = landmarks[FACE_OVAL, :2].mean(0)
        self._unit = unit
        self._cell = cell = cell_size(height)
        # The field is smooth: a sixteenth of its values suffice, at a sixteenth of the cost. One cell more on every
        # side, so that positions are right up to the border.
        coarse = grid(-(-width // cell) + 2, -(-height // cell) + 2, cell) - np.float32(cell)
        centre = middle - [0, _HEAD_ABOVE * unit]
        distance = np.hypot(*np.moveaxis((coarse - centre) / np.multiply(_HEAD_RADII, unit), -1, 0))
        weight = smoothstep((1.75 - distance) / 0.65)
        depth = _depth(coarse, landmarks, distance < 1.1, unit, cell)
        from_pivot = coarse - (middle + [0, NECK_BELOW * unit])
        points = np.dstack([from_pivot * weight[..., None], depth * weight, weight]).astype(np.float32)
        cut, self.box = _moving(weight, size, cell)
        self.field = points
        self._points = np.ascontiguousarray(points[cut])
        self._coarse = np.ascontiguousarray(coarse[cut])
        self._places = grid(self._coarse.shape[1], self._coarse.shape[0], 1)

    def apply(self, picture: Picture, pose: HeadPose) -> Picture:
        """The frame `[H, W, C]` with the head in a pose, from the `detailed` picture `[2 H, 2 W, C]`."""
        frame = picture[::DETAIL, ::DETAIL].copy()
        positions = self.positions(self.shifts(pose))
        frame[self.box] = cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return frame

    def shifts(self, pose: HeadPose) -> Floats:
        """How far what is seen was moved, pixels of the frame, on a coarse grid over `box` `[h, w, 2]`."""
        forward = cv2.transform(self._points, self.change(pose))
        moved = forward
        for _ in range(3):  # the inverse map, by fixed-point iteration
            places = cv2.scaleAdd(moved, -1 / self._cell, self._places)
            moved = cv2.remap(forward, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return moved

    def change(self, pose: HeadPose) -> Floats:
        """By how much a pose moves a point of `field`, as a product `[2, 4]`; pixels."""
        pose = limited(pose)
        offset = np.array([[pose.right], [pose.down]], np.float32) * self._unit
        return np.hstack([rotation(pose)[:2] - np.eye(2, 3, dtype=np.float32), offset])

    def positions(self, shifts: Floats) -> Floats:
        """Where in the `detailed` picture each pixel of `box` comes from `[h, w, 2]`."""
        coarse = DETAIL * (self._coarse - shifts)
        cell = self._cell
        fine = cv2.resize(coarse, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
        rows, columns = self.box
        height, width = rows.stop - rows.start, columns.stop - columns.start
        return fine[cell : cell + height, cell : cell + width]


def cell_size(height: int) -> int:
    """Pixels per cell of the field in a frame of that height: a finer picture needs no finer field."""
    return 4 if height <= 512 else 8


def _moving(weight: Floats, size: tuple[int, int], cell: int) -> tuple[Box, Box]:
    """Where the head can move anything: in cells of the padded grid, with one more around, and in pixels."""
    cells, pixels = [], []
    for axis, length in enumerate(size):
        moving = np.flatnonzero((weight > 0).any(1 - axis))
        low, high = max(int(moving[0]) - 1, 1), min(int(moving[-1]) + 2, weight.shape[axis] - 1)
        cells.append(slice(low - 1, high + 1))
        pixels.append(slice(cell * (low - 1), min(cell * (high - 1), length)))
    return (cells[0], cells[1]), (pixels[0], pixels[1])


def limited(pose: HeadPose) -> HeadPose:
    """A pose that a picture stands; small ones stay as they are."""
    return HeadPose(*(float(limit * np.tanh(value / limit)) for value, limit in zip(pose, _LIMITS, strict=True)))


def _depth(coarse: Floats, landmarks: Floats, head: NDArray[np.bool_], unit: float, cell: int) -> Floats:
    """Depth at each pixel of the coarse grid, pixels from the axis of the head away from the viewer `[h, w]`."""
    axis = landmarks[list(EARS), 2].mean()
    places = (landmarks - [*coarse[0, 0], axis]) / [cell, cell, 1]
    face = np.zeros(head.shape, np.float32)
    known = np.zeros(head.shape, np.uint8)
    triangles = places[topology().triangles]
    for corners in triangles[np.argsort(-triangles[..., 2].mean(1))]:  # the nearest last
        outline = np.rint(corners[:, :2]).astype(np.int32)
        cv2.fillConvexPoly(face, outline, float(corners[:, 2].mean()))
        cv2.fillConvexPoly(known, outline, 1)
    depth = face.copy()
    outside = ~head & (known == 0)
    for _ in range(_SPREADING):  # towards the membrane between face and outline
        depth = cv2.blur(depth, (3, 3))
        np.copyto(depth, face, where=known == 1)
        depth[outside] = 0
    return cv2.GaussianBlur(depth, (0, 0), _SMOOTHNESS * unit / cell)


def smoothstep(share: Floats) -> Floats:
    """0 up to 0, 1 from 1 on, smooth between."""
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3 - 2 * share)


def grid(width: int, height: int, step: int) -> Floats:
    """Pixel centres `[H, W, 2]` of a picture shrunk by `step`, in the picture's own coordinates."""
    x, y = (np.arange(n, dtype=np.float32) * step + (step - 1) / 2 for n in (width, height))
    return np.stack(np.meshgrid(x, y), -1)
