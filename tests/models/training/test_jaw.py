"""The jaw that a motion network lacks: fitted to filmed people, without a change of the lips' opening and width."""

import numpy as np
import pytest
import torch

from models.mesh import NUM_VERTICES, OUTER_LIP_RING, aperture, width
from models.motion_basis import mouth_rows
from models.syncformer import StyleSyncFormer
from models.training.jaw import fit_jaw, opening_slopes
from models.training.motion_data import MotionClip
from models.weights import syncformer_path

UPPER = [13, 81, 82, 312, 311]
LOWER = [14, 178, 87, 317, 402]
CHIN = 152


def motion(seed: int, upper: float, chin: float) -> np.ndarray:
    """Lips that open by 1 of which the upper lip takes its share, a chin that goes along, and mouths that widen."""
    rng = np.random.default_rng(seed)
    opening, sideways = rng.uniform(0, 0.3, 200), rng.normal(0, 0.05, 200)
    moved = np.zeros((200, NUM_VERTICES, 3), np.float32)
    moved[:, UPPER, 1] = -upper * opening[:, None]
    moved[:, LOWER, 1] = (1 - upper) * opening[:, None]
    moved[:, CHIN, 1] = chin * opening
    moved[:, 78, 0], moved[:, 308, 0] = -sideways, sideways
    return moved


def clip(speaker: str, moved: np.ndarray) -> MotionClip:
    return MotionClip(f"corpus/{speaker}", speaker, moved, np.zeros((NUM_VERTICES, 3), np.float32))


def test_motion_with_the_jaw_goes_as_filmed_people_do():
    filmed = [clip("one", motion(0, 0.1, 0.5)), clip("two", motion(1, 0.3, 0.3))]
    filmed += [clip("two", motion(2, 0.3, 0.3))] * 5  # speakers count alike
    emitted = motion(3, 0.5, 0.0)
    jaw = fit_jaw(filmed, emitted)
    opening = mouth_rows(emitted.reshape(200, -1))[0]
    corrected = emitted + (opening[:, None] * jaw).reshape(emitted.shape)
    slopes = opening_slopes(corrected)
    assert slopes[CHIN, 1] == pytest.approx(0.4, abs=1e-3)
    assert slopes[13, 1] == pytest.approx(-0.2, abs=1e-3)
    assert slopes[14, 1] == pytest.approx(0.8, abs=1e-3)
    np.testing.assert_allclose(aperture(corrected), aperture(emitted), atol=1e-6)
    np.testing.assert_allclose(width(corrected), width(emitted), atol=1e-6)


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="at least one clip"):
        fit_jaw([], motion(0, 0.5, 0.0))


@pytest.fixture(scope="module")
def shipped():
    return StyleSyncFormer.load(syncformer_path())


def test_the_shipped_jaw_falls_and_leaves_opening_and_width(shipped):
    jaw = shipped.jaw.numpy()
    assert np.abs(mouth_rows(jaw[None])).max() < 1e-3  # half precision
    vertices = jaw.reshape(NUM_VERTICES, 3)
    assert vertices[CHIN, 1] > 0.2
    assert (vertices[OUTER_LIP_RING, 1] > -0.02).all()
    assert not vertices[[4, 2, 10, 33, 263]].any()  # nose, forehead and eyes


def test_displacement_is_the_basis_and_the_jaw_by_the_opening(shipped):
    coefficients = torch.randn(1, 7, shipped.config.coefficients, generator=torch.Generator().manual_seed(0))
    basis, jaw = shipped.basis.numpy(), shipped.jaw.numpy()
    opening = coefficients[0].numpy() @ mouth_rows(basis)[0]
    wanted = coefficients[0].numpy() @ basis + opening[:, None] * jaw
    with torch.inference_mode():
        moved = shipped.displacement(coefficients)[0].numpy()
    np.testing.assert_allclose(moved.reshape(7, -1), wanted, atol=1e-5)


def test_weights_without_a_jaw_load(shipped, tmp_path):
    from models.checkpoint import load_checkpoint, save_checkpoint

    tensors, config = load_checkpoint(syncformer_path())
    del tensors["jaw"]
    save_checkpoint(tmp_path / "before.safetensors", tensors, config)
    before = StyleSyncFormer.load(tmp_path / "before.safetensors")
    assert not before.jaw.any()
    assert torch.equal(before.basis, shipped.basis)
