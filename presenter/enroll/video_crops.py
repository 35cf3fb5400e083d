"""What personalisation learns from: face crops of a video, and whole frames of a tenth of it that are kept back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CROP_SIZE, crop_points, crop_transform, cut_crop
from models.mesh import Floats, Pose, aperture
from models.template import compress
from models.training.personal import ABOUT, HELD_OUT, IMAGES, POINTS
from presenter.enroll.faces import shrink
from presenter.enroll.from_video import FilmedFace, upright_frames
from presenter.enroll.photo import FRAME_SIZE, head_box
from presenter.video.face_track import Face

_MOST, _MOST_HELD_OUT = 320, 36
_PACKED = "images.zip"
_TRAINED_FRAMES = 0.9
_MAX_YAW = 30.0
_BLOCKS = 30  # of the video; every tenth is kept back, as a whole: neighbouring frames are nearly the same
_EVERY = 10


def write_crops(folder: Path, filmed: FilmedFace) -> int:
    """Cut the crops of a video; returns how many there are to learn from.

    Args:
        folder: Where `images.npy` `[N, 256, 256, 3]`, `points.npy` `[N, 514, 3]`, `about.json` and the frames that
            are kept back are written.
        filmed: The tracked video.
    """
    faces = filmed.track.faces
    usable = [i for i, face in enumerate(faces) if face is not None and abs(face.pose.yaw_degrees) < _MAX_YAW]
    block = max(len(faces) // _BLOCKS, 1)
    kept_back = _spread([i for i in usable if i // block % _EVERY == _EVERY - 1], faces, _MOST_HELD_OUT)
    learnt = _spread([i for i in usable if i // block % _EVERY != _EVERY - 1], faces, _MOST)
    images, points, frames = [], [], []
    for index, rgb in upright_frames(filmed.video, filmed.turns, sorted({*learnt, *kept_back})):
        face = faces[index]
        assert face is not None
        if index in kept_back:
            frames.append(_framed(rgb, face))
        else:
            small, pose = _shrunk(rgb, face.pose, filmed.scale)
            transform = crop_transform(pose)
            images.append(cut_crop(small, transform, sharp=True))
            points.append(crop_points(face.mesh, filmed.track.neutral, pose, transform))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / IMAGES, np.stack(images).reshape(-1, CROP_SIZE, CROP_SIZE, 3))
    np.save(folder / POINTS, np.stack(points))
    np.savez_compressed(
        folder / HELD_OUT,
        frames=np.stack([frame for frame, _ in frames]),
        meshes=np.stack([faces_mesh(faces[i]) for i in sorted(kept_back)][: len(frames)]),
        scales=np.array([pose.scale for _, pose in frames]),
        rotations=np.stack([pose.rotation for _, pose in frames]),
        translations=np.stack([pose.translation for _, pose in frames]),
        neutral=filmed.track.neutral,
    )
    facts = {"corpus": "video", "clip": "video", "speaker": "video", "held_out": False}
    (folder / ABOUT).write_text(json.dumps([facts] * len(images)))
    return len(images)


def pack_crops(folder: Path) -> None:
    """Compress the crops of a folder that `write_crops` made, to a fifth: 320 of them take 60 MB."""
    with zipfile.ZipFile(folder / _PACKED, "w") as file:
        for number, image in enumerate(np.load(folder / IMAGES, mmap_mode="r")):
            file.writestr(f"{number:04}.jpg", compress(np.asarray(image)))
    (folder / IMAGES).unlink()


def unpack_crops(folder: Path) -> None:
    """Undo `pack_crops`, unless it is undone already."""
    if (folder / IMAGES).exists() or not (folder / _PACKED).exists():
        return
    with zipfile.ZipFile(folder / _PACKED) as file:
        coded = (np.frombuffer(file.read(name), np.uint8) for name in sorted(file.namelist()))
        images = [cv2.cvtColor(cv2.imdecode(each, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for each in coded]
    partial = folder / f"partial-{IMAGES}"
    np.save(partial, np.stack(images))
    partial.replace(folder / IMAGES)


def faces_mesh(face: Face | None) -> Floats:
    """The mesh of a face that is known to be there."""
    assert face is not None
    return face.mesh


def _spread(indices: list[int], faces: list[Face | None], count: int) -> set[int]:
    """At most `count` of the frames, which cover the range of mouth openings evenly."""
    order = sorted(indices, key=lambda i: float(aperture(faces_mesh(faces[i]))))
    if len(order) <= count:
        return set(order)
    return {order[int(place)] for place in np.linspace(0, len(order) - 1, count).round()}


def _shrunk(rgb: NDArray[np.uint8], pose: Pose, scale: float) -> tuple[NDArray[np.uint8], Pose]:
    if scale >= 1:
        return rgb, pose
    half = np.array([0.5, 0.5, 0], np.float32)
    return shrink(rgb, scale), Pose(pose.scale * scale, pose.rotation, scale * (pose.translation + half) - half)


def _framed(rgb: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Pose]:
    """Head and shoulders `[512, 512, 3]`, and the face's pose there."""
    left, top, side = head_box(face.pose, rgb.shape[1], rgb.shape[0])
    scale = FRAME_SIZE / side
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    frame = cv2.resize(rgb[top : top + side, left : left + side], (FRAME_SIZE, FRAME_SIZE), interpolation=how)
    half = np.array([0.5, 0.5, 0], np.float32)
    shift = face.pose.translation - np.array([left, top, 0], np.float32) + half
    return frame.astype(np.uint8), Pose(face.pose.scale * scale, face.pose.rotation, scale * shift - half)
