"""Pictures that are finer than the generator's crop, on the shipped presenters: the mouth is as sharp as they are."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.compositor import FrameCompositor
from models.detail import Mouth
from models.head_motion import AT_REST, EYES_CLOSED, HeadPose
from models.identity import READ_HEIGHT
from models.mesh import LIPS, aperture
from models.upper_face import UpperFace
from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity
from tests.models.speech import spoken

TURNED = HeadPose(0.02, 0.01, 0.03, 0.06, -0.02)


@pytest.fixture(scope="module")
def engine():
    return Engine.load(load_config("tiny"))


@pytest.fixture(scope="module", params=["default", "sam"])
def stored(request):
    return load_identity(shipped_dir() / request.param)


@pytest.fixture(scope="module")
def compositor(engine, stored):
    return FrameCompositor(stored.identity, engine.folded(stored))


def wide(identity):
    return max(spoken(), key=lambda each: aperture(identity.neutral + each))


def box(identity, low, high):
    """A part of the frame between two points of canonical space."""
    (left, top), (right, bottom) = (
        identity.pose.project(np.array([*point, 0], np.float32))[:2].astype(int) for point in (low, high)
    )
    return np.s_[top:bottom, left:right]


def sharpness(picture):
    """How much a picture's finest octave holds, grey levels: the median, so that it is skin and not an edge."""
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return float(np.median(np.abs(luma - cv2.GaussianBlur(luma, (0, 0), 1.2))))


def test_the_shipped_ones_are_fine(stored):
    assert stored.identity.frame.shape == (1024, 1024, 3)
    assert stored.identity.matte.shape == (1024, 1024)


def test_all_but_the_mouth_is_the_still(compositor, stored):
    identity = stored.identity
    frame = compositor.frame(wide(identity))
    corners = cv2.invertAffineTransform(identity.transform) @ np.array([[0, 256], [0, 256], [1, 1]], np.float32)
    (left, right), (top, bottom) = corners.astype(int)
    changed = np.abs(frame.astype(int) - identity.frame).max(-1) > 0
    assert changed[top:bottom, left:right].any()
    changed[top:bottom, left:right] = False
    assert not changed.any()


@pytest.mark.parametrize("pose", [AT_REST, TURNED])
def test_the_mouth_is_as_sharp_as_the_picture(compositor, stored, pose):
    """Skin and lips around a mouth in speech, against the same head with the still's own; rendered alone it is not."""
    identity = stored.identity
    lower = box(identity, (-0.6, 0.85), (0.6, 1.9))
    mouth = compositor.mouth(wide(identity))
    closed = Mouth(np.zeros_like(mouth.layer))
    wanted, got, alone = (
        sharpness(compositor.compose(shown, pose, 0)[lower]) for shown in (closed, mouth, Mouth(mouth.layer))
    )
    print(f"{got / wanted:.2f}, without detail {alone / wanted:.2f}")
    assert 0.85 < got / wanted < 1.15
    assert alone / wanted < 0.8


def test_no_detail_of_closed_lips_inside_the_open_mouth(compositor, stored):
    detail = compositor.mouth(wide(stored.identity)).detail
    planes = compositor.planes(wide(stored.identity))
    window = compositor._backend.window
    inside = planes[window.top : window.bottom, window.left : window.right, 4] > 0
    assert inside.sum() > 50
    assert not detail.bare[inside, 3].any()
    assert np.abs(compositor.mouth(np.zeros_like(wide(stored.identity))).detail.shift).max() < 0.1


def test_shrunk_it_is_what_was_enrolled_before(engine, stored, tmp_path):
    """An identity of 512 pixels on disk, and the same picture at 1024 shown at 512: the same frames."""
    identity = stored.identity
    size = (READ_HEIGHT, READ_HEIGHT)
    frame = cv2.resize(identity.frame, size, interpolation=cv2.INTER_AREA)
    top, left = (edge // 2 for edge in identity.blinks.box)
    height, width = (edge // 2 for edge in identity.blinks.overlays.shape[1:3])
    lids = [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in identity.blinks.overlays]
    translation = (identity.pose.translation + [0.5, 0.5, 0]) / 2 - [0.5, 0.5, 0]
    before = replace(
        identity,
        frame=frame,
        matte=cv2.resize(identity.matte, size, interpolation=cv2.INTER_AREA),
        pose=replace(identity.pose, scale=identity.pose.scale / 2, translation=translation.astype(np.float32)),
        blinks=replace(identity.blinks, box=(top, left), overlays=np.stack(lids)),
    )
    save_identity(tmp_path / "before", before, stored.generator)
    old, new = (engine.renderer(each)._compositor for each in (load_identity(tmp_path / "before"), stored))
    up = UpperFace(np.zeros((10, 2), np.float32), np.array([0.03, 0.0], np.float32))
    for eyelids in (0, 2, EYES_CLOSED):
        frames = [each.compose(each.mouth(wide(identity)), TURNED, eyelids, 0, up) for each in (old, new)]
        assert frames[0].shape == (512, 512, 3)
        assert np.abs(frames[0].astype(int) - frames[1]).max() <= 1


def test_in_any_size_the_face_lies_where_it_lay(stored):
    identity = stored.identity
    for height in (512, 720, 900):
        smaller = identity.shrunk(height)
        assert smaller.frame.shape == (height, height, 3)
        edges = (identity.pose.project(identity.mesh[LIPS])[:, :2] + 0.5) * height / 1024
        assert np.abs(smaller.pose.project(smaller.mesh[LIPS])[:, :2] + 0.5 - edges).max() < 0.01
        (top, left), lids = smaller.blinks.box, smaller.blinks.overlays
        own = smaller.frame[top : top + lids.shape[1], left : left + lids.shape[2]]
        assert np.abs(lids[:, 0].astype(int) - own[0]).max() <= 4, "eyelids fade into the frame at their border"
        assert np.abs(lids[:, :, -1].astype(int) - own[:, -1]).max() <= 4
    assert identity.shrunk(2000) is identity
