"""A face track on disk, so that an interrupted film need not follow the face again."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from models.mesh import Pose
from presenter.video.face_track import Face, FaceTrack, Reference


def save_track(path: Path, track: FaceTrack) -> None:
    """Write a track, whole or not at all.

    Args:
        path: A name that ends in `.npz`.
        track: What to write, about 6 KB a frame.

    Raises:
        OSError: If it can't be written.
    """
    seen = [k for k, face in enumerate(track.faces) if face is not None]
    references = [*track.references, *track.open_references]
    about = {
        "times": [str(time) for time in track.times],
        "size": track.size,
        "unchanged": track.unchanged,
        "closed": len(track.references),
    }
    partial = path.with_name(f"partial-{path.name}")
    arrays: dict[str, Any] = {
        "seen": np.array(seen),
        "neutral": track.neutral,
        "covered": track.covered,
        "about": np.array(json.dumps(about)),
        **_arrays("face", [face for face in track.faces if face is not None]),
        **_arrays("reference", [reference.face for reference in references]),
        **{f"crop{k}": reference.crop for k, reference in enumerate(references)},
    }
    np.savez(partial, **arrays)
    partial.replace(path)


def load_track(path: Path) -> FaceTrack:
    """Read what `save_track` wrote.

    Raises:
        OSError: If there is none.
    """
    with np.load(path) as stored:
        about = json.loads(str(stored["about"]))
        faces: list[Face | None] = [None] * len(about["times"])
        for index, face in zip(stored["seen"], _faces("face", stored), strict=True):
            faces[int(index)] = face
        references = [Reference(stored[f"crop{k}"], face) for k, face in enumerate(_faces("reference", stored))]
        return FaceTrack(
            [Fraction(time) for time in about["times"]],
            faces,
            references[: about["closed"]],
            references[about["closed"] :],
            stored["neutral"],
            (about["size"][0], about["size"][1]),
            stored["covered"],
            Counter(about["unchanged"]),
        )


def _arrays(name: str, faces: list[Face]) -> dict[str, Any]:
    poses = [face.pose for face in faces]
    return {
        f"{name}_meshes": np.stack([face.mesh for face in faces]),
        f"{name}_scales": np.array([pose.scale for pose in poses], np.float64),
        f"{name}_rotations": np.stack([pose.rotation for pose in poses]),
        f"{name}_translations": np.stack([pose.translation for pose in poses]),
    }


def _faces(name: str, stored: Any) -> list[Face]:
    parts = (stored[f"{name}_{what}"] for what in ("meshes", "scales", "rotations", "translations"))
    return [
        Face(mesh, Pose(float(scale), rotation, translation))
        for mesh, scale, rotation, translation in zip(*parts, strict=True)
    ]
