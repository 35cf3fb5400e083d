"""A clip with its sound and its tracked face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats, Pose, canonicalise, closed_mouth_neutral
from models.tracker import FaceTracker
from presenter.errors import MediaError
from stream.files.reader import iter_video, read_audio
from stream.media import CHUNK_SAMPLES, FPS

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TrackedClip:
    """A clip ready to compare with.

    Attributes:
        frames: `[T]` pictures `[H, W, 3]`.
        meshes: Canonical `[T, 478, 3]`.
        poses: `[T]`.
        neutral: The clip's closed-mouth mesh.
        pcm: `[T * 640]` at 16 kHz.
    """

    frames: list[Picture]
    meshes: Floats
    poses: list[Pose]
    neutral: Floats
    pcm: Floats


def track(path: Path) -> TrackedClip:
    """Track a clip at 25 fps.

    Raises:
        MediaError: If the clip does not begin with a second of frames that show a face; a later frame
            without one ends it.
        StreamError: If the file can't be read or is silent.
    """
    pcm = np.concatenate([chunk.pcm for chunk in read_audio(path, from_first_frame=True).chunks()])
    frames, landmarks = [], []
    with FaceTracker(video=True, max_faces=1) as tracker:
        for rgb in iter_video(path, fps=FPS):
            faces = tracker.track(rgb)
            if not faces:
                break  # clips may end in black frames
            frames.append(rgb)
            landmarks.append(faces[0])
    count = min(len(frames), len(pcm) // CHUNK_SAMPLES)
    if count < FPS:
        raise MediaError(f"expected at least a second with a face, found {count} frames")
    meshes, poses = zip(*(canonicalise(points) for points in landmarks[:count]), strict=True)
    stacked = np.stack(meshes)
    return TrackedClip(
        frames[:count], stacked, list(poses), closed_mouth_neutral(stacked), pcm[: count * CHUNK_SAMPLES]
    )
