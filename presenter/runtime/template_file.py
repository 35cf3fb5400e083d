"""A living template on disk: compressed pictures and their faces in one file, read with every part checked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.mesh import NUM_VERTICES, Pose
from models.template import MAX_FRAMES, LivingTemplate

_PICTURES, _MATTES = "pictures", "mattes"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def save_template(path: Path, template: LivingTemplate) -> None:
    """Write a template.

    Raises:
        OSError: If it can't be written.
    """
    tensors = {
        "meshes": torch.from_numpy(template.meshes),
        "neutral": torch.from_numpy(template.neutral),
        "scales": torch.tensor([pose.scale for pose in template.poses], dtype=torch.float64),
        "rotations": torch.from_numpy(np.stack([pose.rotation for pose in template.poses])),
        "translations": torch.from_numpy(np.stack([pose.translation for pose in template.poses])),
    }
    tensors |= joined(_PICTURES, template.pictures) | joined(_MATTES, template.mattes)
    save_checkpoint(path, tensors, {"template": len(template)})


def load_template(path: Path, size: tuple[int, ...]) -> LivingTemplate:
    """Read what `save_template` wrote.

    Args:
        path: The file.
        size: `(height, width)` that its pictures must have.

    Raises:
        ModelError, ValueError, KeyError, OSError: If a part is missing or damaged; says which.
    """
    arrays = {name: value.numpy() for name, value in load_checkpoint(path)[0].items()}
    pictures, mattes = (parts(arrays, name) for name in (_PICTURES, _MATTES))
    count = len(pictures)
    if not 1 <= count <= MAX_FRAMES or len(mattes) not in (0, count):
        raise ValueError(f"{path.name}: expected 1 to {MAX_FRAMES} pictures and as many mattes or none, found {count}")
    shapes = {
        "meshes": (count, NUM_VERTICES, 3),
        "neutral": (NUM_VERTICES, 3),
        "scales": (count,),
        "rotations": (count, 3, 3),
        "translations": (count, 3),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path.name}, {name}: expected finite {list(shape)}, found {list(arrays[name].shape)}")
    for each in (*pictures, *mattes):
        check_jpeg(path, each, size)
    motion = zip(arrays["scales"], arrays["rotations"], arrays["translations"], strict=True)
    poses = [Pose(float(scale), rotation, translation) for scale, rotation, translation in motion]
    return LivingTemplate(pictures, mattes, arrays["meshes"], poses, arrays["neutral"])


def joined(name: str, files: list[bytes]) -> dict[str, torch.Tensor]:
    """Files as tensors of a checkpoint: one after the other, and where each ends."""
    return {
        name: torch.frombuffer(bytearray(b"".join(files) or b"\0"), dtype=torch.uint8),
        f"{name}_ends": torch.tensor(np.cumsum([0, *map(len, files)])),
    }


def parts(arrays: dict[str, np.ndarray], name: str) -> list[bytes]:
    """The files that were `joined`."""
    data = arrays[name].tobytes()
    return [data[begin:end] for begin, end in pairwise(map(int, arrays[f"{name}_ends"]))]


def check_jpeg(path: Path, data: bytes, size: tuple[int, ...]) -> None:
    """Refuse what is not a whole JPEG of that size; the size is looked up before anything is decoded."""
    found = _size_of(data)
    if found != tuple(size):
        raise ValueError(f"{path.name}: expected JPEGs of {size[0]} x {size[1]}, found {found}")
    if cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8) is None:
        raise ValueError(f"{path.name}: a picture can't be decoded")


def _size_of(data: bytes) -> tuple[int, int] | None:
    """`(height, width)` by a JPEG's frame header; None if it is none, or not whole."""
    if not data.startswith(b"\xff\xd8") or not data.endswith(b"\xff\xd9"):
        return None
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in _FRAME_MARKERS:
            return int.from_bytes(data[place + 5 : place + 7]), int.from_bytes(data[place + 7 : place + 9])
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return None
