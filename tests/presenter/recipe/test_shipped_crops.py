"""What the default presenter learns from: renders over the rest frame, moved meshes, and which poses are rendered."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest

from models.crop import crop_points, crop_transform
from models.mesh import topology
from presenter.recipe import shipped_crops
from presenter.recipe.shipped_crops import Crop, move_crop, moved_crops, write_crops
from presenter.runtime.identities import DEFAULT, IdentityStore

LOWER_LIP, CHIN = 17, 152


@pytest.fixture(scope="module")
def rest() -> Crop:
    """The shipped presenter's crop."""
    identity = IdentityStore(Path("nobody")).load(DEFAULT).identity
    points = crop_points(identity.mesh, identity.neutral, identity.pose, crop_transform(identity.pose))
    return Crop(identity.reference, points, 0, "crops")


def lowered(points: np.ndarray, by: float) -> np.ndarray:
    weight = np.concatenate([topology().lower_face, np.zeros(len(points) - 478)])
    return (points + np.array([0.0, by, 0.0]) * weight[:, None]).astype(np.float32)


def test_a_crop_follows_its_mesh_and_stays_elsewhere(rest: Crop) -> None:
    moved = move_crop(rest.image, rest.points, lowered(rest.points, 5.0))
    x, y = np.rint(rest.points[LOWER_LIP, :2]).astype(int)
    patch = np.s_[y - 4 : y + 5, x - 12 : x + 13]
    there = np.s_[y + 1 : y + 10, x - 12 : x + 13]
    difference = np.abs(moved[there].astype(float) - rest.image[patch]).mean()
    unmoved = np.abs(rest.image[there].astype(float) - rest.image[patch]).mean()
    assert difference < 0.35 * unmoved
    assert np.abs(moved[:16].astype(int) - rest.image[:16]).max() <= 2  # the nose's bridge


def test_a_mesh_that_does_not_move_leaves_the_crop(rest: Crop) -> None:
    assert np.array_equal(move_crop(rest.image, rest.points, rest.points), rest.image)


def test_the_render_most_like_a_mesh_is_moved_onto_it(rest: Crop) -> None:
    points = rest.points.copy()
    points[[14, 17, CHIN], 1] += 12.0  # a jaw that drops: the shape changes, not only where it lies
    opened = Crop(np.zeros_like(rest.image), points, 9, "live")
    (moved,) = moved_crops([rest, opened], lowered(points, -4.0)[None])
    assert moved.number == 9
    assert moved.held_out
    assert not moved.image.any()


def test_what_did_not_move_stays_and_no_seam_is_left(rest: Crop) -> None:
    frame = rest.image
    softer = np.clip(frame.astype(int) + 6, 0, 255).astype(np.uint8)  # the same scene in another light
    opened = softer.copy()
    opened[100:140, 100:160] = (60, 20, 20)
    laid = shipped_crops._onto(frame, opened, softer)
    assert np.array_equal(laid[200:], frame[200:])
    inside = laid[108:132, 108:152].astype(float)
    assert np.abs(inside - inside.mean((0, 1))).max() < 4


def test_crops_are_read_back_by_the_training(rest: Crop, tmp_path: Path) -> None:
    from models.training.crop_dataset import CropPairs, Crops

    opened = rest._replace(points=lowered(rest.points, 6.0), number=1)
    write_crops(tmp_path, [rest, opened, rest._replace(number=19)], DEFAULT)
    crops = Crops.load(tmp_path)
    assert [about["held_out"] for about in crops.about] == [False, False, True]
    sample = CropPairs(crops, [0, 1], 4, augment=True, personal=True)[0]
    assert np.array_equal(sample.reference.numpy().transpose(1, 2, 0), rest.image)


def test_weights_of_a_pose_are_found_from_its_mesh(rest: Crop) -> None:
    pytest.importorskip("scipy")
    from presenter.recipe.shipped_poses import PoseFit
    from presenter.studio.shapes import speech_poses

    rng = np.random.default_rng(0)
    poses = speech_poses(120)
    names = sorted({name for pose in poses for name in pose})
    effects = {name: rng.normal(0, 8, (len(rest.points), 3)).astype(np.float32) for name in names}

    def shape(pose: dict[str, float]) -> np.ndarray:
        return rest.points + sum(((pose.get(n, 0.0) - poses[0].get(n, 0.0)) * effects[n] for n in names), np.float32(0))

    fit = PoseFit(poses, np.stack([shape(pose) for pose in poses]))
    wanted = poses[20]
    found = fit.weights(lowered(shape(wanted), -3.0))
    assert found["jawOpen"] == pytest.approx(wanted["jawOpen"], abs=0.15)
    assert found["mouthFunnel"] == pytest.approx(wanted.get("mouthFunnel", 0.0), abs=0.15)


def test_frequent_and_extreme_meshes_are_taken(rest: Crop) -> None:
    pytest.importorskip("scipy")
    from presenter.recipe.shipped_poses import spread

    rng = np.random.default_rng(0)
    meshes = np.stack([lowered(rest.points, by) for by in [*rng.normal(0, 0.3, 60), 15.0]])
    taken = spread(meshes, 8, rng)
    assert len(set(taken)) == 8
    assert 60 in taken


def test_silence_emits_the_mesh_at_rest(rest: Crop, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    from presenter.recipe.shipped_poses import emitted_meshes

    identity = IdentityStore(Path("nobody")).load(DEFAULT).identity
    with wave.open(str(tmp_path / "quiet.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000))
    meshes = emitted_meshes(tmp_path, identity.mesh, identity.pose)
    assert meshes.shape == (25, 514, 3)
    off = np.linalg.norm(meshes[-1] - rest.points, axis=1).max()
    assert math.isfinite(off)
    assert off < 3.0
