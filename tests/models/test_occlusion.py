"""What is before a face is found by comparison with the person's own look, and the recipe learns it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.checkpoint import load_checkpoint
from models.face_square import FaceTexture
from models.occlusion import SIZE, OcclusionFinder, face_area, own_look, refined
from models.training.occluders import HELD_OUT_KINDS, KINDS, Scene, lay_over
from models.training.occlusion import ABOUT, PICTURES, POINTS, STORED_SIZE, OcclusionTraining, train_occlusion
from presenter.runtime.identities import IdentityStore

UNIT = SIZE / 3.7


def texture(name: str, size: int = SIZE) -> FaceTexture:
    identity = IdentityStore(Path()).load(name).identity
    return FaceTexture.of(identity.frame, identity.mesh, identity.neutral, identity.pose, size)


@pytest.fixture(scope="module")
def face() -> FaceTexture:
    return texture("default")


def covered(face: FaceTexture, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The face with something before the mouth, and where."""
    rng = np.random.default_rng(seed)
    skin = np.median(face.picture[face_area(face.points) > 0], 0)
    draw = HELD_OUT_KINDS.get(kind) or KINDS[kind][0]
    occluder = draw(Scene(SIZE, UNIT, face.points[13, :2], skin, [face.picture]), rng)
    return lay_over(face.picture, occluder, UNIT, rng), occluder.alpha > 0.5


@pytest.mark.parametrize("kind", [*KINDS, *HELD_OUT_KINDS])
def test_every_kind_covers_something_and_nothing_else_changes_but_for_its_shadow(face: FaceTexture, kind: str) -> None:
    shown, mask = covered(face, kind, 3)
    changed = np.abs(shown.astype(int) - face.picture).max(-1) > 0
    assert 0.005 < mask[face_area(face.points) > 0].mean() <= 1
    assert (shown[~mask & changed] <= face.picture[~mask & changed].astype(int) + 255 * 0.6).all()


@pytest.mark.parametrize("kind", HELD_OUT_KINDS)
def test_what_is_before_the_face_is_found_in_any_light(face: FaceTexture, kind: str) -> None:
    finder = OcclusionFinder()
    inside = face_area(face.points) > 0
    for seed in range(3):
        shown, mask = covered(face, kind, seed)
        found = finder.mask((shown * 0.8).astype(np.uint8), face.points, face) > 0.5
        both = (found & mask & inside).sum() / ((found | mask) & inside).sum()
        assert both > 0.5, (kind, seed)


def test_nothing_is_found_where_nothing_is(face: FaceTexture) -> None:
    finder = OcclusionFinder()
    for light in (0.7, 1.0, 1.2):
        lit = np.clip(face.picture * light, 0, 255).astype(np.uint8)
        assert finder.mask(lit, face.points, face)[face_area(face.points) > 0].mean() < 0.02


def test_the_own_look_is_without_what_is_before_fewer_than_half_of_the_frames(face: FaceTexture) -> None:
    shown, mask = covered(face, "fist", 0)
    hidden = FaceTexture(shown, face.points, face.neutral)
    look = own_look([hidden, face, hidden, face, face])
    inside = mask & (face_area(face.points) > 0)
    assert np.abs(look.picture.astype(int) - face.picture)[inside].mean() < 5
    assert np.abs(shown.astype(int) - face.picture)[inside].mean() > 20


def test_a_refined_mask_has_the_edge_of_the_picture() -> None:
    large = np.full((384, 384, 3), 60, np.uint8)
    large[:, 200:] = 190
    coarse = np.zeros((SIZE, SIZE), np.float32)
    coarse[:, 52:] = 1  # two pixels, here eight, too far to the right
    coarse = cv2.GaussianBlur(coarse, (0, 0), 1.0)
    row = refined(coarse, large)[192]
    assert row[190] < 0.4 < 0.6 < row[210]
    assert cv2.resize(coarse, (384, 384))[192, 204] < 0.3 < 0.4 < row[204]


def test_training_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    faces = [texture(name, STORED_SIZE) for name in ("default", "sam")]
    np.save(tmp_path / PICTURES, np.stack([each.picture for each in faces for _ in range(2)]))
    np.save(tmp_path / POINTS, np.stack([each.points for each in faces for _ in range(2)]))
    about = [{"clip": name, "held_out": name == "sam"} for name in ("default", "default", "sam", "sam")]
    (tmp_path / ABOUT).write_text(json.dumps(about))
    out = tmp_path / "occlusion.safetensors"
    for steps in (2, 3):
        train_occlusion(
            OcclusionTraining(faces=tmp_path, out=out, steps=steps, batch_size=2, workers=0, save_every=2, held_out=4)
        )
        tensors, config = load_checkpoint(out)
        assert config["step"] == steps
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert (
        OcclusionFinder(out).mask(texture("default").picture, texture("default").points, texture("default")).max() <= 1
    )
