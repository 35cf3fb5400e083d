"""Moves the head in a still picture: shifts it, tilts it, and turns it by the depth that its face mesh tells."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.head_motion import HeadPose, rotation
from models.mesh import FACE_OVAL, Floats, topology
from models.still import DETAIL, Picture

# Where the head turns, in inter-ocular distances from the middle of the face oval: the neck, just under the chin.
NECK_BELOW = 1.4
EARS = (234, 454)  # as deep in the head as the axis it turns about
# The head as an ellipse around the face's middle: hair belongs to it.
_HEAD_ABOVE = 0.35
_HEAD_RADII = (1.3, 1.9)
_SMOOTHNESS = 0.1  # of the depth, inter-ocular distances
_SPREADING = 1200  # rounds in which the depth of the face spreads over the head; more change less than a hundredth
_COARSE = 4
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
    """

    def __init__(self, size: tuple[int, int], landmarks: Floats, unit: float) -> None:
        height, width = size
        middle = landmarks[FACE_OVAL, :2].mean(0)
        self._unit = unit
        self._size = (width, height)
        self._grid = DETAIL * _grid(width, height, 1)
        # The field is smooth: a sixteenth of its values say it all, and cost a sixteenth.
        coarse = _grid(width // _COARSE, height // _COARSE, _COARSE)
        centre = middle - [0, _HEAD_ABOVE * unit]
        distance = np.hypot(*np.moveaxis((coarse - centre) / np.multiply(_HEAD_RADII, unit), -1, 0))
        weight = _smoothstep((1.75 - distance) / 0.65)
        depth = _depth(coarse, landmarks, distance < 1.1, unit)
        from_pivot = coarse - (middle + [0, NECK_BELOW * unit])
        self._points = np.dstack([from_pivot * weight[..., None], depth * weight, weight]).astype(np.float32)
        self._coarse_places = _grid(width // _COARSE, height // _COARSE, 1)

    def apply(self, picture: Picture, pose: HeadPose) -> Picture:
        """The frame `[H, W, C]` with the head in a pose, from the `detailed` picture `[2 H, 2 W, C]`."""
        return self.move(picture, self.positions(pose))

    def positions(self, pose: HeadPose) -> Floats:
        """Where in the `detailed` picture each pixel of the frame comes from `[H, W, 2]`."""
        pose = limited(pose)
        offset = np.array([[pose.right], [pose.down]], np.float32) * self._unit
        change = np.hstack([rotation(pose)[:2] - np.eye(2, 3, dtype=np.float32), offset])
        forward = cv2.transform(self._points, change)
        moved = forward
        for _ in range(3):  # what arrives at a pixel comes from where it is not yet
            places = cv2.scaleAdd(moved, -1 / _COARSE, self._coarse_places)
            moved = cv2.remap(forward, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        fine = cv2.resize(moved, self._size, interpolation=cv2.INTER_LINEAR)
        return cv2.scaleAdd(fine, -DETAIL, self._grid)

    @staticmethod
    def move(picture: Picture, positions: Floats) -> Picture:
        """The frame `[H, W, C]` whose pixels come from `positions` in the `detailed` picture `[2 H, 2 W, C]`."""
        return cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def limited(pose: HeadPose) -> HeadPose:
    """A pose that a picture stands; small ones stay as they are."""
    return HeadPose(*(float(limit * np.tanh(value / limit)) for value, limit in zip(pose, _LIMITS, strict=True)))


def _depth(coarse: Floats, landmarks: Floats, head: NDArray[np.bool_], unit: float) -> Floats:
    """Depth at each pixel of the coarse grid, pixels from the axis of the head away from the viewer `[h, w]`."""
    axis = landmarks[list(EARS), 2].mean()
    places = (landmarks - [*coarse[0, 0], axis]) / [_COARSE, _COARSE, 1]
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
    return cv2.GaussianBlur(depth, (0, 0), _SMOOTHNESS * unit / _COARSE)


def _smoothstep(share: Floats) -> Floats:
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3 - 2 * share)


def _grid(width: int, height: int, step: int) -> Floats:
    """Pixel centres `[H, W, 2]` of a picture shrunk by `step`, in the picture's own coordinates."""
    x, y = (np.arange(n, dtype=np.float32) * step + (step - 1) / 2 for n in (width, height))
    return np.stack(np.meshgrid(x, y), -1)
