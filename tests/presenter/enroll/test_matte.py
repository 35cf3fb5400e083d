"""A presenter without the background: the matte, the colours at its edge, and both while the head moves."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.head_motion import sway
from models.matting import Cutout, MattingError, draw_matte
from models.mesh import FACE_OVAL
from presenter.config import EngineConfig, load_config
from presenter.enroll.enrolment import enroll_presenter
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore, shipped_dir
from presenter.runtime.identity_folder import StoredIdentity, load_identity, save_identity
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk

WHITE = 255.0


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return IdentityStore(tmp_path_factory.mktemp("own")).load("default").shrunk(512)


@pytest.fixture(scope="module")
def engine():
    return Engine.load(load_config("tiny"))


@pytest.fixture
def renderer(engine, stored):
    renderer = engine.renderer(stored)
    yield renderer
    renderer.close()


def chunk(number: int) -> AudioChunk:
    pcm = np.zeros(CHUNK_SAMPLES, np.float32)
    return AudioChunk(pcm, np.zeros(PLAYOUT_SAMPLES, np.int16), number * CHUNK_SAMPLES)


def over(rgb: np.ndarray, alpha: np.ndarray, background: float | np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return rgb * share + background * (1 - share)


def face_of(identity) -> np.ndarray:
    """The pixels of the face `[H, W]`."""
    oval = identity.pose.project(identity.mesh)[FACE_OVAL, :2]
    return cv2.fillConvexPoly(np.zeros(identity.frame.shape[:2], np.uint8), np.rint(oval).astype(int), 1) == 1


def check_matte(matte: np.ndarray, identity) -> None:
    height, width = identity.frame.shape[:2]
    assert matte.shape == (height, width)
    assert matte.dtype == np.uint8
    assert (matte[cv2.erode(face_of(identity).astype(np.uint8), np.ones((9, 9))) == 1] == 255).all()
    assert matte[:8, :8].max() == 0
    assert matte[:8, -8:].max() == 0
    assert 0.003 < ((matte > 0) & (matte < 255)).mean() < 0.08  # soft, but only at the edge
    assert cv2.connectedComponents((matte > 0).astype(np.uint8), connectivity=8)[0] == 2  # nothing floats
    outline, _ = cv2.findContours((matte > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(matte), outline, -1, 1, cv2.FILLED)
    assert (matte[cv2.erode(filled, np.ones((27, 27))) == 1] == 255).all()  # no holes


def test_matte_of_the_default_presenter(stored):
    matte = stored.identity.matte
    check_matte(matte, stored.identity)
    assert (matte[-20:, 80:-80] == 255).all()  # shoulders
    drawn = draw_matte(stored.identity.frame)  # from the picture alone, beside the one that was rendered
    assert np.abs(drawn.astype(int) - matte).mean() < 1.5


def test_soft_pixels_show_the_person_and_not_what_was_behind():
    """A dark disc with a soft edge, cut from a bright background with its true matte."""
    y, x = np.mgrid[:256, :256]
    alpha = np.clip((80 - np.hypot(y - 128, x - 128)) / 8 + 0.5, 0, 1)
    matte = np.rint(alpha * 255).astype(np.uint8)
    person, background = np.array([60.0, 30.0, 20.0]), np.array([180.0, 220.0, 200.0])
    rgb = np.rint(over(np.broadcast_to(person, (256, 256, 3)), matte, background)).astype(np.uint8)
    cutout = Cutout.of(rgb, matte)
    assert np.abs(cutout.colours - person).max() < 6
    assert np.abs(over(cutout.colours, matte, background) - rgb).max() < 6  # and it still explains the picture


def test_cut_out_frames_are_the_plain_ones_inside(renderer, stored):
    still = np.zeros_like(stored.identity.neutral)
    compositor = renderer._compositor
    for pose in map(sway, (0, 400)):
        plain, cutout = compositor.frame_and_cutout(still, pose, eyelids=2)
        np.testing.assert_array_equal(plain, compositor.frame(still, pose, eyelids=2))
        rgb, alpha = cutout[..., :3], cutout[..., 3]
        inside = cv2.erode((alpha == 255).astype(np.uint8), np.ones((5, 5))) == 1
        assert inside.mean() > 0.3
        np.testing.assert_array_equal(rgb[inside], plain[inside])
        # Before the background it was cut from, it looks as before.
        assert np.abs(over(rgb, alpha, plain) - plain).max(-1).mean() < 0.5


def test_matte_follows_the_head(renderer, stored):
    compositor, frame = renderer._compositor, stored.identity.frame
    extreme = max(map(sway, range(1000)), key=lambda pose: pose.right + 3 * pose.roll)
    still = np.zeros_like(stored.identity.neutral)
    _, cutout = compositor.frame_and_cutout(still, extreme)
    rgb, alpha = cutout[..., :3], cutout[..., 3]
    matte = stored.identity.matte
    top = face_of(stored.identity).nonzero()[0].min()
    shift = alpha[top].nonzero()[0].mean() - matte[top].nonzero()[0].mean()
    assert shift > 2
    np.testing.assert_array_equal(alpha[-4:], matte[-4:])  # shoulders stay
    # Composing and moving commute: what is moved is one picture.
    cutout = compositor.scene.cut_out().with_eyes(0)
    composed = over(cutout[..., :3], cutout[..., 3], WHITE)
    moved = compositor.scene.warp.apply(np.rint(composed).astype(np.uint8), extreme)
    face = face_of(stored.identity)
    rgb[face], alpha[face], moved[face] = WHITE, 255, WHITE  # where it is rendered
    difference = np.abs(over(rgb, alpha, WHITE) - moved)
    assert np.percentile(difference, 99.9) < 6
    assert not np.array_equal(frame, rgb)


def test_matte_is_switched_at_the_next_frame(renderer):
    frames = []
    for number in range(8):
        renderer.add_matte() if 4 <= number < 6 else renderer.remove_matte()
        frames += [frame for _, frame in renderer.push(chunk(number))]
    assert [frame.cutout is not None for frame in frames] == [False, False, True, True, False, False]


def test_presenter_of_an_older_version_gets_its_matte_when_wanted(tmp_path, engine, stored):
    save_identity(tmp_path / "old", replace(stored.identity, matte=None))
    assert not (tmp_path / "old" / "matte.png").exists()
    old = load_identity(tmp_path / "old").identity
    assert old.matte is None
    renderer = engine.renderer(StoredIdentity(old, shipped_dir() / "default" / "generator.safetensors"))
    renderer.add_matte()
    alphas = [frame.cutout[..., 3] for number in range(3) for _, frame in renderer.push(chunk(number))]
    renderer.close()
    still = np.abs(alphas[0].astype(int) - stored.identity.matte).mean()
    assert still < 8  # moved by the sway, and otherwise the same


def test_where_no_matte_can_be_drawn_an_old_presenter_says_so_and_goes_on(engine, stored):
    nobody = replace(stored.identity, matte=None, frame=np.zeros_like(stored.identity.frame))
    renderer = engine.renderer(replace(stored, identity=nobody))
    with pytest.raises(MattingError, match="expected a person before a background"):
        renderer.add_matte()
    assert not renderer.matte
    frames = [frame for number in range(3) for _, frame in renderer.push(chunk(number))]
    renderer.close()
    assert [frame.cutout for frame in frames] == [None]


@pytest.mark.parametrize("level", [0, 128])
def test_picture_without_a_person(level):
    with pytest.raises(MattingError, match="expected a person before a background"):
        draw_matte(np.full((512, 512, 3), level, np.uint8))


def test_matte_round_trip(tmp_path, stored):
    save_identity(tmp_path / "copy", stored.identity)
    np.testing.assert_array_equal(load_identity(tmp_path / "copy").identity.matte, stored.identity.matte)


def test_enrolment_draws_a_matte(tmp_path, stored):
    larger = cv2.resize(cv2.cvtColor(stored.identity.frame, cv2.COLOR_RGB2BGR), None, fx=1.4, fy=1.4)
    changed = (cv2.copyMakeBorder(larger, 60, 0, 150, 30, cv2.BORDER_REPLICATE) * 0.9).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.jpg"), changed)
    store = IdentityStore(tmp_path / "own")
    enroll_presenter(store, EngineConfig(), tmp_path / "photo.jpg", "Someone")
    enrolled = store.load("Someone").identity
    check_matte(enrolled.matte, enrolled)
