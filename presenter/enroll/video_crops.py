"""What personalisation learns from: face crops of a video, and whole frames of a tenth of it that are kept back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import CROP_SIZE
from models.mesh import Pose
from models.template import compress
from models.training.personal import ABOUT, HELD_OUT, IMAGES, POINTS
from presenter.enroll.filmed import FilmedFace
from presenter.enroll.photo import FRAME_SIZE, head_box
from presenter.video.face_track import Face

_PACKED = "images.zip"


def write_crops(folder: Path, filmed: FilmedFace) -> int:
    """Cut the crops of a video; returns how many there are to learn from.

    Args:
        folder: Where `images.npy` `[N, 256, 256, 3]`, `points.npy` `[N, 514, 3]`, `about.json` and the frames that
            are kept back are written.
        filmed: The tracked video.
    """
    learnt, kept_back = filmed.split()
    images, frames = [], []
    for index, rgb in filmed.frames(sorted(learnt + kept_back)):
        if index in kept_back:
            frames.append(_framed(rgb, filmed.face(index)))
        else:
            images.append(filmed.crop(rgb, index))
    points = [filmed.points(index) for index in learnt[: len(images)]]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / IMAGES, np.stack(images).reshape(-1, CROP_SIZE, CROP_SIZE, 3))
    np.save(folder / POINTS, np.stack(points))
    np.savez_compressed(
        folder / HELD_OUT,
        frames=np.stack([frame for frame, _ in frames]),
        meshes=np.stack([filmed.face(index).mesh for index in kept_back[: len(frames)]]),
        scales=np.array([pose.scale for _, pose in frames]),
        rotations=np.stack([pose.rotation for _, pose in frames]),
        translations=np.stack([pose.translation for _, pose in frames]),
        neutral=filmed.track.neutral,
    )
    facts = {"corpus": "video", "clip": "video", "speaker": "video", "held_out": False}
    (folder / ABOUT).write_text(json.dumps([facts | {"frame": index} for index in learnt[: len(images)]]))
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


def _framed(rgb: NDArray[np.uint8], face: Face) -> tuple[NDArray[np.uint8], Pose]:
    """Head and shoulders `[512, 512, 3]`, and the face's pose there."""
    left, top, side = head_box(face.pose, rgb.shape[1], rgb.shape[0])
    scale = FRAME_SIZE / side
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    frame = cv2.resize(rgb[top : top + side, left : left + side], (FRAME_SIZE, FRAME_SIZE), interpolation=how)
    half = np.array([0.5, 0.5, 0], np.float32)
    shift = face.pose.translation - np.array([left, top, 0], np.float32) + half
    return frame.astype(np.uint8), Pose(face.pose.scale * scale, face.pose.rotation, scale * shift - half)
