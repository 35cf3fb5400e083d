"""The square around a whole face, and a face in it as texture of the mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import to_crop
from models.mesh import Floats, Pose
from models.raster import ring_points
from models.source_face import without_hair

Picture = NDArray[np.uint8]

FACE_SIDE = 3.7
"""Side of the square around a face, inter-ocular distances."""
_CENTRE = np.array([0.0, 0.75, 0.0], np.float32)


@dataclass(frozen=True, eq=False)
class FaceTexture:
    """A face in a picture, as texture of the mesh.

    Attributes:
        picture: The square around it `[S, S, 3]`.
        points: The extended mesh in it `[514, 3]`, pixels.
        neutral: The person's closed-mouth mesh, canonical `[478, 3]`.
    """

    picture: Picture
    points: Floats
    neutral: Floats

    @classmethod
    def of(cls, frame: Picture, mesh: Floats, neutral: Floats, pose: Pose, size: int) -> FaceTexture:
        """Cut a face `[478, 3]` out of a frame, `size` pixels wide."""
        transform = face_transform(pose, size)
        return cls(cut_face(frame, transform, size), face_points(mesh, neutral, pose, transform), neutral)

    def bared(self) -> FaceTexture:
        """The same without hair before the face, for a source; takes half a second."""
        return replace(self, picture=without_hair(self.picture, self.points, len(self.picture) / FACE_SIDE))


def face_transform(pose: Pose, size: int) -> Floats:
    """The affine map `[2, 3]` from frame pixels to the square around a face, upright."""
    centre = pose.project(_CENTRE)[:2]
    roll = np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0])
    scale = size / (FACE_SIDE * pose.scale)
    linear = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.concatenate([linear, (size / 2 - linear @ centre)[:, None]], 1).astype(np.float32)


def cut_face(frame: Picture, transform: Floats, size: int) -> Picture:
    """Resample the square `[size, size, 3]` out of a frame."""
    flags = cv2.INTER_AREA if np.hypot(*transform[0, :2]) < 0.5 else cv2.INTER_LINEAR
    return cv2.warpAffine(frame, transform, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def face_points(mesh: Floats, neutral: Floats, pose: Pose, transform: Floats) -> Floats:
    """The extended mesh `[514, 3]` in the square, pixels, of a canonical mesh and the person's neutral one."""
    return to_crop(pose.project(np.concatenate([mesh, ring_points(neutral)])), transform)
