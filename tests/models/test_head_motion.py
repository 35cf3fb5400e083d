"""The idle head, and going from one movement to another without a jump."""

import numpy as np
import pytest

from models.head_motion import AT_REST, BLINK_CURVE, EYES_CLOSED, FPS, Handover, HeadPose, IdleMotion, glance, rotation

AWAY = HeadPose(0.2, -0.1, 0.1, 0.3, -0.2)


def test_idle_motion_is_small_slow_and_the_same_each_time():
    poses = np.array([IdleMotion().at(frame)[0] for frame in range(5000)])
    np.testing.assert_array_equal(poses[1234], IdleMotion().at(1234)[0])
    assert np.abs(poses[:, :2]).max() < 0.04
    assert np.degrees(np.abs(poses[:, 2:]).max(0)) == pytest.approx([0.7, 1.4, 1.1], abs=0.1)
    assert np.abs(np.diff(poses, axis=0)).max() < 0.002


def test_idle_eyes_blink_whole_blinks_every_few_seconds():
    levels = [IdleMotion().at(frame)[1] for frame in range(20000)]
    starts = np.array([k for k in range(1, 20000) if levels[k] and not levels[k - 1]])
    assert all(tuple(levels[k : k + len(BLINK_CURVE)]) == BLINK_CURVE for k in starts)
    gaps = np.diff(starts)
    pairs = gaps < FPS
    assert 0.1 < pairs.mean() < 0.25  # some blinks are double
    assert starts.size - pairs.sum() == 200
    early, late = np.percentile(gaps[~pairs], [20, 80])
    assert late - early > FPS  # not like a clock
    assert starts[0] > FPS  # a film does not begin with a blink


def test_lids_fall_faster_than_they_rise():
    closed = [k for k, level in enumerate(BLINK_CURVE) if level == EYES_CLOSED]
    down, up = (closed[0] + 1) * 1000 / FPS, (len(BLINK_CURVE) - closed[-1]) * 1000 / FPS
    assert 100 <= down <= 150
    assert 200 <= up <= 250


def test_rotation_turns_as_a_pose_says():
    nose = np.array([0, 0, -1.0])
    assert (rotation(HeadPose(yaw=0.1)) @ nose)[0] > 0.09  # to the right
    assert (rotation(HeadPose(pitch=0.1)) @ nose)[1] > 0.09  # down
    assert (rotation(HeadPose(roll=0.1)) @ [1, 0, 0])[1] > 0.09  # clockwise
    whole = rotation(AWAY)
    np.testing.assert_allclose(whole @ whole.T, np.eye(3), atol=1e-6)


def follow(handover: Handover, frames: range, pose: HeadPose) -> np.ndarray:
    return np.array([handover.apply(frame, pose) for frame in frames])


def test_handover_starts_where_the_head_is_seen_and_arrives():
    handover = Handover()
    follow(handover, range(10), AT_REST)
    handover.begin(10, AWAY, 25)
    way = np.vstack([AT_REST, follow(handover, range(10, 40), AWAY)])
    np.testing.assert_allclose(way[1], AT_REST, atol=1e-9)
    np.testing.assert_allclose(way[26:], [AWAY] * 5, atol=1e-9)
    assert np.abs(np.diff(way, axis=0)).max() <= 1.5 / 25 * np.abs(AWAY).max() + 1e-9
    assert np.all(np.diff(way[:, 3]) >= -1e-12)  # and does not turn round on the way


def test_handover_in_the_middle_of_one():
    handover = Handover()
    follow(handover, range(10), AT_REST)
    handover.begin(10, AWAY, 25)
    first = follow(handover, range(10, 20), AWAY)
    handover.begin(20, AT_REST, 25)
    second = follow(handover, range(20, 50), AT_REST)
    np.testing.assert_allclose(second[0], first[-1], atol=1e-9)
    np.testing.assert_allclose(second[-1], AT_REST, atol=1e-9)


def test_an_interrupt_goes_on_from_the_pose_that_was_seen():
    """Frames up to 29 were made, 15 is on the screen; the movement to which the head was on its way began at 20."""
    handover = Handover()
    seen = follow(handover, range(20), AT_REST)[15]
    handover.begin(20, AWAY, 25)
    follow(handover, range(20, 30), AWAY)
    way = np.vstack([seen, follow(handover, range(16, 50), AWAY)])
    assert np.abs(np.diff(way, axis=0)).max() <= 1.5 / 12 * np.abs(AWAY).max() + 1e-9
    np.testing.assert_allclose(way[-1], AWAY, atol=1e-9)


def test_an_interrupt_of_a_slow_movement_changes_nothing():
    handover, idle = Handover(), IdleMotion()
    for frame in [*range(60), *range(41, 80)]:
        pose, _ = idle.at(frame)
        assert handover.apply(frame, pose) == pose


def test_eyes_rest_on_the_viewer_and_glance_away_for_a_moment():
    looks = np.array([glance(frame) for frame in range(20000)])
    away = looks.any(1)
    assert 0.03 < away.mean() < 0.25
    assert np.abs(looks).max() < 0.04
    edges = np.flatnonzero(np.diff(away.astype(int), prepend=0, append=0))
    lengths = np.diff(edges)[::2] / FPS
    assert lengths.min() >= 0.3
    assert lengths.max() < 1.5
    assert (looks[away, 0] > 0).any()
    assert (looks[away, 0] < 0).any()
    jumps = np.abs(np.diff(looks, axis=0)).any(1).sum()
    assert jumps <= len(edges)  # a look stays where it jumped to
