"""References on disk: compressed crops and the meshes in them in one file, read with every part checked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.crop import CROP_SIZE
from models.mesh import FACE_OVAL, NUM_VERTICES
from models.references import MOST, References
from models.template import compress
from presenter.runtime.template_file import check_jpeg, joined, parts

_PICTURES = "pictures"
_POINTS = NUM_VERTICES + len(FACE_OVAL)


def save_references(path: Path, references: References) -> None:
    """Write them: about 40 KB each.

    Raises:
        OSError: If they can't be written.
    """
    tensors = {"points": torch.from_numpy(np.ascontiguousarray(references.points))}
    tensors |= joined(_PICTURES, [compress(picture) for picture in references.pictures])
    save_checkpoint(path, tensors, {"references": len(references)})


def load_references(path: Path) -> References:
    """Read what `save_references` wrote.

    Raises:
        ModelError, ValueError, KeyError, OSError: If a part is missing or damaged; says which.
    """
    arrays = {name: value.numpy() for name, value in load_checkpoint(path)[0].items()}
    pictures, points = parts(arrays, _PICTURES), arrays["points"]
    if not 1 <= len(pictures) <= MOST:
        raise ValueError(f"{path.name}: expected 1 to {MOST} pictures, found {len(pictures)}")
    if points.shape != (len(pictures), _POINTS, 3) or not np.isfinite(points).all():
        raise ValueError(f"{path.name}, points: expected finite {[len(pictures), _POINTS, 3]}, found {[*points.shape]}")
    for each in pictures:
        check_jpeg(path, each, (CROP_SIZE, CROP_SIZE))
    coded = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in pictures]
    shown = np.stack([cv2.cvtColor(each, cv2.COLOR_BGR2RGB) for each in coded])
    return References(shown.astype(np.uint8, copy=False), points.astype(np.float32, copy=False))
