"""The first pass over a video: where one person's face is in each frame, and which frames serve as references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CROP_SIDE, CROP_SIZE, crop_transform
from models.mesh import Floats, Pose, aperture, canonicalise, closed_mouth_neutral
from models.tracker import FaceTracker
from presenter.errors import MediaError
from presenter.video.before_face import FaceSquare, Seen, covered_mouths
from presenter.video.reference_choice import Candidates
from stream.files.reader import TimedFrame

Picture = NDArray[np.uint8]

MAX_YAW, MAX_PITCH = 40.0, 30.0  # degrees; beyond, half of the mouth is hidden
MIN_SCALE = 16.0  # pixels between the eyes; smaller faces show no lips
MAX_DETAIL = 4
_MAX_FACES = 4
_SAME_FACE = 0.5  # of the face's size: what it moves at most from frame to frame
_POSE_BIN = 10.0  # degrees; one reference per bin of yaw and pitch
_TEETH = 0.15  # lip opening that shows teeth and tongue best
_TEETH_AT_LEAST = 0.08
_OPEN = 0.03  # inter-ocular distances by which a reference may be more open than the neutral mouth
_NEAR_COVERED = 3  # frames from a covered mouth within which none is a reference
_SMOOTH_FRAMES = 1.0  # standard deviation of the filter over tracked landmarks


@dataclass(frozen=True, eq=False)
class Face:
    """A tracked face: canonical mesh `[478, 3]`, and the pose that takes it to the frame's pixels."""

    mesh: Floats
    pose: Pose


@dataclass(frozen=True, eq=False)
class Reference:
    """A frame that shows what the person looks like.

    Attributes:
        crop: The face crop at `detail` times its usual size `[256 d, 256 d, 3]`.
        face: The face in it.
    """

    crop: Picture
    face: Face

    def resized(self, detail: int) -> Picture:
        """The crop at another detail."""
        size = CROP_SIZE * detail
        transform = np.array([[size / len(self.crop), 0, 0], [0, size / len(self.crop), 0]])
        return cv2.warpAffine(self.crop, transform, (size, size), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One person's face through a video.

    Attributes:
        times: Of each frame, seconds since the first.
        faces: `[T]`; None where the frame is to be left as it is.
        references: Frames with closed lips, at least one.
        open_references: Frames that show the inside of the mouth, if there are any.
        neutral: The person's closed-mouth mesh `[478, 3]`.
        size: `(height, width)` of the frames.
        covered: `[T]`; whether something is before what lip-sync paints.
        unchanged: Why frames have no usable face, and how many.
    """

    times: list[Fraction]
    faces: list[Face | None]
    references: list[Reference]
    open_references: list[Reference]
    neutral: Floats
    size: tuple[int, int]
    covered: NDArray[np.bool_]
    unchanged: Counter[str] = field(default_factory=Counter)

    @property
    def detail(self) -> int:
        """How many times the usual size crops must have to be as sharp as the frames, 1 to `MAX_DETAIL`."""
        return max((detail_of(face.pose) for face in self.faces if face is not None), default=1)


def detail_of(pose: Pose) -> int:
    """The detail that a face of this size needs: half as much again as the frame has, for what resampling costs."""
    return int(np.clip(np.ceil(1.5 * CROP_SIDE * pose.scale / CROP_SIZE), 1, MAX_DETAIL))


def cut_detailed(rgb: Picture, pose: Pose, detail: int) -> Picture:
    """The face crop at `detail` times its usual size `[256 d, 256 d, 3]`."""
    size = CROP_SIZE * detail
    transform = crop_transform(pose) * np.float32(detail)
    return cv2.warpAffine(rgb, transform, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(
        np.uint8
    )


def unusable(landmarks: Floats) -> str:
    """Why a tracked face `[478, 3]`, pixels, can't be rendered; empty if it can."""
    _, pose = canonicalise(landmarks)
    if abs(pose.yaw_degrees) > MAX_YAW or abs(pose.pitch_degrees) > MAX_PITCH:
        return "turned too far away"
    return "too small" if pose.scale < MIN_SCALE else ""


def track_face(pictures: Iterable[TimedFrame], face_index: int | None = None) -> FaceTrack:
    """Follow one face through a video; of the frames only the references are kept.

    Args:
        pictures: The video.
        face_index: Which face, counted from 0 by size where it first appears; None for the largest.

    Raises:
        MediaError: If there is no frame with a face that can be used.
    """
    pass_one = _FirstPass(face_index or 0)
    with FaceTracker(video=True, max_faces=max(_MAX_FACES, (face_index or 0) + 1)) as tracker:
        for rgb, time in pictures:
            pass_one.add(rgb, time, tracker.track(rgb))
    return pass_one.result()


class _FirstPass:
    """Collects what `FaceTrack` holds, frame by frame."""

    def __init__(self, face_index: int) -> None:
        self._index = face_index
        self._times: list[Fraction] = []
        self._landmarks: list[Floats | None] = []
        self._unchanged: Counter[str] = Counter()
        self._squares: list[FaceSquare | None] = []
        self._closed: dict[tuple[int, int], Candidates[Reference]] = {}
        self._open: dict[tuple[int, int], Candidates[Reference]] = {}
        self._last: Floats | None = None
        self._size = (0, 0)

    def add(self, rgb: Picture, time: Fraction, faces: list[Floats]) -> None:
        self._size = rgb.shape[:2]
        self._times.append(time)
        landmarks = self._choose(faces)
        self._last = landmarks
        reason = "without a face" if landmarks is None else unusable(landmarks)
        if reason:
            self._unchanged[reason] += 1
            landmarks = None
        self._landmarks.append(landmarks)
        face = None if landmarks is None else Face(*canonicalise(landmarks))
        self._squares.append(None if face is None else FaceSquare.of(rgb, face.pose))
        if face is not None:
            self._keep_reference(rgb, face)

    def result(self) -> FaceTrack:
        steady = [smoothed(self._landmarks, at) for at in range(len(self._landmarks))]
        faces = [None if points is None else Face(*canonicalise(points)) for points in steady]
        meshes = [face.mesh for face in faces if face is not None]
        if not meshes:
            why = ", ".join(f"{count} {reason}" for reason, count in self._unchanged.items()) or "no frames"
            raise MediaError(f"expected a video that shows a face from the front, got {why}")
        covered = self._covered(faces, closed_mouth_neutral(np.stack(meshes)))
        shown = [face.mesh for face, hidden in zip(faces, covered, strict=True) if face is not None and not hidden]
        neutral = closed_mouth_neutral(np.stack(shown or meshes))
        near = np.convolve(covered, np.ones(2 * _NEAR_COVERED + 1), "same") > 0
        closed = _best(self._closed, near) or _best(self._closed, np.zeros_like(near))
        least = float(min(aperture(reference.face.mesh) for reference in closed))
        limit = max(least, float(aperture(neutral))) + _OPEN
        references = [each for each in closed if aperture(each.face.mesh) <= limit]
        opened = _best(self._open, near)
        return FaceTrack(self._times, faces, references, opened, neutral, self._size, covered, self._unchanged)

    def _covered(self, faces: list[Face | None], neutral: Floats) -> NDArray[np.bool_]:
        pairs = zip(faces, self._squares, strict=True)
        seen = [
            None if face is None or square is None else Seen(face.mesh, face.pose, square) for face, square in pairs
        ]
        return covered_mouths(seen, neutral)

    def _choose(self, faces: list[Floats]) -> Floats | None:
        """The face that was followed, else the one that the index names."""
        if self._last is not None:
            near = [(_distance(self._last, points), k) for k, points in enumerate(faces)]
            if near and min(near)[0] < _SAME_FACE:
                return faces[min(near)[1]]
        by_size = sorted(faces, key=_extent, reverse=True)
        return by_size[self._index] if self._index < len(by_size) else None

    def _keep_reference(self, rgb: Picture, face: Face) -> None:
        """Keep, of each pose, the most closed mouth and the one that shows most of its inside."""
        key = round(face.pose.yaw_degrees / _POSE_BIN), round(face.pose.pitch_degrees / _POSE_BIN)
        opening = float(aperture(face.mesh))
        index, time = len(self._times) - 1, self._times[-1]
        make = partial(_reference, rgb, face)
        self._closed.setdefault(key, Candidates()).offer(opening, index, time, make)
        if opening > _TEETH_AT_LEAST:
            self._open.setdefault(key, Candidates()).offer(abs(opening - _TEETH), index, time, make)


def _best(candidates: dict[tuple[int, int], Candidates[Reference]], hidden: NDArray[np.bool_]) -> list[Reference]:
    """Of each pose the best reference among frames that are not hidden."""
    found = (each.best(lambda index: not hidden[index]) for each in candidates.values())
    return [each for each in found if each is not None]


def _reference(rgb: Picture, face: Face) -> Reference:
    return Reference(cut_detailed(rgb, face.pose, detail_of(face.pose)), face)


def _extent(landmarks: Floats) -> float:
    return float(np.ptp(landmarks[:, :2], axis=0).max())


def _distance(a: Floats, b: Floats) -> float:
    """How far two faces lie apart, by the size of the first."""
    return float(np.linalg.norm(a[:, :2].mean(0) - b[:, :2].mean(0))) / _extent(a)


def smoothed(landmarks: Sequence[Floats | None], at: int) -> Floats | None:
    """One of consecutive frames' landmarks without the tracker's jitter.

    By a Gaussian over the frames around it without a gap or a cut; there may be fewer of them on one side.
    """
    points = landmarks[at]
    if points is None:
        return None
    total, weights = points.astype(np.float64), 1.0
    for step in (-1, 1):
        before = points
        for k in range(1, int(np.ceil(3 * _SMOOTH_FRAMES)) + 1):
            other = landmarks[at + step * k] if 0 <= at + step * k < len(landmarks) else None
            if other is None or _distance(before, other) > _SAME_FACE / 2:
                break
            weight = float(np.exp(-0.5 * (k / _SMOOTH_FRAMES) ** 2))
            total, weights, before = total + weight * other, weights + weight, other
    return (total / weights).astype(np.float32)
