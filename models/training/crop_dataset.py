"""Pairs of face crops for the generator: a target to render and a reference of the same person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.crop import CROP_SIZE, crop_rasteriser
from models.live_inputs import match_colour, mixed_planes, mouth_gap, seen_share
from models.mesh import (
    FACE_OVAL,
    NUM_VERTICES,
    OUTER_LIP_RING,
    Floats,
    Ints,
    topology,
)
from models.mouth_interior import InteriorLook, interior_look
from models.raster import MeshRasteriser, Mix

Picture = NDArray[np.uint8]


_COLOURLESS = 0.2  # share of examples that are grey or have less colour


def _desaturate(picture: Picture, kept: float) -> Picture:
    """A picture with so much of its colour."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.addWeighted(picture, kept, grey, 1 - kept, 0), np.uint8)


class Sample(NamedTuple):
    """One training example; pictures are uint8 `[C, 256, 256]`."""

    target: Tensor
    reference: Tensor
    live: Tensor  # warped reference (3), shade, interior, seen
    painted: Tensor  # how far the interior is painted geometry instead of the reference's own
    mouth: Tensor  # where the mouth is, for the losses


def mouth_polygon(points: Floats) -> Picture:
    """The mouth with a margin, softened, `[256, 256]`."""
    area = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    cv2.fillPoly(area, [np.rint(points[OUTER_LIP_RING, :2]).astype(np.int32)], 255)
    area = cv2.dilate(area, np.ones((9, 9), np.uint8))
    return cv2.GaussianBlur(area, (0, 0), 4)


@cache
def mirrored_vertices() -> Ints:
    """For each of the 478 + 36 points, its mirror image's index."""
    reference = topology().reference
    mirror = reference * [-1, 1, 1]
    distance = np.linalg.norm(reference[None, :468] - mirror[:468, None], axis=-1)
    face = distance.argmin(1)
    # Iris points are ordered right, top, left, bottom; nothing draws them, keep their place.
    irises = np.concatenate([np.arange(473, 478), np.arange(468, 473)])
    position = {vertex: place for place, vertex in enumerate(FACE_OVAL)}
    ring = [NUM_VERTICES + position[int(face[vertex])] for vertex in FACE_OVAL]
    return np.concatenate([face, irises, ring])


def mirror(image: Picture, points: Floats) -> tuple[Picture, Floats]:
    """Flip a crop and its points left to right."""
    flipped = points[mirrored_vertices()].copy()
    flipped[:, 0] = CROP_SIZE - 1 - flipped[:, 0]
    return np.ascontiguousarray(image[:, ::-1]), flipped


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops on disk: pictures `[N, 256, 256, 3]`, points `[N, 514, 3]` and facts about each."""

    images: Picture
    points: Floats
    about: list[dict[str, object]]

    @classmethod
    def load(cls, folder: Path) -> Crops:
        """Map a folder that the preparation wrote."""
        images = np.load(folder / "images.npy", mmap_mode="r")
        points = np.load(folder / "points.npy")
        return cls(images, points, json.loads((folder / "about.json").read_text()))


class CropPairs(Dataset[Sample]):
    """Random pairs, drawn with more weight on people with few crops and on open mouths.

    Args:
        crops: What to draw from.
        indices: Which crops belong to this split.
        length: Pairs per epoch.
        augment: Flip, recolour, jitter and hide what the reference shows of the mouth.
        personal: One person's generator: only jitter, and the reference is the one that will be live: the crop
            that `about` calls `rest`, or else the group's most closed mouth.
        sunk_teeth: Of that person; see `InteriorLook`.
        seed: Pairs are a function of this and the position in the epoch.
    """

    def __init__(
        self,
        crops: Crops,
        indices: list[int],
        length: int,
        *,
        augment: bool,
        personal: bool = False,
        sunk_teeth: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._crops = crops
        self._indices = indices
        self._length = length
        self._augment = augment
        self._personal = personal
        self._sunk = sunk_teeth
        self._seed = seed
        self._rasteriser = crop_rasteriser()
        self._groups: dict[tuple[object, object], list[int]] = {}
        for i in indices:
            self._groups.setdefault(self._group(i), []).append(i)
        self._references = {name: self._rest(group) for name, group in self._groups.items()}
        size = np.array([len(self._groups[self._group(i)]) for i in indices], np.float64)
        still = np.array([crops.about[i]["corpus"] == "faces" for i in indices])
        gap = np.array([mouth_gap(crops.points[i]) for i in indices])
        weight = np.where(still, 0.5, size**-0.5) * (0.5 + np.clip(gap / 12, 0, 1.5))
        self._weights = weight / weight.sum()

    def _group(self, index: int) -> tuple[object, object]:
        about = self._crops.about[index]
        one_room = about["corpus"] in ("mcgurk", "vidtimit_fadg0", "default")
        return about["speaker"], None if one_room else about["clip"]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Sample:
        rng = np.random.default_rng((self._seed, position))
        target = int(rng.choice(self._indices, p=self._weights))
        reference = self._draw_reference(target, rng)
        image, points = self._crops.images[target], self._crops.points[target]
        other, source = self._crops.images[reference], self._crops.points[reference]
        other = match_colour(other, image)
        if not self._augment:
            return make_sample(self._rasteriser, image, points, other, source)
        points = points + rng.normal(0, 0.35, points.shape).astype(np.float32)
        if self._personal:
            return make_sample(self._rasteriser, image, points, other, source, sunk_teeth=self._sunk)
        if target == reference or rng.random() < 0.1:
            other, source = mirror(other, source)  # stills have no second picture
        if rng.random() < 0.5:
            image, points = mirror(image, points)
            other, source = mirror(other, source)
        gain, lift = rng.uniform(0.8, 1.2, 3), rng.uniform(-12, 12)
        image, other = (np.clip(x * gain + lift, 0, 255).astype(np.uint8) for x in (image, other))
        if rng.random() < _COLOURLESS:
            kept = rng.choice([0.0, rng.uniform(0.0, 0.7)])
            image, other = (_desaturate(x, kept) for x in (image, other))
        hide = rng.random() < 0.5
        return make_sample(self._rasteriser, image, points, other, source, hide_interior=hide)

    def _rest(self, group: list[int]) -> int:
        marked = [i for i in group if self._crops.about[i].get("rest")]
        return marked[0] if marked else min(group, key=lambda i: mouth_gap(self._crops.points[i]))

    def _draw_reference(self, target: int, rng: np.random.Generator) -> int:
        group = self._groups[self._group(target)]
        if self._personal:
            return self._references[self._group(target)]
        picks = rng.choice(group, size=min(3, len(group)), replace=False)
        # Enrolled photos mostly show closed mouths: prefer the most closed of a few.
        if rng.random() < 0.6:
            return int(min(picks, key=lambda i: mouth_gap(self._crops.points[i])))
        return int(picks[0])


def make_sample(
    rasteriser: MeshRasteriser,
    image: Picture,
    points: Floats,
    other: Picture,
    source: Floats,
    *,
    hide_interior: bool = False,
    sunk_teeth: float = 0.0,
) -> Sample:
    """Rasterise a pair into the generator's inputs.

    Args:
        rasteriser: From `crop_rasteriser`.
        image: Target crop `[256, 256, 3]` and its mesh `points [514, 3]`.
        points: See `image`.
        other: Reference crop and its mesh `source`.
        source: See `other`.
        hide_interior: Don't use what the reference shows inside the mouth.
        sunk_teeth: See `InteriorLook`.
    """
    mix = Mix.of_one(np.asarray(other), source, mouth_gap(source))
    look = interior_look(other, source, sunk_teeth)
    return mixed_sample(rasteriser, image, points, other, mix, look, hide_interior=hide_interior)


def mixed_sample(
    rasteriser: MeshRasteriser,
    image: Picture,
    points: Floats,
    behind: Picture,
    mix: Mix,
    look: InteriorLook,
    *,
    hide_interior: bool = False,
) -> Sample:
    """`make_sample` from mixed references, of which none need be the crop that lies behind `[256, 256, 3]`."""
    live = mixed_planes(rasteriser, points, mix, look, hide_interior=hide_interior)
    share = 1.0 if hide_interior else 1.0 - seen_share(points, mix.gap)
    painted = (live[..., 4:5] * share).astype(np.uint8)
    planes = (image, behind, live, painted, mouth_polygon(points)[..., None])
    tensors = [torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1))) for p in planes]
    return Sample(*tensors)
