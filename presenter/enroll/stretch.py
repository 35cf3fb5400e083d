"""Which part of a video of a person becomes the living template: lips closed, head and gaze to the front, no cut."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.mesh import OUTER_LIP_RING, Floats, aperture
from models.template import MAX_FRAMES
from presenter.video.face_track import Face
from stream.media import FPS

MIN_FRAMES = FPS
"""A shorter stretch repeats itself visibly."""
_CLOSED = 0.03  # opening above the person's closed lips, inter-ocular distances
_STILL = 0.012  # change of the opening per frame
_SAME_SHAPE = 0.08  # mean distance of the lips from their usual shape while closed: more is a smile or a grimace
_MAX_YAW, _MAX_PITCH = 18.0, 20.0
_MAX_STEP = 0.08  # what a head moves per frame, inter-ocular distances; more is a cut or a jerk
_GAP = 3  # frames that a stretch may have with lips that seem to move: noise of the tracker
_TURN = FPS // 2  # where in from each end the video may turn round
_ENOUGH = 10 * FPS  # longer is no better
_EYES_OPEN = 0.8  # of the usual opening of the eyes
_UPPER_LIDS, _LOWER_LIDS = [159, 386], [145, 374]


class Stretch(NamedTuple):
    """Frames `begin` to `end` (without it) of a video, and the one that stands for them."""

    begin: int
    end: int
    best: int


def closed_opening(faces: list[Face | None]) -> float:
    """Lip opening of the person's closed mouth: the tenth of all frames with the least."""
    return float(np.quantile([aperture(face.mesh) for face in faces if face is not None], 0.1))


def find_stretch(faces: list[Face | None]) -> Stretch | None:
    """The longest quiet stretch of a video, at most `MAX_FRAMES` long; None if none lasts a second.

    It begins and ends where the head hardly moves and the eyes are open, because there the video turns round.

    Args:
        faces: Of each frame, 25 a second; None where there is none that can be used.
    """
    seen = _Seen.of(faces)
    quiet = seen.usable & (seen.opening <= closed_opening(faces) + _CLOSED) & (seen.change < _STILL)
    if quiet.any():
        usual = np.median(seen.lips[quiet], 0)
        quiet &= np.linalg.norm(seen.lips - usual, axis=-1).mean(1) < _SAME_SHAPE
    runs = [
        run for run in _runs(_bridged(quiet, seen.usable & (seen.step < _MAX_STEP))) if run[1] - run[0] >= MIN_FRAMES
    ]
    if not runs:
        return None
    begin, end = max((_calmest(begin, end, seen) for begin, end in runs), key=lambda run: _worth(run[0], run[1], seen))
    begin, end = _turning_points(begin, end, seen)
    return Stretch(begin, end, begin + int(_unrest(seen)[begin:end].argmin()))


def best_frame(faces: list[Face | None]) -> int:
    """The frame that is best as a photo: lips closed, eyes open, to the front, at rest."""
    seen = _Seen.of(faces)
    opening = np.maximum(seen.opening - closed_opening(faces), 0)
    return int(np.where(seen.usable, _unrest(seen) + 20 * opening, np.inf).argmin())


class _Seen(NamedTuple):
    """Of each frame `[T]`."""

    usable: NDArray[np.bool_]
    opening: Floats  # of the lips
    change: Floats  # of the opening, per frame
    step: Floats  # what the head moves from the frame before
    turn: Floats  # away from the front, degrees
    eyes: Floats  # opening in relation to the usual one
    lips: Floats  # [T, 20, 3], canonical

    @classmethod
    def of(cls, faces: list[Face | None]) -> _Seen:
        count = len(faces)
        opening, turn, eyes = (np.zeros(count, np.float32) for _ in range(3))
        step = np.full(count, np.inf, np.float32)
        usable = np.zeros(count, bool)
        lips = np.zeros((count, len(OUTER_LIP_RING), 3), np.float32)
        before: Face | None = None
        for i, face in enumerate(faces):
            if face is not None:
                opening[i] = aperture(face.mesh)
                lips[i] = face.mesh[OUTER_LIP_RING]
                eyes[i] = np.linalg.norm(face.mesh[_UPPER_LIDS] - face.mesh[_LOWER_LIDS], axis=1).mean()
                yaw, pitch = abs(face.pose.yaw_degrees), abs(face.pose.pitch_degrees)
                turn[i] = np.hypot(yaw, pitch)
                usable[i] = yaw < _MAX_YAW and pitch < _MAX_PITCH
                if before is not None:
                    moved = face.pose.project(face.mesh) - before.pose.project(face.mesh)
                    step[i] = np.linalg.norm(moved[:, :2], axis=1).mean() / face.pose.scale
            before = face
        change = np.abs(np.gradient(opening)).astype(np.float32) if count > 1 else np.zeros(count, np.float32)
        usual = np.median(eyes[usable]) if usable.any() else 1.0
        eyes /= max(float(usual), 1e-3)
        return cls(usable, opening, change, step, turn, eyes, lips)


def _bridged(quiet: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill short gaps, and split where nothing is allowed; a stretch may begin on a cut's first frame."""
    filled = quiet.copy()
    for begin, end in _runs(~quiet):
        if begin > 0 and end < len(quiet) and end - begin <= _GAP:
            filled[begin:end] = True
    joined: NDArray[np.bool_] = filled & allowed
    return joined


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _calmest(begin: int, end: int, seen: _Seen) -> tuple[int, int]:
    """The part of a run, `MAX_FRAMES` long at the most, in which the head moves least."""
    if end - begin <= MAX_FRAMES:
        return begin, end
    total = np.concatenate([[0.0], np.cumsum(seen.step[begin:end] + seen.turn[begin:end] / 1000)])
    start = begin + int((total[MAX_FRAMES:] - total[:-MAX_FRAMES]).argmin())
    return start, start + MAX_FRAMES


def _worth(begin: int, end: int, seen: _Seen) -> float:
    """A stretch is worth its length, less what the head is turned and what the eyes are closed."""
    awake = float((seen.eyes[begin:end] > _EYES_OPEN).mean())
    return float(min(end - begin, _ENOUGH) * (1 - 0.02 * seen.turn[begin:end].mean()) * (0.5 + awake))


def _turning_points(begin: int, end: int, seen: _Seen) -> tuple[int, int]:
    """Ends within half a second of the given ones at which the head is calmest and the eyes are open."""
    reach = min(_TURN, (end - begin - MIN_FRAMES) // 2)
    if reach < 1:
        return begin, end
    unrest = _unrest(seen)
    return begin + int(unrest[begin : begin + reach].argmin()), end - int(unrest[end - reach : end][::-1].argmin())


def _unrest(seen: _Seen) -> Floats:
    """How little a frame is fit to stand still: motion, turn, lids half closed."""
    step = np.nan_to_num(np.minimum(seen.step, 1.0))
    closed = np.maximum(_EYES_OPEN - seen.eyes, 0)
    unrest: Floats = 10 * step + 0.02 * seen.turn + 5 * closed
    return unrest
