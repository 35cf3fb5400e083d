"""Finds the faces of a photo in any orientation and at any size."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import STABLE, Floats, Pose, fit_pose, topology
from models.tracker.detector import FaceDetector
from models.tracker.landmarks import LandmarkFinder
from models.tracker.region import Region

MOST_FACES = 8
_WORKING_SIDE = 1600  # a face that is found in the whole image has pixels enough at this size
_PRESENT = 0.5
_TILE = 256  # pixels of a tile as the detector gets it
_SMALLEST_TILE = 384  # of the photo: below, a face in it is too small to be used
_SURE_TILE = 0.6  # confidence required in tiles: of many, some resemble a face
_SURE_PRESENT = 0.9
_UNLIKE_A_FACE = 0.2  # distance from the reference shape, inter-ocular distances
_SAME_FACE = 0.3
_SURROUNDINGS, _PART = 1.4, 512  # of a face: in multiples of its region's side, and pixels


class FoundFace(NamedTuple):
    """A face of a photo.

    Attributes:
        landmarks: `[478, 3]` in pixels.
        confidence: How likely it is a face, 0 to 1.
    """

    landmarks: Floats
    confidence: float


class FoundFaces(NamedTuple):
    """The faces of a photo that was turned upright.

    Attributes:
        turns: How many quarter turns, counter-clockwise, make the photo upright.
        faces: In the upright photo, from left to right.
    """

    turns: int
    faces: list[FoundFace]


def find_faces(rgb: NDArray[np.uint8]) -> FoundFaces:
    """The faces of a photo `[H, W, 3]`: of the whole, and if there are none, of overlapping tiles.

    All four orientations are tried, and again closer around the most confident face, as small ones are recognised less
    well. A face turned by 90 degrees is recognised as such, so each one found votes for the orientation in which it is
    upright, with its confidence; an inverted face often passes for an upright one, but with less confidence.
    """
    search = _Search()
    pictures = [np.ascontiguousarray(np.rot90(rgb, turns)) for turns in range(4)]
    for look in (search.whole, search.tiles):
        found = [look(picture) for picture in pictures]
        if any(found):
            return _in_upright_photo(found, _closer(search, pictures, found))
    return FoundFaces(0, [])


def _closer(search: _Search, pictures: list[NDArray[np.uint8]], found: list[list[FoundFace]]) -> list[list[FoundFace]]:
    """Faces around the most confident of those found, for each orientation."""
    turns, surest = max(
        ((turns, face) for turns, faces in enumerate(found) for face in faces), key=lambda one: one[1].confidence
    )
    place = Region.of_landmarks(surest.landmarks)
    faces: list[list[FoundFace]] = [[] for _ in range(4)]
    for more in range(4):
        picture = pictures[(turns + more) % 4]
        faces[(turns + more) % 4] = search.around(picture, place)
        place = place._replace(x=place.y, y=picture.shape[1] - 1 - place.x)  # the same place a quarter turn on
    return faces


def _in_upright_photo(found: list[list[FoundFace]], closer: list[list[FoundFace]]) -> FoundFaces:
    votes = np.zeros(4)
    for one in (found, closer):
        for turns, faces in enumerate(one):
            for face in faces:
                votes[(turns + _quarter_turns(face.landmarks)) % 4] += face.confidence
    upright = [_upright(of_photo) or _upright(of_part) for of_photo, of_part in zip(found, closer, strict=True)]
    best = max(range(4), key=lambda turns: (bool(upright[turns]), votes[turns]))
    return FoundFaces(best, sorted(upright[best], key=lambda face: float(face.landmarks[:, 0].mean())))


def _upright(faces: list[FoundFace]) -> list[FoundFace]:
    return [face for face in faces if not _quarter_turns(face.landmarks)]


def roll_degrees(pose: Pose) -> float:
    """How far a head is tilted towards a shoulder; 0 is upright."""
    return float(np.degrees(np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0])))


def _quarter_turns(landmarks: Floats) -> int:
    return round(roll_degrees(fit_pose(landmarks)) / 90) % 4


class _Search:
    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._finder = LandmarkFinder()

    def whole(self, rgb: NDArray[np.uint8]) -> list[FoundFace]:
        """Faces that the detector finds in the whole image."""
        factor = min(_WORKING_SIDE / max(rgb.shape[:2]), 1.0)
        small = shrink(rgb, factor)
        found = []
        for region, confidence in self._detector.detections(small, MOST_FACES):
            landmarks, presence = self._finder.find(small, region)
            if presence > _PRESENT:
                found.append(FoundFace(landmarks / np.float32(factor), confidence))
        return found

    def around(self, rgb: NDArray[np.uint8], region: Region) -> list[FoundFace]:
        """Faces that the detector finds in the surroundings of a region only."""
        side = _SURROUNDINGS * region.side
        part = Region(region.x, region.y, side, 0.0).cut(rgb, _PART)
        origin, scale = np.array([region.x - side / 2, region.y - side / 2, 0], np.float32), np.float32(side / _PART)
        return [face._replace(landmarks=face.landmarks * scale + origin) for face in self.whole(part)]

    def tiles(self, rgb: NDArray[np.uint8]) -> list[FoundFace]:
        """Faces in squares of half the image's side, or of a quarter, and so on, until there are some."""
        side = max(rgb.shape[:2]) / 2
        while side >= _SMALLEST_TILE:
            if faces := self._in_tiles(rgb, side):
                return faces
            side /= 2
        return []

    def _in_tiles(self, rgb: NDArray[np.uint8], side: float) -> list[FoundFace]:
        factor = min(_TILE / side, 1.0)
        small = shrink(rgb, factor)
        step, size = max(int(side * factor) // 2, 1), int(side * factor)
        seen = []
        for top in range(0, max(small.shape[0] - step, 1), step):
            for left in range(0, max(small.shape[1] - step, 1), step):
                for region, confidence in self._detector.detections(
                    small[top : top + size, left : left + size], MOST_FACES
                ):
                    region = Region(
                        (region.x + left) / factor, (region.y + top) / factor, region.side / factor, region.angle
                    )
                    seen.append((confidence, region))
        seen.sort(key=lambda one: -one[0])
        kept: list[tuple[float, Region]] = []
        for confidence, region in seen:
            if confidence > _SURE_TILE and all(region.overlap(other) < _SAME_FACE for _, other in kept):
                kept.append((confidence, region))
        faces = []
        for confidence, region in kept[:MOST_FACES]:
            landmarks, presence = self._finder.find(rgb, region)
            if presence > _SURE_PRESENT and _unlikeness(landmarks) < _UNLIKE_A_FACE:
                faces.append(FoundFace(landmarks, confidence))
        return faces


def _unlikeness(landmarks: Floats) -> float:
    """How far the points that speech does not move are from the reference shape, inter-ocular distances."""
    offset = fit_pose(landmarks).unproject(landmarks)[STABLE] - topology().reference[STABLE]
    return float(np.sqrt(np.square(offset).sum(-1).mean()))


def shrink(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """An image at a smaller size; the same if the factor is not below 1."""
    if factor >= 1:
        return rgb
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
