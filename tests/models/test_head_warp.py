"""A head turns by its depth: by how much and where to, what stays, and how far it goes."""

import cv2
import numpy as np
import pytest

from models.head_motion import AT_REST, HeadPose, rotation
from models.head_warp import NECK_BELOW, HeadWarp, limited
from models.mesh import FACE_OVAL, topology
from models.still import DETAIL

SIDE, UNIT = 512, 100.0
NOSE, CHIN, LEFT_EAR, LEFT_EYE, RIGHT_EYE = 1, 152, 234, 33, 263
SMALL = 0.05


def landmarks() -> np.ndarray:
    return (topology().reference * UNIT + [SIDE / 2, SIDE / 2 - 0.5 * UNIT, 0]).astype(np.float32)


@pytest.fixture(scope="module")
def warp() -> HeadWarp:
    return HeadWarp((SIDE, SIDE), landmarks(), UNIT)


def sources(warp: HeadWarp, pose: HeadPose) -> np.ndarray:
    """Where in the still each pixel of the whole frame comes from."""
    whole = np.stack(np.meshgrid(*[np.arange(SIDE, dtype=np.float32)] * 2), -1)
    whole[warp.box] = warp.positions(warp.shifts(pose)) / DETAIL
    return whole


def moved(warp: HeadWarp, pose: HeadPose, point: int) -> np.ndarray:
    """How far a point of the face is moved in the picture, by where the picture around it comes from."""
    source = sources(warp, pose)
    place = landmarks()[point, :2]
    nearest = np.unravel_index(np.hypot(*np.moveaxis(source - place, -1, 0)).argmin(), (SIDE, SIDE))
    return np.array(nearest[::-1]) - place


def expected(pose: HeadPose, point: int) -> np.ndarray:
    """The same by turning the mesh in space."""
    points = landmarks()
    middle = points[FACE_OVAL, :2].mean(0)
    pivot = np.array([middle[0], middle[1] + NECK_BELOW * UNIT, points[[234, 454], 2].mean()])
    turned = rotation(limited(pose)) @ (points[point] - pivot) + pivot
    shift = np.array(limited(pose)[:2]) * UNIT
    return turned[:2] + shift - points[point, :2]


@pytest.mark.parametrize("pose", [HeadPose(yaw=0.15), HeadPose(pitch=-0.15), HeadPose(0.05, -0.05, 0.08, -0.1, 0.1)])
def test_points_of_the_face_go_where_the_turned_mesh_has_them(warp, pose):
    for point in (CHIN, LEFT_EYE, RIGHT_EYE, 10, NOSE):
        assert np.hypot(*(moved(warp, pose, point) - expected(pose, point))) < 0.07 * UNIT, point


def test_a_turn_moves_the_nose_more_than_the_eyes_and_the_ears_hardly(warp):
    right = {point: moved(warp, HeadPose(yaw=0.2), point)[0] for point in (NOSE, LEFT_EYE, LEFT_EAR)}
    assert right[NOSE] > right[LEFT_EYE] + 0.05 * UNIT > right[LEFT_EAR] + 0.1 * UNIT
    down = moved(warp, HeadPose(pitch=0.2), NOSE)[1]
    assert down > 0.15 * UNIT


@pytest.mark.parametrize("pose", [HeadPose(yaw=1.0), HeadPose(pitch=-1.0), HeadPose(1, 1, 1, 1, 1)])
def test_no_pose_tears_or_folds_the_picture(warp, pose):
    """Neighbours stay neighbours, in order, however far a pose is asked for."""
    source = sources(warp, pose)
    across, along = np.diff(source[..., 0], axis=1), np.diff(source[..., 1], axis=0)
    assert across.min() > 0.05
    assert along.min() > 0.05
    assert max(across.max(), along.max()) < 3.5


def test_a_turn_leaves_background_and_shoulders(warp):
    still = sources(warp, AT_REST)
    for pose in (HeadPose(yaw=0.2), HeadPose(pitch=0.2)):
        change = np.abs(sources(warp, pose) - still).max(-1)
        assert change[-20:].max() < 0.02 * UNIT  # shoulders
        assert change[:, :20].max() < 0.02 * UNIT
    change = np.abs(sources(warp, HeadPose(yaw=0.2)) - still).max(-1)
    assert change[:40].max() < 0.05 * UNIT  # above the head


def test_at_rest_the_picture_is_the_still(warp):
    picture = np.random.default_rng(0).integers(0, 256, (DETAIL * SIDE, DETAIL * SIDE, 3)).astype(np.uint8)
    np.testing.assert_array_equal(warp.apply(picture, AT_REST), picture[::DETAIL, ::DETAIL])


@pytest.mark.parametrize("size", [(512, 512), (301, 250)])
def test_positions_are_right_up_to_the_border(size):
    """Of a head that fills the picture, whose sides are no multiples of the coarse grid."""
    warp = HeadWarp(size, landmarks() - [SIDE / 2 - size[1] / 2, SIDE / 2 - size[0] / 2, 0], UNIT)
    assert warp.box == (slice(0, size[0]), slice(0, size[1])) or size[0] == SIDE
    still = warp.positions(warp.shifts(AT_REST)) / DETAIL
    rows, columns = warp.box
    x, y = np.meshgrid(np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop))
    np.testing.assert_allclose(still, np.stack([x, y], -1), atol=1e-3)


def test_limits_are_soft():
    small, large = HeadPose(*[SMALL / 5] * 5), HeadPose(*[9.0] * 5)
    np.testing.assert_allclose(limited(small), small, rtol=0.01)
    assert np.degrees(limited(large)[2:]).max() < 15
    values = [limited(HeadPose(yaw=angle)).yaw for angle in np.linspace(-1, 1, 50)]
    assert np.all(np.diff(values) > 0)


def test_depth_is_smooth(warp):
    """A bump in it would be visible as a kink that moves over the face."""
    depth = warp._points[..., 2] / UNIT
    bend = np.abs(cv2.Laplacian(depth, cv2.CV_32F, ksize=1))
    assert depth.min() < -1.2  # the nose, before the ears
    assert bend.max() < 0.08
