"""Which part of a video becomes the living template."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from models.mesh import LIPS, LOWER_LIP, Floats, Pose, topology
from models.template import MAX_FRAMES
from presenter.config import load_config
from presenter.enroll.photo import close_lips
from presenter.enroll.stretch import best_frame, find_stretch
from presenter.runtime.networks import load_networks
from presenter.video.face_track import Face

_LOWER_INNER = [178, 87, 14, 317, 402]


@cache
def closed() -> Floats:
    return close_lips(topology().reference, load_networks(load_config("tiny").engine).syncformer.movements())


def face(*, opening: float = 0.0, smile: float = 0.0, yaw: float = 0.0, right: float = 0.0, lids: float = 1.0) -> Face:
    mesh = closed().copy()
    mesh[_LOWER_INNER, 1] += opening
    mesh[LIPS, 0] *= 1 + smile
    for upper, lower in ((159, 145), (386, 374)):
        mesh[upper] = mesh[lower] + lids * (mesh[upper] - mesh[lower])
    turn = np.radians(yaw)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]], np.float32)
    return Face(mesh, Pose(80.0, rotation, np.array([256 + 80 * right, 256, 0], np.float32)))


def talking(count: int) -> list[Face | None]:
    return [face(opening=0.16 + 0.08 * np.sin(number)) for number in range(count)]


def quiet(count: int, **how: float) -> list[Face | None]:
    return [face(**how) for _ in range(count)]


def test_the_quiet_part_between_talk() -> None:
    stretch = find_stretch([*talking(50), *quiet(80), *talking(50)])
    assert stretch is not None
    assert 50 <= stretch.begin <= stretch.best < stretch.end <= 130
    assert stretch.end - stretch.begin >= 55


def test_none_where_no_second_is_quiet() -> None:
    assert find_stretch([*talking(50), *quiet(20), *talking(50)]) is None
    faces = [*talking(50), *quiet(20), *talking(50)]
    assert 50 <= best_frame(faces) < 70


@pytest.mark.parametrize("how", [{"smile": 0.4}, {"yaw": 30.0}, {"opening": 0.1}])  # lips still, but not a template
def test_what_is_no_quiet_part(how: dict[str, float]) -> None:
    stretch = find_stretch([*quiet(60), *talking(20), *quiet(55, **how)])
    assert stretch is not None
    assert stretch.end <= 60


def test_a_cut_and_a_missing_face_divide_it() -> None:
    for between in ([], [None]):
        stretch = find_stretch([*quiet(40), *between, *quiet(70, right=0.5)])
        assert stretch is not None
        assert stretch.begin >= 40


def test_the_tracker_s_noise_does_not() -> None:
    stretch = find_stretch([*quiet(40), face(opening=0.06), *quiet(40)])
    assert stretch is not None
    assert stretch.begin < 40 < stretch.end


def test_it_turns_round_with_open_eyes_and_is_at_most_twelve_seconds() -> None:
    blink = [face(lids=0.1) for _ in range(6)]
    stretch = find_stretch([*blink, *quiet(100), *blink])
    assert stretch is not None
    assert stretch.begin >= 6
    assert stretch.end <= 106
    assert find_stretch(quiet(1000)).end - find_stretch(quiet(1000)).begin <= MAX_FRAMES  # type: ignore[union-attr]
    assert LOWER_LIP in _LOWER_INNER
