"""Faces before which the training of the occlusion network draws things: a few frames of each clip, and portraits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.face_square import cut_face, face_points, face_transform
from models.mesh import Floats, Pose, canonicalise, closed_mouth_neutral
from models.tracker import FaceTracker
from models.training.occlusion import ABOUT, PICTURES, POINTS, STORED_SIZE, OcclusionTraining
from models.training.splits import OPEN_VALIDATION, is_held_out
from presenter.recipe.prepare import Clip, find_clips
from stream.errors import StreamError
from stream.files.reader import iter_video

Picture = NDArray[np.uint8]

_FRAMES = 8
"""Of a clip, spread evenly."""
_MAX_CLIPS = 48
"""Of a corpus, spread evenly; some have hundreds of one person."""
_MAX_YAW = 40.0
_WITH_HANDS = frozenset({"nice_clip1", "l2l_001_1"})
"""Clips with hands before the face, which would be learnt as a part of it."""


@dataclass(frozen=True, kw_only=True)
class OcclusionRecipe(OcclusionTraining):
    """Settings of the step `occlusion`; `data` holds the corpora, `faces` what is cut from them."""

    data: Path


class _Face(NamedTuple):
    picture: Picture
    transform: Floats
    mesh: Floats
    pose: Pose


def prepare_faces(data: Path, out: Path) -> int:
    """Cut the squares around faces.

    Args:
        data: Folder that holds the corpora.
        out: Folder for the pictures `[N, S, S, 3]`, the extended meshes `[N, 514, 3]` and facts about each; nothing is
            done if it has them.

    Returns:
        How many there are.
    """
    if (out / ABOUT).exists():
        return len(json.loads((out / ABOUT).read_text()))
    out.mkdir(parents=True, exist_ok=True)
    pictures: list[Picture] = []
    points: list[Floats] = []
    about: list[dict[str, object]] = []
    with FaceTracker(video=False, max_faces=1) as tracker:
        for clip in tqdm(_sources(data), desc="cutting faces", unit="clip"):
            faces = _faces(tracker, clip)
            if not faces:
                continue
            neutral = closed_mouth_neutral(np.stack([face.mesh for face in faces]))
            held_out = is_held_out(clip.corpus, clip.name, clip.speaker)
            for face in faces:
                pictures.append(face.picture)
                points.append(face_points(face.mesh, neutral, face.pose, face.transform))
                about.append({"clip": f"{clip.corpus}/{clip.name}", "held_out": held_out})
    np.save(out / PICTURES, np.stack(pictures))
    np.save(out / POINTS, np.stack(points))
    (out / ABOUT).write_text(json.dumps(about))
    return len(about)


def _sources(data: Path) -> list[Clip]:
    """Clips that may be trained on, no corpus with more than `_MAX_CLIPS`, and portraits as clips of one frame."""
    by_corpus: dict[str, list[Clip]] = {}
    for clip in find_clips(data):
        if clip.corpus != OPEN_VALIDATION and clip.name not in _WITH_HANDS:
            by_corpus.setdefault(clip.corpus, []).append(clip)
    chosen = []
    for clips in by_corpus.values():
        picks = np.linspace(0, len(clips) - 1, min(len(clips), _MAX_CLIPS)).round().astype(int)
        chosen += [clips[k] for k in picks]
    portraits = sorted((data / "faces").glob("*.jpg"))
    return chosen + [Clip(path, "faces", path.stem, has_audio=False) for path in portraits]


def _faces(tracker: FaceTracker, clip: Clip) -> list[_Face]:
    """The faces in some frames of a clip; none if it can't be read."""
    try:
        frames = list(iter_video(clip.path))
    except StreamError:
        return []
    faces = []
    for k in np.linspace(0, len(frames) - 1, min(len(frames), _FRAMES)).round().astype(int):
        for landmarks in tracker.track(frames[k]):
            mesh, pose = canonicalise(landmarks)
            if abs(pose.yaw_degrees) <= _MAX_YAW:
                transform = face_transform(pose, STORED_SIZE)
                faces.append(_Face(cut_face(frames[k], transform, STORED_SIZE), transform, mesh, pose))
    return faces
