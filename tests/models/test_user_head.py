"""A tracked face becomes a pose relative to how the user sits, and eyes that are open or closed."""

import numpy as np
import pytest

from models.head_motion import HeadPose, rotation
from models.head_warp import EARS, NECK_BELOW
from models.mesh import FACE_OVAL, topology
from models.user_head import UserHead, read_head

UNIT, RATE = 80.0, 15
FOUND = 0.68  # of yaw and pitch: see `models.user_head`
UPPER, LOWER = [159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373]
SITS = HeadPose(yaw=0.1, pitch=-0.12, roll=0.03)
REST = HeadPose()


def face(pose: HeadPose = REST, lids: float = 1.0, at: tuple[float, float] = (300, 220), sits: HeadPose = SITS):
    """A face as a tracker reports it: sitting somehow at a place, moved from there; lids as shares of open ones."""
    mesh = topology().reference.copy()
    gap = mesh[LOWER, 1] - mesh[UPPER, 1]
    mesh[UPPER, 1] += (1 - lids) * gap
    neck = np.array([0, mesh[FACE_OVAL, 1].mean() + NECK_BELOW, mesh[list(EARS), 2].mean() + 0.4 / FOUND])
    turned = (mesh - neck) @ (rotation(sits) @ rotation(pose)).T + neck + [pose.right, pose.down, 0]
    return (turned * UNIT + [*at, 0]).astype(np.float32)


def settled(sits: HeadPose = SITS) -> UserHead:
    head = UserHead()
    for k in range(RATE + 2):
        head.follow(face(sits=sits), k / RATE)
    return head


def hold(head: UserHead, start_s: float, seconds: float, **how):
    """The last of the moves while a face is held."""
    moves = [head.follow(face(**how), start_s + k / RATE) for k in range(round(seconds * RATE))]
    return moves[-1]


def test_readings_have_the_signs_of_a_pose():
    pose = HeadPose(roll=0.1, yaw=0.2, pitch=-0.1)
    roll, yaw, pitch = read_head(face(pose, sits=REST)).angles
    assert (roll, yaw, pitch) == pytest.approx((0.1, 0.2, -0.1), abs=1e-3)


def test_nothing_is_said_before_the_user_is_known():
    head = UserHead()
    moves = [head.follow(face(), k / RATE) for k in range(20)]
    assert moves[: RATE + 1] == [None] * (RATE + 1)
    assert np.abs(moves[RATE + 1].pose).max() < 1e-3


@pytest.mark.parametrize("name", HeadPose._fields)
def test_each_movement_comes_back(name):
    head = settled(REST)
    hold(head, 18 / RATE, 8.0, sits=REST)
    moved = HeadPose()._replace(**{name: 0.1})
    found = hold(head, 9.5, 0.5, pose=moved, sits=REST).pose
    expected = moved._replace(yaw=moved.yaw / FOUND, pitch=moved.pitch / FOUND)
    assert np.abs(np.subtract(found, expected)).max() < 0.01


def test_a_nod_is_a_nod_for_a_camera_that_stands_aside():
    head = settled(sits=HeadPose(yaw=0.5))
    found = hold(head, 18 / RATE, 0.5, pose=HeadPose(pitch=0.15), sits=HeadPose(yaw=0.5)).pose
    assert found.pitch > 0.17
    assert abs(found.roll) < 0.02
    assert abs(found.yaw) < 0.02


def test_a_shifted_chair_is_forgotten_and_a_nod_is_not():
    head = settled()
    soon = hold(head, 18 / RATE, 0.7, at=(340, 220)).pose
    late = hold(head, 3.0, 60, at=(340, 220)).pose
    assert soon.right > 0.35
    assert abs(late.right) < 0.03
    nod = hold(head, 63, 0.5, pose=HeadPose(pitch=0.1), at=(340, 220)).pose
    assert nod.pitch > 0.9 * 0.1 / FOUND


def test_one_who_comes_back_is_followed_at_once_from_where_they_sit_now():
    head = settled()
    back = head.follow(face(at=(380, 260)), 10.0)
    assert np.abs(back.pose).max() < 1e-6
    nod = hold(head, 10.1, 0.4, pose=HeadPose(pitch=0.1), at=(380, 260)).pose
    assert abs(nod.right) < 0.05


def test_a_short_gap_is_no_leaving():
    head = settled()
    back = head.follow(face(HeadPose(right=0.2)), 17 / RATE + 0.6)
    assert back.pose.right > 0.1


def test_another_face_is_another_user():
    head = settled()
    before = head.follow(face(), 18 / RATE)
    other = head.follow(face(at=(520, 220)), 19 / RATE)
    assert other.appeared > before.appeared
    assert np.abs(other.pose).max() < 1e-6


def test_no_pose_is_out_of_reach():
    head = settled()
    poses = [head.follow(face(at=(300 + 10 * k, 220)), (18 + k) / RATE).pose for k in range(20)]
    assert 0.3 < max(pose.right for pose in poses) <= 0.4


def lids_over_time(head: UserHead, lids: list[float], start_s: float = 18 / RATE, **how) -> list[bool]:
    return [head.follow(face(lids=share, **how), start_s + k / RATE).eyes_closed for k, share in enumerate(lids)]


def test_one_reading_is_enough_for_a_blink():
    assert lids_over_time(settled(), [1, 1, 0.3, 1, 0.9]) == [False, False, True, False, False]


def test_closed_eyes_stay_closed_and_do_not_flutter():
    lids = [1.0] * 5 + [0.2, 0.3, 0.2, 0.68, 0.72, 0.68, 0.3, 0.9]
    assert lids_over_time(settled(), lids) == [False] * 5 + [True] * 7 + [False]


def test_narrow_eyes_are_the_user_s_own():
    head = UserHead()
    narrow = [head.follow(face(lids=0.5), k / RATE) for k in range(30)]
    assert not any(move.eyes_closed for move in narrow[17:])
    assert lids_over_time(head, [0.5, 0.1, 0.5], start_s=2.0) == [False, True, False]


def test_lowered_eyes_open_again_after_a_while():
    seen = lids_over_time(settled(), [0.55] * (10 * RATE))
    assert seen[0]
    assert not seen[-1]


def test_a_nod_is_no_blink():
    head = settled()
    nods = [head.follow(face(HeadPose(pitch=0.3 * np.sin(k / 3))), 18 / RATE + k / RATE) for k in range(40)]
    assert not any(move.eyes_closed for move in nods)
