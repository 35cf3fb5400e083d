"""Frames of a video in which something is before the mouth: a hand, a microphone, a cup.

In the first pass small squares around the face are kept, packed; when all are there, the clip's own look is their
median, and the network compares each with it (docs/adr/0024-occlusions.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import crop_mask, crop_transform
from models.face_square import FaceTexture, cut_face, face_points, face_transform
from models.mesh import INNER_LIP_RING, Floats, Pose
from models.occlusion import SIZE, OcclusionFinder, face_area, own_look

Picture = NDArray[np.uint8]

_JPEG_QUALITY = 92
_LOOK_FRAMES = 25
_LIP_EDGE = (
    5  # pixels of the square: thickness of the line around the mouth's opening where lips and teeth are mistaken
)
_SURE = 0.7  # what the network says of a pixel that counts; it is unsure where light and pose change
_COVERED = 0.10  # of what would be painted, from which a frame is left as it is
_STILL_COVERED = 0.04  # the same beside such a frame


class FaceSquare(NamedTuple):
    """A square around a face, packed to about 4 KB, and the affine map `[2, 3]` into it."""

    packed: NDArray[np.uint8]
    transform: Floats

    @classmethod
    def of(cls, rgb: Picture, pose: Pose) -> FaceSquare:
        """Cut it out of a frame."""
        transform = face_transform(pose, SIZE)
        bgr = cv2.cvtColor(cut_face(rgb, transform, SIZE), cv2.COLOR_RGB2BGR)
        return cls(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1], transform)

    def picture(self) -> Picture:
        """`[96, 96, 3]`."""
        return cv2.cvtColor(cv2.imdecode(self.packed, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB).astype(np.uint8)


class Seen(NamedTuple):
    """A face in a frame: its canonical mesh `[478, 3]`, its pose, and the square around it."""

    mesh: Floats
    pose: Pose
    square: FaceSquare


def covered_mouths(seen: Sequence[Seen | None], neutral: Floats) -> NDArray[np.bool_]:
    """Which frames `[T]` show something before what lip-sync paints.

    Args:
        seen: The face in each frame; None where there is none.
        neutral: The person's closed-mouth mesh `[478, 3]`.
    """
    return lasting(covered_shares(seen, neutral))


def covered_shares(seen: Sequence[Seen | None], neutral: Floats) -> Floats:
    """How much of what lip-sync paints is covered in each frame `[T]`, 0..1; see `covered_mouths`."""
    there = [each for each in seen if each is not None]
    covered = np.zeros(len(seen), np.float32)
    if not there:
        return covered
    picks = np.linspace(0, len(there) - 1, min(len(there), _LOOK_FRAMES)).round().astype(int)
    look = own_look([_texture(there[k], neutral) for k in picks])
    finder = OcclusionFinder()
    for k, each in enumerate(seen):
        if each is not None:
            covered[k] = _covered_share(finder, each, _texture(each, neutral), look)
    return covered


def _texture(seen: Seen, neutral: Floats) -> FaceTexture:
    points = face_points(seen.mesh, neutral, seen.pose, seen.square.transform)
    return FaceTexture(seen.square.picture(), points, neutral)


def _covered_share(finder: OcclusionFinder, seen: Seen, own: FaceTexture, look: FaceTexture) -> float:
    """How much of the skin that would be painted is covered, 0..1; teeth and tongue can look like anything."""
    to_frame = np.vstack([cv2.invertAffineTransform(crop_transform(seen.pose)), [0, 0, 1]])
    painted = cv2.warpAffine(crop_mask(), seen.square.transform @ to_frame, (SIZE, SIZE)) * face_area(own.points)
    mouth = np.rint(own.points[INNER_LIP_RING, :2]).astype(np.int32)
    cv2.fillPoly(painted, [mouth], 0)
    cv2.polylines(painted, [mouth], True, 0, _LIP_EDGE)
    found = finder.mask(own.picture, own.points, look) > _SURE
    return float((found * painted).sum() / max(painted.sum(), 1e-6))


def lasting(covered: Floats) -> NDArray[np.bool_]:
    """Frames `[T]` that are covered, and their neighbours as long as anything is; a single frame is no occlusion."""
    padded = np.pad(covered, 1, mode="edge")
    middle = np.median([padded[:-2], padded[1:-1], padded[2:]], 0)
    found = middle >= _COVERED
    weak = middle >= _STILL_COVERED
    for indices in (range(1, len(found)), range(len(found) - 2, -1, -1)):
        step = -1 if indices.step > 0 else 1
        for k in indices:
            found[k] |= weak[k] & found[k + step]
    return found
