"""The part of a picture in which a face is looked for: a square, turned with the head."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats

_MARGIN = 1.5  # the square's side, as a multiple of the face's longer side
_OUTER_EYE_CORNERS = (33, 263)


class Region(NamedTuple):
    """A square of `side` pixels about `(x, y)`, turned by `angle` radians (clockwise in the picture).

    Coordinates are MediaPipe's: pixel `u` of a cut is read at `to_picture` of `u`, without half a pixel for its centre.
    """

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def around(cls, points: Floats, first_eye: Floats, second_eye: Floats) -> Region:
        """The region of a face: `points [N, 2]` span its bounding box, the eyes `[2]` give its rotation."""
        low, high = points.min(0), points.max(0)
        x, y = (low + high) / 2
        dx, dy = second_eye - first_eye
        return cls(float(x), float(y), _MARGIN * float((high - low).max()), float(np.arctan2(dy, dx)))

    @classmethod
    def of_landmarks(cls, landmarks: Floats) -> Region:
        """Where the face with these landmarks `[478, 3]` will be in the next frame."""
        points = landmarks[:, :2]
        first, second = _OUTER_EYE_CORNERS
        return cls.around(points, points[first], points[second])

    def to_picture(self, size: int) -> Floats:
        """The affine map `[2, 3]` from pixels of a cut of `size` pixels to the picture's."""
        scale = self.side / size
        cosine, sine = scale * np.cos(self.angle), scale * np.sin(self.angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        shift = np.array([self.x, self.y]) - turn @ np.full(2, size / 2)
        return np.column_stack([turn, shift]).astype(np.float32)

    def cut(self, rgb: NDArray[np.uint8], size: int, border: int = cv2.BORDER_REPLICATE) -> NDArray[np.uint8]:
        """The region upright as `[size, size, 3]`."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(rgb, self.to_picture(size), (size, size), flags=flags, borderMode=border).astype(np.uint8)

    def overlap(self, other: Region) -> float:
        """Intersection over union of the two squares, as if neither were turned."""
        reach = (self.side + other.side) / 2
        longest = min(self.side, other.side)
        width, height = (
            float(np.clip(reach - abs(a - b), 0, longest)) for a, b in ((self.x, other.x), (self.y, other.y))
        )
        shared = width * height
        union = self.side**2 + other.side**2 - shared
        return shared / union if union > 0 else 0.0
