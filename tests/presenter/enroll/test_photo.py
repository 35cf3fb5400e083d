"""Enrolment: a usable photo becomes a presenter in seconds, anything else says what is wrong."""

import struct
import time
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from models.generator import Generator
from models.head_motion import HeadPose
from models.mesh import INNER_LIP_PAIRS, Pose, aperture, canonicalise, topology
from models.syncformer import StyleSyncFormer
from models.tracker import FaceTracker
from models.weights import generator_path, syncformer_path
from presenter.config import EngineConfig, load_config
from presenter.enroll.checks import check_pose
from presenter.enroll.enrolment import enroll_presenter
from presenter.enroll.photo import close_lips
from presenter.errors import EnrollError, IdentityNotFoundError
from presenter.runtime.engine import Engine, style_code
from presenter.runtime.framing import Framing
from presenter.runtime.identities import IdentityStore, shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk
from tests.models.speech import spoken


@pytest.fixture(scope="module")
def face():
    """The only face that every checkout has: the default presenter's, at 512 pixels."""
    frame = load_identity(shipped_dir() / "default").shrunk(512).identity.frame
    return cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)


@pytest.fixture
def store(tmp_path):
    return IdentityStore(tmp_path / "own")


def photo(tmp_path, picture: np.ndarray, name: str = "photo.jpg"):
    path = tmp_path / name
    cv2.imwrite(str(path), picture)
    return path


def test_a_photo_becomes_a_presenter(tmp_path, store, face):
    # Shift, enlarge and darken, so that it is not the shipped picture itself.
    larger = cv2.resize(face, None, fx=1.4, fy=1.4)
    changed = (cv2.copyMakeBorder(larger, 60, 0, 150, 30, cv2.BORDER_REPLICATE) * 0.9).astype(np.uint8)
    messages = []
    started = time.monotonic()
    enroll_presenter(
        store,
        EngineConfig(),
        photo(tmp_path, changed),
        "Someone",
        lambda fraction, message: messages.append((fraction, message)),
    )
    assert time.monotonic() - started < 30
    assert [fraction for fraction, _ in messages] == sorted(fraction for fraction, _ in messages)
    assert messages[-1][0] == 1.0
    assert store.names() == ["default", "sam", "Someone"]
    renderer = Engine.load(load_config("tiny")).renderer(store.load("Someone"))
    assert renderer.size == (512, 512)
    for k in range(4):
        pairs = renderer.push(
            AudioChunk(np.zeros(CHUNK_SAMPLES, np.float32), np.zeros(PLAYOUT_SAMPLES, np.int16), k * CHUNK_SAMPLES)
        )
    assert pairs[0][1].rgb.std() > 10


@pytest.fixture
def large():
    """The shipped presenter's own 1024 pixels, with a wall around."""
    whole = cv2.cvtColor(load_identity(shipped_dir() / "default").identity.frame, cv2.COLOR_RGB2BGR)
    wall = cv2.copyMakeBorder(whole, 300, 0, 700, 500, cv2.BORDER_REPLICATE)
    wall[::40, :600] = 40  # lines that stay straight
    return wall


def test_a_large_photo_keeps_its_pixels_and_all_of_itself(tmp_path, store, large):
    enroll_presenter(store, EngineConfig(), photo(tmp_path, large), "Someone")
    stored = store.load("Someone")
    identity = stored.identity
    assert identity.frame.shape == (1024, 1024, 3)
    assert identity.photo.picture.shape == (1080, 1812, 3), "1324 x 2224, at most 1080p"
    engine = Engine.load(load_config("tiny"))
    assert engine.renderer(stored).size == (512, 512)
    framing = Framing(size="photo")
    renderer = engine.renderer(stored, framing=framing)
    assert renderer.size == framing.frame_size(identity) == (1080, 1812)
    frame = renderer._compositor.frame(2 * max(spoken(), key=lambda each: aperture(each)), HeadPose(yaw=0.1))
    still = framing.shown(identity).frame
    changed = np.abs(frame.astype(int) - still).max(-1) > 0
    assert not changed[:, :500].any()
    assert changed.any()
    with FaceTracker(video=False, max_faces=1) as tracker:
        found = tracker.track(frame)[0]
    wanted = framing.shown(identity).pose.project(identity.mesh)
    eyes = [33, 133, 362, 263]
    assert np.linalg.norm(found[eyes, :2].mean(0) - wanted[eyes, :2].mean(0)) < 40
    assert aperture(canonicalise(found)[0]) > 0.03, "it speaks"


def test_bystanders_are_not_kept(tmp_path, store, large):
    large = large[200:, 300:1800].copy()
    large[600:990, 5:395] = cv2.resize(large[100:, 400:1424], (390, 390), interpolation=cv2.INTER_AREA)
    enroll_presenter(store, EngineConfig(), photo(tmp_path, large), "Someone")
    identity = store.load("Someone").identity
    assert identity.photo is None
    assert Framing(size="photo").frame_size(identity) == identity.frame.shape[:2]


def test_no_face(tmp_path, store):
    with pytest.raises(EnrollError, match="found no face"):
        enroll_presenter(store, EngineConfig(), photo(tmp_path, np.full((400, 400, 3), 128, np.uint8)), "x")
    assert store.names() == ["default", "sam"]


def test_several_faces(tmp_path, store, face):
    with pytest.raises(EnrollError, match="expected one face, found 2"):
        enroll_presenter(store, EngineConfig(), photo(tmp_path, np.hstack([face, face])), "x")


def test_face_too_small(tmp_path, store, face):
    small = cv2.resize(face, (140, 140), interpolation=cv2.INTER_AREA)
    with pytest.raises(EnrollError, match="too small: expected at least"):
        enroll_presenter(store, EngineConfig(), photo(tmp_path, small), "x")


@pytest.mark.parametrize(("angle", "axis", "message"), [(0.6, 1, "turned too far"), (0.7, 0, "up or down")])
def test_face_too_turned(angle, axis, message):
    vector = np.zeros(3)
    vector[axis] = angle
    rotation = cv2.Rodrigues(vector)[0].astype(np.float32)
    with pytest.raises(EnrollError, match=message):
        check_pose(Pose(90.0, rotation, np.zeros(3, np.float32)), pytest.fail)
    check_pose(Pose(90.0, np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), pytest.fail)


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_not_a_photo(tmp_path, store, content):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EnrollError, match=r"photo\.jpg: expected a photo"):
        enroll_presenter(store, EngineConfig(), path, "x")


@pytest.mark.parametrize(("side", "message"), [(9000, "at most 50 megapixels, found 81"), (60000, "found 3600")])
def test_small_file_that_claims_to_be_huge_is_not_decoded(tmp_path, store, side, message):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(EnrollError, match=message):
        enroll_presenter(store, EngineConfig(), path, "x")


def test_style_code_follows_the_generator(store):
    """A W of another generator is not used: it is computed anew from the picture."""
    identity = store.load("default").identity
    generator = Generator.load(generator_path())
    foreign = replace(identity, style_code=torch.zeros_like(identity.style_code), style_of="another")
    own = replace(foreign, style_of=generator.fingerprint)
    assert style_code(own, generator).abs().max() == 0
    assert style_code(foreign, generator).abs().max() > 0


def test_unknown_presenter_lists_the_known(store):
    with pytest.raises(IdentityNotFoundError, match="there are: default"):
        store.load("nobody")


def test_identity_round_trip(tmp_path, store):
    identity = store.load("default").identity
    save_identity(tmp_path / "copy", identity)
    again = load_identity(tmp_path / "copy").identity
    np.testing.assert_array_equal(again.frame, identity.frame)
    np.testing.assert_array_equal(again.mesh, identity.mesh)
    np.testing.assert_array_equal(again.transform, identity.transform)
    np.testing.assert_array_equal(again.blinks.overlays, identity.blinks.overlays)
    assert again.blinks.box == identity.blinks.box


def test_open_mouth_gets_a_closed_neutral():
    basis = StyleSyncFormer.load(syncformer_path()).movements()
    closed = topology().reference.copy()
    upper, lower = np.array(INNER_LIP_PAIRS).T
    closed[lower] = closed[upper]
    # A mouth opened the way mouths open: along the basis.
    opening = max((basis[k] * s for k in range(4) for s in (3, -3)), key=lambda d: float(aperture(closed + d)))
    smiling = canonicalise(100 * (closed + opening).astype(np.float32))[0]
    assert aperture(smiling) > 0.1
    assert aperture(close_lips(smiling, basis)) < 0.5 * aperture(smiling)
    np.testing.assert_array_equal(close_lips(closed, basis), closed)
