"""A tracked video of a person: which of its frames are learnt from, and the crops of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.crop import crop_points, crop_transform, cut_crop
from models.mesh import Floats, Pose, aperture
from models.references import APART, References, choose, consistent
from presenter.enroll.faces import shrink
from presenter.enroll.video import DecodedFrame, DecodedVideo
from presenter.video.face_track import Face, FaceTrack

Picture = NDArray[np.uint8]

_MOST, _MOST_HELD_OUT = 320, 36
_MAX_YAW = 30.0
_BLOCKS = 30  # of the video; every tenth is kept back, as a whole: neighbouring frames are nearly the same
_EVERY = 10


class FilmedFace(NamedTuple):
    """A tracked video: what references and personalisation need besides the identity.

    Attributes:
        video: Where its frames come from.
        turns: Quarter turns, counter-clockwise, that make them upright.
        track: The face in each.
        scale: By how much frames are shrunk, so that the face is as large as in the presenter's picture.
    """

    video: DecodedVideo
    turns: int
    track: FaceTrack
    scale: float

    def frames(self, wanted: list[int]) -> Iterator[DecodedFrame]:
        """Some of its frames, upright."""
        return upright_frames(self.video, self.turns, wanted)

    def face(self, index: int) -> Face:
        """The face in a frame that is known to have one."""
        face = self.track.faces[index]
        assert face is not None
        return face

    def split(self) -> tuple[list[int], list[int]]:
        """Frames to learn from and frames that are kept back, ascending; half a second or a block lies between them."""
        faces = self.track.faces
        usable = [i for i, face in enumerate(faces) if face is not None and abs(face.pose.yaw_degrees) < _MAX_YAW]
        block = max(len(faces) // _BLOCKS, 1)
        kept = {i for i in range(len(faces)) if i // block % _EVERY == _EVERY - 1}
        near = min(APART, block)
        learnt = [i for i in usable if kept.isdisjoint(range(i - near, i + near + 1))]
        return self._spread(learnt, _MOST), self._spread([i for i in usable if i in kept], _MOST_HELD_OUT)

    def points(self, index: int) -> Floats:
        """The extended mesh in the crop of a frame `[514, 3]`."""
        face = self.face(index)
        pose = _scaled(face.pose, self.scale)
        return crop_points(face.mesh, self.track.neutral, pose, crop_transform(pose))

    def crop(self, rgb: Picture, index: int) -> Picture:
        """The crop `[256, 256, 3]` of a frame."""
        pose = self.face(index).pose
        small = shrink(rgb, self.scale) if self.scale < 1 else rgb
        return cut_crop(small, crop_transform(_scaled(pose, self.scale)), sharp=True)

    def references(self) -> References | None:
        """The person's references; None if no frame can be learnt from."""
        learnt, _ = self.split()
        if not learnt:
            return None
        points = np.stack([self.points(index) for index in learnt])
        chosen = choose(points)
        pictures = [self.crop(rgb, index) for index, rgb in self.frames([learnt[i] for i in chosen])]
        if not pictures:
            return None
        references = References(np.stack(pictures), points[chosen[: len(pictures)]])
        return references.only(consistent(references))

    def _spread(self, indices: list[int], count: int) -> list[int]:
        """At most `count` of the frames, which cover the range of mouth openings evenly."""
        order = sorted(indices, key=lambda i: float(aperture(self.face(i).mesh)))
        if len(order) > count:
            order = [order[int(place)] for place in np.linspace(0, len(order) - 1, count).round()]
        return sorted(order)


def upright_frames(video: DecodedVideo, turns: int, wanted: list[int] | None = None) -> Iterator[DecodedFrame]:
    """Frames of a video that is held in another way than its file says."""
    for index, rgb in video.frames(wanted):
        yield DecodedFrame(index, np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb)


def _scaled(pose: Pose, scale: float) -> Pose:
    """The pose in a picture that is shrunk; one that would grow stays as it is."""
    if scale >= 1:
        return pose
    half = np.array([0.5, 0.5, 0], np.float32)
    return Pose(pose.scale * scale, pose.rotation, scale * (pose.translation + half) - half)
