"""Which references are mixed, where they are shown, and which are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.backends import backend
from models.compositor import FrameCompositor
from models.crop import crop_mask, crop_rasteriser, cut_crop
from models.generator import Generator
from models.live_inputs import mouth_gap
from models.metrics import mouth_box
from models.raster import MIXED, mouth_share
from models.references import Mixer, References, choose, consistent, nearest, shapes
from models.weights import generator_path
from presenter.runtime.identities import load_identity, shipped_dir
from tests.models.speech import spoken

STORED = load_identity(shipped_dir() / "default")
IDENTITY = STORED.identity


@pytest.fixture(scope="module")
def compositor() -> FrameCompositor:
    generator = Generator.load(STORED.generator or generator_path())
    return FrameCompositor(IDENTITY, backend(generator, IDENTITY.style_code, "float32", torch.device("cpu")))


@pytest.fixture(scope="module")
def references(compositor: FrameCompositor) -> References:
    """The shipped presenter as it renders speech."""
    crops = [cut_crop(compositor.frame(each), IDENTITY.transform) for each in spoken()]
    return References(np.stack(crops), np.stack([compositor.points(each) for each in spoken()]))


@pytest.fixture(scope="module")
def mixer(compositor: FrameCompositor, references: References) -> Mixer:
    return Mixer(IDENTITY.reference, compositor.points(np.zeros((478, 3), np.float32)), references)


def weights_of(distances: np.ndarray) -> np.ndarray:
    order, weights = nearest(distances)
    spread = np.zeros(len(distances))
    np.add.at(spread, order, weights)
    return spread


def test_weights_are_continuous() -> None:
    """However distances change, also where another reference becomes one of the nearest."""
    rng = np.random.default_rng(0)
    begin, end = rng.uniform(0.5, 4, (2, 20)).astype(np.float32)
    steps = np.stack([weights_of(begin + share * (end - begin)) for share in np.linspace(0, 1, 2001)])
    np.testing.assert_allclose(steps.sum(1), 1, atol=1e-5)
    assert (steps > 0).sum(1).max() <= MIXED
    assert len({tuple(np.flatnonzero(step)) for step in steps}) > 3, "they are exchanged"
    assert np.abs(np.diff(steps, axis=0)).max() < 0.02


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_references(count: int) -> None:
    order, weights = nearest(np.full(count, 2.0, np.float32))
    assert len(order) == len(weights) == MIXED
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-5)
    assert np.isfinite(weights).all()


def test_the_nearest_is_shown(references: References, mixer: Mixer) -> None:
    """A mouth that is among the references is warped from itself; an open one is not the closed one stretched."""
    widest = int(np.argmax([mouth_gap(points) for points in references.points]))
    wanted, points = references.pictures[widest], references.points[widest]
    box = mouth_box(points, len(wanted))
    rasteriser = crop_rasteriser()
    near = rasteriser.draw_mix(points, mixer.mix(points)).warped
    closed = rasteriser.draw_mix(points, mixer.mix(points, np.arange(len(references) + 1) > 0)).warped
    assert mixer.chosen(points)[0][0] == widest + 1

    def error(picture: np.ndarray) -> float:
        return float(np.abs(picture[box].astype(int) - wanted[box])[crop_mask()[box] > 0].mean())

    assert error(near) < 0.5 * error(closed)


def test_the_rim_is_the_pictures_own(references: References, mixer: Mixer) -> None:
    """Beyond the face nothing of another frame is shown, whatever lies there."""
    points = references.points[5]
    strange = References(255 - references.pictures, references.points)
    rasteriser = crop_rasteriser()
    own = mixer.mix(points)
    other = own._replace(pictures=[own.pictures[0], *strange.pictures[:MIXED]])
    apart = np.abs(rasteriser.draw_mix(points, own).warped.astype(int) - rasteriser.draw_mix(points, other).warped).max(
        -1
    )
    chin, lips = points[152, :2].astype(int), points[13, :2].astype(int)
    assert apart[lips[1], lips[0]] > 20
    assert not apart[chin[1] + 6 :].any()
    assert mouth_share()[478:].max() == 0


def test_other_light_is_matched(references: References) -> None:
    """References that were filmed darker are shown as bright as the picture behind."""
    points = references.points[5]
    source = references.points[0]
    bright = Mixer(references.pictures[0], source, references)
    dark = Mixer(
        references.pictures[0], source, References((0.7 * references.pictures).astype(np.uint8), references.points)
    )
    without = np.arange(len(references) + 1) == 0
    rasteriser = crop_rasteriser()
    shown = [rasteriser.draw_mix(points, each.mix(points, without)).warped.astype(int) for each in (bright, dark)]
    assert np.abs(shown[0] - shown[1]).mean() < 2


def test_the_choice_covers_all_mouths(references: References) -> None:
    chosen = choose(references.points, 6)
    assert len(chosen) == 6
    gaps = np.array([mouth_gap(points) for points in references.points])
    assert np.ptp(gaps[chosen]) > 0.7 * np.ptp(gaps)
    seen = shapes(references.points)
    farthest = np.linalg.norm(seen[:, None] - seen[chosen][None], axis=2).min(1).max()
    assert farthest < 0.5 * np.linalg.norm(seen - seen.mean(0), axis=1).max()


def test_a_hand_before_the_mouth_is_left_out(references: References) -> None:
    covered = references.pictures.copy()
    covered[7, 130:220, 70:190] = (30, 90, 160)
    assert len(consistent(references)) >= len(references) - 1
    kept = consistent(References(covered, references.points))
    assert 7 not in kept
    assert len(kept) >= len(references) - 3, "what can be explained without it stays"


def test_painted_teeth_do_not_come_and_go(references: References, mixer: Mixer) -> None:
    """Whether they are painted does not depend on which references are mixed."""
    found = [mixer.chosen(points) for points in references.points]
    assert len({tuple(order) for order, *_ in found}) > 3
    assert len({gap for _, _, gap, _ in found}) == 1
