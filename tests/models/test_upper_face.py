"""Brows and irises of the shipped presenter go where they are sent, and nothing else does."""

import numpy as np
import pytest

from models.crop import Window, mask_region
from models.detail import Mouth
from models.head_motion import AT_REST, EYES_CLOSED, HeadPose
from models.mesh import canonicalise
from models.scene import StillScene
from models.tracker import FaceTracker
from models.upper_face import UpperFace, read_upper_face
from presenter.runtime.identities import IdentityStore

NO_BROWS, AHEAD = np.zeros((10, 2), np.float32), np.zeros(2, np.float32)
LEFT_EYE, RIGHT_EYE = (33, 133, 159, 145), (362, 263, 386, 374)


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return IdentityStore(tmp_path_factory.mktemp("none")).load("default").identity


@pytest.fixture(scope="module")
def show(identity):
    top, bottom, left, right = mask_region()
    scene = StillScene(identity, Window(top, bottom, left, right))
    nothing = np.zeros((bottom - top, right - left, 4), np.uint8)

    def shown(brows=NO_BROWS, gaze=AHEAD, eyelids=0, pose=AT_REST):
        return scene.compose(Mouth(nothing), 0, pose, eyelids, UpperFace(brows, np.array(gaze)), cutout=False)[0]

    return shown


@pytest.fixture(scope="module")
def read():
    with FaceTracker(video=False, max_faces=1) as tracker:
        yield lambda rgb: read_upper_face(canonicalise(tracker.track(rgb)[0])[0])


def raised(by):
    return np.tile(np.array([0, by], np.float32), (10, 1))


def changed(one, other):
    return np.abs(one.astype(int) - other).max(-1) > 2


def test_what_does_not_move_is_the_still(show, identity):
    assert np.array_equal(show(), identity.frame)


@pytest.mark.parametrize("by", [-0.08, -0.04, 0.03])
def test_brows_rise_and_fall_as_far_as_they_are_sent(show, read, by):
    found = read(show(raised(by))).brows[2:8, 1] - read(show()).brows[2:8, 1]
    assert found.mean() == pytest.approx(by, rel=0.35)


@pytest.mark.parametrize("to", [-0.04, 0.04])
def test_irises_look_where_they_are_sent(show, read, to):
    found = read(show(gaze=(to, 0))).gaze - read(show()).gaze
    assert found[0] == pytest.approx(to, rel=0.4)


def test_brows_leave_eyes_and_lower_face(show, identity):
    places = identity.pose.project(identity.mesh)
    lids = int(places[[33, 263], 1].mean() - 0.02 * identity.pose.scale)
    moved = changed(show(raised(-0.08)), show())
    assert moved[:lids].sum() > 500
    assert not moved[lids + int(0.1 * identity.pose.scale) :].any()


def test_gaze_stays_within_the_eyes(show, identity):
    places = identity.pose.project(identity.mesh)[:, :2]
    rows, columns = np.nonzero(changed(show(gaze=(0.05, 0.02)), show()))
    for x, y in zip(columns, rows, strict=True):
        away = [
            np.maximum(places[list(eye)].min(0) - [x, y], [x, y] - places[list(eye)].max(0)).max()
            for eye in (LEFT_EYE, RIGHT_EYE)
        ]
        assert min(away) < 0.06 * identity.pose.scale
    assert len(rows) > 100


def test_closed_eyes_hide_where_they_look(show):
    assert np.array_equal(show(gaze=(0.05, 0), eyelids=EYES_CLOSED), show(eyelids=EYES_CLOSED))
    half = show(gaze=(0.05, 0), eyelids=1)
    assert changed(half, show(eyelids=1)).any()


def test_far_brows_do_not_fold_the_picture(show, read):
    """Sent farther than a picture stands, brows stay below the hair and above the eyes."""
    found = read(show(raised(0.5))).brows[2:8, 1] - read(show()).brows[2:8, 1]
    assert 0.03 < found.mean() < 0.1


def test_a_turned_head_takes_brows_along(show, read):
    pose = HeadPose(0.03, 0.02, 0.08, 0.1, 0.05)
    found = read(show(raised(-0.06), pose=pose)).brows[2:8, 1] - read(show(pose=pose)).brows[2:8, 1]
    assert found.mean() == pytest.approx(-0.06, rel=0.4)
