"""Follows faces from frame to frame.

Source: mediapipe/modules/face_landmark/face_landmark_front_cpu.pbtxt. The position of a face gives the region to search
in the next frame; the detector runs only while fewer faces are followed than requested.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats
from models.tracker.blendshapes import BlendshapeReader
from models.tracker.detector import FaceDetector
from models.tracker.landmarks import LandmarkFinder
from models.tracker.region import Region

_PRESENT = 0.5  # less likely faces are none
_SAME_FACE = 0.5  # regions that overlap more are one face's


class TrackedFace(NamedTuple):
    """A face of a picture.

    Attributes:
        landmarks: `[478, 3]` in pixels; z grows away from the camera.
        blendshapes: Scores `[52]`, named by `BLENDSHAPE_NAMES`.
    """

    landmarks: Floats
    blendshapes: Floats


class FaceTracker:
    """Tracks faces in RGB pictures.

    Args:
        video: True for consecutive frames of one video (follows the face from frame to frame),
            False for unrelated pictures (detects in each).
        max_faces: The most faces to report per picture.
        threads: How many threads the networks compute with.
    """

    def __init__(self, *, video: bool, max_faces: int = 2, threads: int = 1) -> None:
        self._video = video
        self._max_faces = max_faces
        self._threads = threads
        self._detector: FaceDetector | None = FaceDetector(threads=threads)
        self._finder: LandmarkFinder | None = LandmarkFinder(threads=threads)
        self._reader: BlendshapeReader | None = None  # only some callers need expressions
        self._followed: list[Region] = []

    def track(self, rgb: NDArray[np.uint8]) -> list[Floats]:
        """Find faces in a picture `[H, W, 3]`.

        Returns:
            Landmarks `[478, 3]` per face, in pixels; z grows away from the camera. Faces that are followed come first,
            in the order of the frame before.
        """
        if self._finder is None:
            raise ValueError("expected an open tracker, found a closed one")
        found = [self._finder.find(rgb, region) for region in self._regions(rgb)]
        faces = [landmarks for landmarks, presence in found if presence > _PRESENT]
        if self._video:
            self._followed = [Region.of_landmarks(landmarks) for landmarks in faces]
        return faces

    def track_faces(self, rgb: NDArray[np.uint8]) -> list[TrackedFace]:
        """Find faces in a picture `[H, W, 3]`, with what they express."""
        faces = self.track(rgb)
        if self._reader is None:
            self._reader = BlendshapeReader(threads=self._threads)
        return [TrackedFace(landmarks, self._reader.read(landmarks)) for landmarks in faces]

    def _regions(self, rgb: NDArray[np.uint8]) -> list[Region]:
        """Where to look for faces: where they were, then where the detector sees others."""
        regions = _without_doubles(self._followed)
        if len(self._followed) < self._max_faces and self._detector is not None:
            regions = _without_doubles(regions + self._detector.detect(rgb, self._max_faces))
        return regions[: self._max_faces]

    def close(self) -> None:
        """Free the networks; safe to call twice."""
        self._detector = self._finder = self._reader = None

    def __enter__(self) -> FaceTracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _without_doubles(regions: list[Region]) -> list[Region]:
    """The regions, less those that overlap an earlier one."""
    kept: list[Region] = []
    for region in regions:
        if all(region.overlap(other) <= _SAME_FACE for other in kept):
            kept.append(region)
    return kept
