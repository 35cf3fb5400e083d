"""What personalisation learns from: crops of one person's video, each with the references that it has live."""

from __future__ import annotations

import numpy as np
from torch.utils.data import Dataset

from models.crop import crop_rasteriser
from models.live_inputs import mouth_gap
from models.mesh import Floats
from models.mouth_interior import interior_look
from models.references import APART, STILL, Mixer, References, choose, consistent, light, skin
from models.still import Picture
from models.training.crop_dataset import Crops, Sample, mixed_sample

_CLOSED_SHARE = 0.25  # of the crops: those with the least open mouths serve as references
_NEAREST = 4
_JITTER = 0.35  # pixels: what a tracker is off


class PersonalPairs(Dataset[Sample]):
    """Crops of a video, open mouths more often, with what is live as references.

    A closed mouth in a like pose stands for the template frame; it and the video's references are mixed, but for those
    of the same moment.

    Args:
        crops: All of the video's.
        length: Pairs per epoch.
        seed: Pairs are a function of this and the position in the epoch.
    """

    def __init__(self, crops: Crops, length: int, seed: int = 0) -> None:
        self._crops = crops
        self._length = length
        self._seed = seed
        self._rasteriser = crop_rasteriser()
        gaps = np.array([mouth_gap(points) for points in crops.points])
        self._closed = closed_crops(crops)
        self._chosen = reference_crops(crops)
        self._references = References(crops.images[self._chosen], crops.points[self._chosen])
        self._moments = np.array([about.get("frame", APART * i) for i, about in enumerate(crops.about)], np.int64)
        weights = 0.5 + np.clip(gaps / 12, 0, 1.5)
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Sample:
        rng = np.random.default_rng((self._seed, position))
        target = int(rng.choice(len(self._weights), p=self._weights))
        image, points = self._crops.images[target], self._crops.points[target]
        near = np.abs(self._moments - self._moments[target]) < APART
        closed = nearest_closed(self._crops, self._closed, points)
        own = int(rng.choice([i for i in closed if not near[i]][:_NEAREST] or [target]))
        source = self._crops.points[own]
        behind = lit(self._crops.images[own], light(skin(image, points), skin(self._crops.images[own], source)))
        points = points + rng.normal(0, _JITTER, points.shape).astype(np.float32)
        mix = Mixer(behind, source, self._references).mix(points, np.append(False, near[self._chosen]))
        return mixed_sample(self._rasteriser, image, points, behind, mix, interior_look(behind, source))


def lit(picture: Picture, by: Floats) -> Picture:
    """A picture whose colours are multiplied by these `[3]`."""
    return np.clip(picture * by, 0, 255).astype(np.uint8)


def reference_crops(crops: Crops) -> list[int]:
    """Those that are the references of a presenter of this video."""
    chosen = choose(crops.points)
    return [chosen[i] for i in consistent(References(crops.images[chosen], crops.points[chosen]))]


def references_of(crops: Crops) -> References:
    """The references of a presenter of this video."""
    chosen = reference_crops(crops)
    return References(crops.images[chosen], crops.points[chosen])


def closed_crops(crops: Crops) -> list[int]:
    """The crops with the least open mouths."""
    gaps = [mouth_gap(points) for points in crops.points]
    return [int(i) for i in np.argsort(gaps)[: max(int(_CLOSED_SHARE * len(gaps)), 2)]]


def nearest_closed(crops: Crops, closed: list[int], points: Floats) -> list[int]:
    """Closed crops, first those whose face lies most as that of a mesh does in its crop `[514, 3]`."""
    return sorted(closed, key=lambda i: float(np.abs(crops.points[i][STILL] - points[STILL]).mean()))
