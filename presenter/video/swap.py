"""Face swap in a video: the other face, the target's own look, and the visible label."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from models.face_square import FACE_SIDE, FaceTexture
from models.face_swap import FaceSwap
from models.identity import READ_HEIGHT
from models.mesh import aperture
from presenter.errors import ConsentError
from presenter.runtime.identity_folder import StoredIdentity
from presenter.video.face_track import Face, FaceTrack, Picture
from stream.files.reader import TimedFrame, iter_frames

LABEL = "AI-generated face"
"""Shown in every swapped frame."""
_MAX_SIZE, _UNIT = 768, 32  # pixels of the square around a face
_SOURCE_SIZE = 640
_LABEL_SHARE = 1 / 28  # of the frame's shorter side


def check_consent(stored: StoredIdentity) -> None:
    """Raise `ConsentError` unless it is recorded who agreed that the face is used."""
    if stored.consent is None:
        raise ConsentError(
            f"nobody's consent is recorded for the face {stored.identity.name!r}; put it only where its owner agreed:"
            " enrol it with --consent NAME, or name a photo with --consent NAME"
        )


def prepare_swap(video: Path, track: FaceTrack, stored: StoredIdentity) -> FaceSwap:
    """Take the target's own look from the video, and the source's from a presenter.

    Args:
        video: The file that was tracked.
        track: Of all its frames.
        stored: The source.
    """
    return FaceSwap(source_texture(stored), target_texture(iter_frames(video), track))


def source_texture(stored: StoredIdentity) -> FaceTexture:
    """The face of a presenter, as a source."""
    identity = stored.identity.shrunk(READ_HEIGHT)
    return FaceTexture.of(identity.frame, identity.mesh, identity.neutral, identity.pose, _SOURCE_SIZE).bared()


def target_texture(frames: Iterable[TimedFrame], track: FaceTrack) -> FaceTexture:
    """The target's own look, from the frame that shows the face best, as large as the frames show it.

    Args:
        frames: The video.
        track: Of all its frames.
    """
    seen = {index: face for index, face in enumerate(track.faces) if face is not None}
    best = min(seen, key=lambda index: (bool(track.covered[index]), how_turned(seen[index])))
    rgb = next(frame.rgb for index, frame in enumerate(frames) if index == best)
    size = square_size(max(face.pose.scale for face in seen.values()))
    return FaceTexture.of(rgb, seen[best].mesh, track.neutral, seen[best].pose, size)


def square_size(scale: float, largest: int = _MAX_SIZE) -> int:
    """Side of the square in which a face of so many pixels between the eyes is as sharp as its frame, pixels."""
    return int(np.clip(-(-FACE_SIDE * scale // _UNIT) * _UNIT, 4 * _UNIT, largest))


def how_turned(face: Face) -> float:
    """How little a frame shows of a face at rest: degrees it is turned by, and as much for an open mouth."""
    return abs(face.pose.yaw_degrees) + abs(face.pose.pitch_degrees) + 200 * float(aperture(face.mesh))


def labelled(rgb: Picture) -> Picture:
    """The frame with the label in its lower left corner, newly allocated."""
    made = rgb.copy()
    height, width = rgb.shape[:2]
    scale = max(min(height, width) * _LABEL_SHARE / 22, 0.35)
    thickness = max(round(scale * 1.6), 1)
    (wide, high), below = cv2.getTextSize(LABEL, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(high // 2, 4)
    top = height - high - below - 2 * margin
    made[top:height, : wide + 2 * margin] //= 2  # legible on any background
    place = margin, height - below - margin
    cv2.putText(made, LABEL, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    return made
