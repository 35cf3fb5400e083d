"""Identity similarity for evaluation: dlib's face recognition network (extra [train]).

The network and its weights (CC0) come in the packages dlib-bin and face-recognition-models.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mesh import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS, Floats

_NOSE_BASE = 2
_CHIP_SIZE, _CHIP_PADDING = 150, 0.25  # what the network was trained on


def is_available() -> bool:
    """Whether both packages are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("dlib", "face_recognition_models"))


class FaceIdentity:
    """Embeds faces; the same person's embeddings point the same way."""

    def __init__(self) -> None:
        import dlib

        self._dlib: Any = dlib
        package = importlib.util.find_spec("face_recognition_models")
        assert package is not None
        assert package.origin is not None
        weights = Path(package.origin).parent / "models" / "dlib_face_recognition_resnet_model_v1.dat"
        self._network = dlib.face_recognition_model_v1(str(weights))

    def embed(self, rgb: NDArray[np.uint8], landmarks: Floats) -> Floats:
        """Unit vector `[128]` of the face with these landmarks `[478, 3]` in a frame `[H, W, 3]`."""
        dlib = self._dlib
        # dlib's five points: both corners of the right-hand eye, of the left-hand eye, and the nose base.
        order = (RIGHT_EYE_CORNERS[1], RIGHT_EYE_CORNERS[0], LEFT_EYE_CORNERS[0], LEFT_EYE_CORNERS[1], _NOSE_BASE)
        points = [dlib.point(int(landmarks[i, 0]), int(landmarks[i, 1])) for i in order]
        low, high = landmarks[:, :2].min(0).astype(int), landmarks[:, :2].max(0).astype(int)
        box = dlib.rectangle(int(low[0]), int(low[1]), int(high[0]), int(high[1]))
        face = dlib.full_object_detection(box, points)
        chip = dlib.get_face_chip(np.ascontiguousarray(rgb), face, size=_CHIP_SIZE, padding=_CHIP_PADDING)
        embedding = np.array(self._network.compute_face_descriptor(chip), np.float32)
        return embedding / np.linalg.norm(embedding)
