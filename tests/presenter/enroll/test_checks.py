"""What enrolment does with photos that are turned, dark, blurred, cropped, covered, crowded or huge."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.mesh import Floats, Pose, canonicalise
from presenter.config import EngineConfig
from presenter.enroll.checks import check_pose
from presenter.enroll.enrolment import enroll_presenter
from presenter.enroll.faces import find_faces
from presenter.enroll.photo import upright_face
from presenter.errors import EnrollError
from presenter.runtime.identities import IdentityStore

Picture = NDArray[np.uint8]
LOWER_FACE = [234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 5]


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """The shipped presenter `[512, 512, 3]`: 99 pixels between the eyes, the mesh from 128 down to 390."""
    return IdentityStore(tmp_path_factory.mktemp("own")).load("default").identity.shrunk(512).frame


@pytest.fixture(scope="module")
def landmarks(face: Picture) -> Floats:
    return find_faces(face).faces[0].landmarks


def warnings_of(rgb: Picture, wanted: int | None = None) -> str:
    """What is doubted about a photo that is accepted."""
    warnings: list[str] = []
    upright_face(np.ascontiguousarray(rgb), None, wanted, warnings.append)
    return "; ".join(warnings)


def refusal_of(rgb: Picture, wanted: int | None = None) -> str:
    with pytest.raises(EnrollError) as refused:
        warnings_of(rgb, wanted)
    return str(refused.value)


def shrunk(face: Picture, side: int) -> Picture:
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def on_canvas(part: Picture, width: int = 4000, height: int = 3000, left: int = 2900, top: int = 700) -> Picture:
    canvas = np.full((height, width, 3), 128, np.uint8)
    canvas[top : top + len(part), left : left + part.shape[1]] = part
    return canvas


def test_a_good_photo_is_accepted_without_a_word(face: Picture) -> None:
    assert warnings_of(face) == ""


@pytest.mark.parametrize(
    ("turns", "said"), [(1, "quarter turn counter-clockwise"), (2, "upside down"), (3, "quarter turn clockwise")]
)
def test_a_turned_photo_is_turned_upright(face: Picture, landmarks: Floats, turns: int, said: str) -> None:
    warnings: list[str] = []
    turned, opacity = np.rot90(face, turns), np.rot90(face[..., 0], turns)
    upright, matte, found, _ = upright_face(np.ascontiguousarray(turned), opacity, None, warnings.append)
    assert len(warnings) == 1
    assert said in warnings[0]
    np.testing.assert_array_equal(upright, face)
    np.testing.assert_array_equal(matte, face[..., 0])
    assert np.linalg.norm((found - landmarks)[:, :2], axis=1).mean() < 3


def test_a_turned_grey_photo_is_turned_upright(face: Picture) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    assert "upside down" in warnings_of(grey[::-1, ::-1])


@pytest.mark.parametrize(
    ("gain", "text"),
    [(0.0, r"photo is nearly black: .* found 0;"), (0.03, r"nearly black: .* found 4;"), (0.1, r"nearly black")],
)
def test_nearly_black(face: Picture, gain: float, text: str) -> None:
    assert re.search(text + r".*more light|" + text, refusal_of((face * gain).astype(np.uint8)))


def test_nearly_white(face: Picture) -> None:
    bright = np.clip(face.astype(np.int32) * 2 + 60, 0, 255).astype(np.uint8)
    assert re.search("nearly white: .* at most 235 of 255, found 2.*less light", refusal_of(bright))
    assert "photo is nearly white" in refusal_of(np.full((300, 300, 3), 255, np.uint8))


def test_a_dim_photo_is_a_doubt(face: Picture) -> None:
    assert "dark (mean brightness 29 of 255)" in warnings_of((face * 0.2).astype(np.uint8))


def test_blur_is_a_doubt_and_too_much_of_it_refused(face: Picture) -> None:
    assert "not sharp" in warnings_of(cv2.GaussianBlur(face, (0, 0), 8))
    assert re.search("blurred: .* in focus", refusal_of(cv2.GaussianBlur(face, (0, 0), 12)))
    assert "in focus" in refusal_of(cv2.GaussianBlur(face, (0, 0), 24))


def test_grain_is_no_blur_and_no_mask(face: Picture) -> None:
    grain = np.random.default_rng(0).normal(0, 25, face.shape)
    assert warnings_of(np.clip(face + grain, 0, 255).astype(np.uint8)) == ""


@pytest.mark.parametrize(("height", "refused"), [(320, True), (340, True), (370, False)])
def test_chin_at_the_edge(face: Picture, height: int, refused: bool) -> None:
    if refused:
        assert re.search("chin is cut off .*whole head", refusal_of(face[:height]))
    else:
        assert "chin touches" in warnings_of(face[:height])


@pytest.mark.parametrize(("top", "refused"), [(190, True), (170, True), (150, False)])
def test_forehead_at_the_edge(face: Picture, top: int, refused: bool) -> None:
    if refused:
        assert re.search("forehead is cut off .*whole head", refusal_of(face[top:]))
    else:
        assert "forehead touches" in warnings_of(face[top:])


def test_a_cheek_at_the_edge(face: Picture) -> None:
    assert "left side of the face is cut off" in refusal_of(face[:, 190:])


@pytest.mark.parametrize("colour", [(150, 190, 215), (205, 160, 135), (25, 25, 28)])
def test_a_mask_is_refused(face: Picture, landmarks: Floats, colour: tuple[int, int, int]) -> None:
    masked = face.copy()
    cv2.fillPoly(masked, [np.rint(landmarks[LOWER_FACE, :2]).astype(np.int32)], colour)
    assert re.search("cover the mouth: .* times less certain .*without a mask", refusal_of(masked))


def test_a_microphone_or_a_hand_before_the_mouth_is_noticed(face: Picture, landmarks: Floats) -> None:
    unit = canonicalise(landmarks)[1].scale
    x, y = (int(value) for value in landmarks[13, :2])
    microphone, hand, beside = face.copy(), face.copy(), face.copy()
    cv2.circle(microphone, (x, int(y + 0.1 * unit)), int(0.42 * unit), (30, 30, 32), -1)
    cv2.circle(beside, (int(x + 0.5 * unit), int(y + 0.5 * unit)), int(0.35 * unit), (30, 30, 32), -1)
    for k in range(4):
        centre, axes = (int(x - 0.1 * unit), int(y + (0.28 * k - 0.3) * unit)), (int(0.8 * unit), int(0.15 * unit))
        cv2.ellipse(hand, centre, axes, 8, 0, 360, (190 - 8 * k, 140 - 8 * k, 115 - 8 * k), -1)
    # How far the landmarks are off decides between a doubt and a refusal, and a pixel decides that.
    for covered in (microphone, hand):
        try:
            assert "hard to make out" in warnings_of(covered)
        except EnrollError as refused:
            assert "cover the mouth" in str(refused)  # noqa: PT017
    assert warnings_of(beside) == ""


def test_several_faces_are_listed_and_one_is_chosen(face: Picture, landmarks: Floats) -> None:
    crowd = np.hstack([face, face])
    text = refusal_of(crowd)
    assert re.search(r"found 2 \(from left to right: 1: \d+ pixels between the eyes, 2: \d+ pixels", text)
    assert "--face N" in text
    _, _, second, alone = upright_face(crowd, None, 2, pytest.fail)
    assert second[:, 0].mean() == pytest.approx(landmarks[:, 0].mean() + 512, abs=5)
    assert not alone
    assert "expected a face from 1 to 2, got 3" in refusal_of(crowd, 3)
    assert "expected a face from 1 to 1, got 0" in refusal_of(face, 0)


def test_faces_are_counted_in_the_upright_photo(face: Picture) -> None:
    crowd = np.hstack([face, (face * 0.5).astype(np.uint8)])
    upright, _, second, _ = upright_face(np.ascontiguousarray(np.rot90(crowd, 2)), None, 2, lambda doubt: None)
    np.testing.assert_array_equal(upright, crowd)
    assert second[:, 0].mean() > 512


def test_somebody_far_behind_is_a_doubt(face: Picture) -> None:
    picture = face.copy()
    picture[:150, :150] = shrunk(face, 150)
    assert "took the largest of 2 faces" in warnings_of(picture)


@pytest.mark.parametrize("side", [200, 450])
def test_a_small_face_in_a_large_picture(face: Picture, landmarks: Floats, side: int) -> None:
    _, _, found, alone = upright_face(on_canvas(shrunk(face, side)), None, None, pytest.fail)
    wanted = landmarks[:, :2] * (side / 512) + (2900, 700)
    assert np.linalg.norm(found[:, :2] - wanted, axis=1).mean() < 0.08 * 99 * side / 512
    assert alone


def test_what_is_too_small_even_so_says_how_small(face: Picture) -> None:
    small = on_canvas(shrunk(face, 150), 700, 600, 300, 200)
    assert re.search(r"too small: expected at least 32 pixels .* found 2\d; use a photo taken", refusal_of(small))


def test_noise_is_no_face() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    assert "found no face" in refusal_of(noise)


def test_a_head_turned_a_bit_is_a_doubt_that_says_by_how_much() -> None:
    warnings: list[str] = []
    turned = cv2.Rodrigues(np.array([0.0, np.radians(18), 0.0]))[0].astype(np.float32)
    check_pose(Pose(90.0, turned, np.zeros(3, np.float32)), warnings.append)
    assert len(warnings) == 1
    assert "18 degrees" in warnings[0]


def test_a_turned_crowd_becomes_a_presenter_that_looks_right(tmp_path: Path, face: Picture) -> None:
    crowd = np.rot90(np.hstack([(face * 0.6).astype(np.uint8), face]), 1)
    cv2.imwrite(str(tmp_path / "x.png"), crowd[..., ::-1])
    warnings: list[str] = []
    store = IdentityStore(tmp_path / "own")
    identity = enroll_presenter(store, EngineConfig(), tmp_path / "x.png", "Ada", face=2, warn=warnings.append).identity
    assert len(warnings) == 1
    assert np.abs(identity.frame.astype(int) - face).mean() < 6
    assert abs(identity.pose.yaw_degrees) < 5
