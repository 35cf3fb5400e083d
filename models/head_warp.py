"""Moves the head in a still picture."""

from __future__ import annotations

import cv2
import numpy as np

from models.head_motion import HeadPose
from models.mesh import FACE_OVAL, Floats
from models.still import DETAIL, Picture


class HeadWarp:
    """Moves the head in a picture and leaves shoulders and background where they are.

    Args:
        size: `(height, width)` of the frame.
        landmarks: The face in the frame `[478, 3]`, pixels.
        unit: Pixels per inter-ocular distance.
    """

    def __init__(self, size: tuple[int, int], landmarks: Floats, unit: float) -> None:
        height, width = size
        oval = landmarks[FACE_OVAL, :2]
        centre = oval.mean(0) - [0, 0.35 * unit]  # hair belongs to the head
        pivot = oval.mean(0) + [0, 2.2 * unit]  # the neck
        self._unit = unit
        self._size = (width, height)
        self._grid = DETAIL * _grid(width, height, 1)
        # The field is smooth: a sixteenth of its values say it all, and cost a sixteenth.
        coarse = _grid(width // _COARSE, height // _COARSE, _COARSE)
        distance = np.hypot(*np.moveaxis((coarse - centre) / [1.3 * unit, 1.9 * unit], -1, 0))
        fade = np.clip((1.75 - distance) / 0.65, 0.0, 1.0)[..., None]
        self._weight = (fade * fade * (3 - 2 * fade)).astype(np.float32)
        from_pivot = coarse - pivot
        turned = np.stack([-from_pivot[..., 1], from_pivot[..., 0]], -1)
        self._turn = (self._weight * turned).astype(np.float32)

    def apply(self, picture: Picture, pose: HeadPose) -> Picture:
        """The frame `[H, W, C]` with the head in a pose, from the `detailed` picture `[2 H, 2 W, C]`."""
        right, down, roll = DETAIL * np.array(pose[:3], np.float32)
        offset = np.array([right, down], np.float32) * self._unit
        moved = self._weight * offset + self._turn * roll
        positions = cv2.subtract(self._grid, cv2.resize(moved, self._size, interpolation=cv2.INTER_LINEAR))
        return cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


_COARSE = 4


def _grid(width: int, height: int, step: int) -> Floats:
    """Pixel centres `[H, W, 2]` of a picture shrunk by `step`, in the picture's own coordinates."""
    x, y = (np.arange(n, dtype=np.float32) * step + (step - 1) / 2 for n in (width, height))
    return np.stack(np.meshgrid(x, y), -1)
