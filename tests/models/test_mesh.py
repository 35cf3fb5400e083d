"""Canonical space: pose in, pose out."""

import numpy as np
import pytest

from models.mesh import (
    INNER_LIP_PAIRS,
    LEFT_EYE_CORNERS,
    RIGHT_EYE_CORNERS,
    Pose,
    aperture,
    canonicalise,
    closed_mouth_neutral,
    fit_pose,
    topology,
)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (around_z @ around_y @ around_x).astype(np.float32)


def opened(by: float) -> np.ndarray:
    mesh = topology().reference.copy()
    mesh[[lower for _, lower in INNER_LIP_PAIRS], 1] += by
    return mesh


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.3, -0.2, 0.1), (-0.4, 0.1, -0.5)])
def test_pose_is_recovered(angles):
    pose = Pose(83.0, rotation(*angles), np.array([200.0, 180.0, 5.0], np.float32))
    found = fit_pose(pose.project(topology().reference))
    assert found.scale == pytest.approx(pose.scale, rel=1e-4)
    np.testing.assert_allclose(found.rotation, pose.rotation, atol=1e-4)
    np.testing.assert_allclose(found.translation, pose.translation, atol=1e-2)


def test_canonical_mesh_does_not_depend_on_pose():
    mesh = opened(0.2)
    views = [
        canonicalise(Pose(scale, rotation(*angles), np.array([x, 50.0, 0.0], np.float32)).project(mesh))[0]
        for scale, angles, x in ((60.0, (0, 0, 0), 10.0), (140.0, (0.3, 0.1, -0.2), 300.0))
    ]
    np.testing.assert_allclose(views[0], views[1], atol=1e-3)


def test_unit_is_the_inter_ocular_distance():
    wide = topology().reference * [1.3, 1.0, 1.0]
    mesh, pose = canonicalise((90 * wide).astype(np.float32))
    eyes = [mesh[list(corners)].mean(0) for corners in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)]
    assert np.linalg.norm(eyes[1] - eyes[0]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(pose.project(mesh), 90 * wide, atol=1e-2)


def test_speech_does_not_move_the_pose():
    pose = Pose(90.0, rotation(0.1, 0.1, 0.1), np.zeros(3, np.float32))
    still, talking = (fit_pose(pose.project(mesh)) for mesh in (opened(0.0), opened(0.4)))
    np.testing.assert_array_equal(still.rotation, talking.rotation)
    assert still.scale == talking.scale


def test_aperture_is_the_gap():
    assert aperture(opened(0.25)) - aperture(opened(0.0)) == pytest.approx(0.25, abs=0.02)


def test_neutral_is_the_closed_mouth():
    meshes = np.stack([opened(gap) for gap in np.linspace(0, 0.4, 50)])
    assert aperture(closed_mouth_neutral(meshes)) < aperture(meshes).min() + 0.03


def test_weights_spare_the_upper_face():
    weights = topology().lower_face
    assert weights[[10, 33, 133, 362, 263, 168, 4]].max() == 0  # forehead, eyes, nose bridge and tip
    assert weights[[13, 14, 78, 308, 152]].min() > 0.999  # lips, chin
