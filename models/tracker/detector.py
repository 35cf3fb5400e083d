"""Finds faces in a whole picture: MediaPipe's short-range detector, for faces up to some two metres away.

A single-shot detector: each of 896 anchors gives the probability of a face, and how its box and six points lie from the
anchor. Source: mediapipe/modules/face_detection/face_detection_short_range.pbtxt.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.inference import Network
from models.mesh import Floats
from models.tracker.region import Region

_SIZE = 128  # the network's picture
_GRIDS = ((16, 2), (8, 6))  # cells per side, anchors per cell
_CONFIDENT = 0.5
_SAME_FACE = 0.3  # boxes that overlap more are one face's


class Detection(NamedTuple):
    """A place where a face was detected, and how likely it is one, 0 to 1."""

    region: Region
    confidence: float


class FaceDetector:
    """Finds faces without knowing where they were."""

    def __init__(self, *, threads: int = 1) -> None:
        """Load the network."""
        self._network = Network("face_detector", threads=threads)
        self._anchors = _anchors()

    def detect(self, rgb: NDArray[np.uint8], most: int) -> list[Region]:
        """The regions of at most so many faces of a picture `[H, W, 3]`, most confident first."""
        return [found.region for found in self.detections(rgb, most)]

    def detections(self, rgb: NDArray[np.uint8], most: int) -> list[Detection]:
        """The same, with how sure the detector is of each."""
        height, width = rgb.shape[:2]
        whole = Region(width / 2, height / 2, max(width, height), 0.0)
        picture = whole.cut(rgb, _SIZE, cv2.BORDER_CONSTANT).astype(np.float32) / np.float32(127.5) - 1
        offsets, logits = self._network.run(picture[None])
        scores = (1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))).astype(np.float32)
        likely = scores >= _CONFIDENT
        points = _decode(offsets[likely], self._anchors[likely]) * whole.side
        points += np.array([whole.x, whole.y], np.float32) - whole.side / 2
        merged = merge_boxes(points, scores[likely])[:most]
        return [Detection(Region.around(face[:2], face[2], face[3]), confidence) for face, confidence in merged]


def _anchors() -> Floats:
    """Where the anchors are `[896, 2]`, 0 to 1: x, y."""
    grids = []
    for cells, repeats in _GRIDS:
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


def _decode(offsets: Floats, anchors: Floats) -> Floats:
    """Points `[N, 8, 2]`, 0 to 1, from offsets `[N, 16]`: two corners of the box, then eyes, nose, mouth and ears.

    The eyes come first as they are in the picture: the left one is the person's right eye.
    """
    pairs = offsets.reshape(-1, 8, 2) / _SIZE
    centre, half = pairs[:, 0] + anchors, pairs[:, 1] / 2
    points = pairs[:, 2:] + anchors[:, None]
    return np.concatenate([(centre - half)[:, None], (centre + half)[:, None], points], 1)


def merge_boxes(points: Floats, scores: Floats) -> list[tuple[Floats, float]]:
    """One set of points `[8, 2]` and the best score per face, best first, of sets `[N, 8, 2]` and scores `[N]`.

    Non-maximum suppression that does not drop the weaker boxes of a face but takes the mean, weighted by the scores:
    it trembles less from frame to frame. Source: mediapipe/calculators/util/non_max_suppression_calculator.cc.
    """
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    faces = []
    while len(points):
        same = _overlaps(points[0], points) > _SAME_FACE
        same[0] = True  # also where a box is empty
        mean = np.average(points[same], axis=0, weights=scores[same]).astype(np.float32)
        faces.append((mean, float(scores[0])))
        points, scores = points[~same], scores[~same]
    return faces


def _overlaps(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box (the first two of `[8, 2]`) with others `[N, 8, 2]`."""
    low, high = np.maximum(box[0], boxes[:, 0]), np.minimum(box[1], boxes[:, 1])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[1] - box[0]) + np.prod(boxes[:, 1] - boxes[:, 0], axis=1) - shared
    return shared / np.maximum(union, 1e-9)
