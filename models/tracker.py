"""The face tracker: pictures in, 478 landmarks in pixels out.

The networks are MediaPipe's (face detection, attention mesh), as its Python package ships them.
"""

from __future__ import annotations

import contextlib
import io
import os
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.mesh import Floats


class TrackerUnavailableError(ModelError):
    """mediapipe is not installed; says how to install it."""


class FaceTracker:
    """Tracks faces in RGB pictures.

    Args:
        video: True for consecutive frames of one video (follows the face from frame to frame),
            False for unrelated pictures (detects in each).
        max_faces: The most faces to report per picture.

    Raises:
        TrackerUnavailableError: If mediapipe can't be imported.
    """

    def __init__(self, *, video: bool, max_faces: int = 2) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")
        try:
            # Slow to import, not needed to go live. With protobuf 5 and later it prints that it tried an older way.
            with contextlib.redirect_stderr(io.StringIO()):
                from mediapipe.python.solutions import face_mesh
        except ImportError as error:
            raise TrackerUnavailableError(
                f"the face tracker can't be loaded ({error}); run: pip install --no-deps mediapipe==0.10.21"
            ) from error

        self._mesh: Any = face_mesh.FaceMesh(
            static_image_mode=not video,
            refine_landmarks=True,
            max_num_faces=max_faces,
            min_detection_confidence=0.5,
            min_tracking_confidence=0.5,
        )

    def track(self, rgb: NDArray[np.uint8]) -> list[Floats]:
        """Find faces in a picture `[H, W, 3]`.

        Returns:
            Landmarks `[478, 3]` per face, in pixels; z grows away from the camera.
        """
        height, width = rgb.shape[:2]
        found = self._mesh.process(np.ascontiguousarray(rgb)).multi_face_landmarks or []
        unit = np.array([width, height, width], np.float32)
        return [np.array([[p.x, p.y, p.z] for p in face.landmark], np.float32) * unit for face in found]

    def close(self) -> None:
        """Free the networks; safe to call twice."""
        if self._mesh is not None:
            self._mesh.close()
            self._mesh = None

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
