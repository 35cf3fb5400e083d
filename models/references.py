"""References: crops of a person with mouths of many shapes, of which a frame is shown the nearest.

A mesh says how far the nearest crops are from the mouth that is wanted. Up to three of them are warped onto it and
mixed, by weights that change steadily with the mesh: there is no moment at which one is exchanged for another, and
what is shown depends on nothing but the mesh. See docs/adr/0028-references.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import crop_mask, crop_rasteriser, mask_region
from models.live_inputs import mouth_gap
from models.mesh import FACE_OVAL, LIPS, Floats
from models.metrics import mouth_box
from models.raster import MIXED, Mix

Picture = NDArray[np.uint8]

MOST = 48
"""Of a person: 9.4 MB as they are kept in memory."""
STILL = [6, 168, 5, 4, 127, 356, 234, 454]
"""Vertices that speech does not move: bridge and tip of the nose, temples, ears."""
APART = 12
"""Frames, half a second: nearer ones are of the same moment, and nothing is to be learnt from one about another."""
_STILL_SHARE = 0.3  # of a pixel by which the head is turned otherwise, in relation to one between lips
_SAME = 0.25  # pixels: nearer is within what a tracker is off
_ROUNDS = 8
_NEVER = np.float32(1e6)  # pixels
_UNEXPLAINED = 10.0  # times the usual squared error


@dataclass(frozen=True, eq=False)
class References:
    """Crops of one person.

    Attributes:
        pictures: `[K, 256, 256, 3]`, at most `MOST`.
        points: The extended mesh in each `[K, 514, 3]`.
    """

    pictures: Picture
    points: Floats

    def __len__(self) -> int:
        return len(self.pictures)

    def only(self, numbers: list[int]) -> References:
        """Some of them."""
        return References(self.pictures[numbers], self.points[numbers])

    @cached_property
    def shapes(self) -> Floats:
        """See `shapes`."""
        return shapes(self.points)

    @cached_property
    def gap(self) -> float:
        """Between the lips where they are widest open, pixels."""
        return max(mouth_gap(points) for points in self.points)

    @cached_property
    def skins(self) -> Floats:
        """See `skin`; `[K, 3]`."""
        return np.stack([skin(*each) for each in zip(self.pictures, self.points, strict=True)])


def shapes(points: Floats) -> Floats:
    """What is compared of extended meshes `[..., 514, 3]`: distances of these are RMS pixels between lips."""
    lips = points[..., LIPS, :2] / np.float32(len(LIPS) ** 0.5)
    still = points[..., STILL, :2] * np.float32(_STILL_SHARE / len(STILL) ** 0.5)
    return np.concatenate([lips, still], -2).reshape(*points.shape[:-2], -1)


def skin(picture: Picture, points: Floats) -> Floats:
    """Mean colour `[3]` of the face above the mask: nose and cheeks, which have the light of the mouth.

    One more than it is, so that it can be divided by.

    Args:
        picture: The crop `[256, 256, 3]`.
        points: The extended mesh in it `[514, 3]`.
    """
    face = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(face, [np.rint(points[FACE_OVAL, :2]).astype(np.int32)], 255)
    face[mask_region()[0] :] = 0
    return np.array(cv2.mean(picture, face)[:3], np.float32) + 1


def light(wanted: Floats, given: Floats) -> Floats:
    """By what colours are multiplied to be in the light of another `skin`; `[..., 3]`."""
    return np.clip(wanted / given, 0.5, 2.0)


def nearest(distances: Floats) -> tuple[list[int], Floats]:
    """Which `MIXED` references are mixed, nearest first, and how much of each, with the sum 1.

    A weight is 0 where its reference ceases to be one of the nearest, so that all of them are continuous.

    Args:
        distances: Of each reference `[K]`, at least one; where there are fewer than `MIXED`, some are repeated.
    """
    order = np.argsort(distances)[: MIXED + 1]
    near = np.maximum(distances[order], _SAME).astype(np.float64)
    farthest = near[MIXED] if len(near) > MIXED else 2 * near[-1]
    weights = (farthest - near[:MIXED]) / near[:MIXED]
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
    repeated = MIXED - len(weights)
    return [*map(int, order[:MIXED]), *[int(order[0])] * repeated], np.pad(weights, (0, repeated)).astype(np.float32)


def choose(points: Floats, count: int = MOST) -> list[int]:
    """Choose references that stand for all mouths and poses of a video: medoids of `shapes`.

    Args:
        points: The extended mesh in each crop `[N, 514, 3]`.
        count: How many, at the most.

    Returns:
        Their numbers, ascending.
    """
    seen = shapes(points)
    chosen = _farthest(seen, min(count, len(seen)))
    for _ in range(_ROUNDS):
        owner = np.stack([np.linalg.norm(seen - seen[i], axis=1) for i in chosen]).argmin(0)
        middle = [_medoid(seen, np.flatnonzero(owner == number), i) for number, i in enumerate(chosen)]
        if middle == chosen:
            break
        chosen = middle
    return sorted(set(chosen))


def consistent(references: References) -> list[int]:
    """Those that the others can explain: a hand before the mouth, a blurred frame or a mistracked one can't be."""
    if len(references) <= MIXED:
        return list(range(len(references)))
    rasteriser, errors = crop_rasteriser(), []
    for number, (picture, points) in enumerate(zip(references.pictures, references.points, strict=True)):
        mixer = Mixer(picture, points, references)
        without = np.zeros(len(references) + 1, bool)
        without[[0, number + 1]] = True
        warped = rasteriser.draw_mix(points, mixer.mix(points, without)).warped
        box = mouth_box(points, len(picture))
        off = warped[box].astype(np.float32) - picture[box]
        errors.append(float(np.square(off[crop_mask()[box] > 0]).mean()))
    return [int(i) for i in np.flatnonzero(np.array(errors) <= _UNEXPLAINED * np.median(errors))]


def _farthest(seen: Floats, count: int) -> list[int]:
    """Begin with the middle, and take again and again what is farthest from all that were taken."""
    chosen = [int(np.square(seen - seen.mean(0)).sum(1).argmin())]
    distance = np.linalg.norm(seen - seen[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(seen - seen[chosen[-1]], axis=1))
    return chosen


def _medoid(seen: Floats, members: NDArray[np.int64], otherwise: int) -> int:
    if not len(members):
        return otherwise
    own = seen[members]
    return int(members[np.linalg.norm(own[:, None] - own[None], axis=2).sum(1).argmin()])


class Chosen(NamedTuple):
    """Which references are mixed for a mesh."""

    order: list[int]
    """Their numbers, nearest first, 0 for the crop that lies behind; none where it is alone."""
    weights: Floats
    """How much of each, by colour `[k, 3]`."""
    gap: float
    """How far the widest mouth is open that is shown by any; painted teeth must not come and go from frame to frame."""
    own: float
    """How much of the mix is the crop that lies behind."""


class Mixer:
    """Mixes the references for one picture that lies behind: its own crop is one of them.

    Args:
        own: The crop `[256, 256, 3]`.
        source: The extended mesh in it `[514, 3]`.
        others: The person's references; None if there are none.
    """

    def __init__(self, own: Picture, source: Floats, others: References | None) -> None:
        self._pictures = [own]
        self._sources = [source]
        self._gap = mouth_gap(source)
        self._shapes = shapes(source)[None]
        self._gains = np.ones((1, 3), np.float32)
        if others is not None:
            self._pictures += list(others.pictures)
            self._sources += list(others.points)
            self._gap = max(self._gap, others.gap)
            self._shapes = np.concatenate([self._shapes, others.shapes])
            self._gains = np.concatenate([self._gains, light(skin(own, source), others.skins)])

    def chosen(self, points: Floats, without: NDArray[np.bool_] | None = None) -> Chosen:
        """Which are mixed for a mesh.

        Args:
            points: The extended mesh `[514, 3]`.
            without: Which must not be `[1 + K]`, the own crop first.
        """
        if len(self._pictures) == 1:
            return Chosen([], np.zeros((0, 3), np.float32), self._gap, 1.0)
        distances = np.linalg.norm(self._shapes - shapes(points), axis=1)
        if without is not None:
            distances = np.where(without, _NEVER, distances)
        order, weights = nearest(distances)
        own = sum(float(weight) for i, weight in zip(order, weights, strict=True) if i == 0)
        return Chosen(order, weights[:, None] * self._gains[order], self._gap, own)

    def mix(self, points: Floats, without: NDArray[np.bool_] | None = None) -> Mix:
        """What is shown of the references on a mesh `[514, 3]`; args as of `chosen`."""
        order, weights, gap, own = self.chosen(points, without)
        shown = [0, *order]
        return Mix([self._pictures[i] for i in shown], [self._sources[i] for i in shown], weights, gap, own)
