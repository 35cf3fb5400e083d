"""A driver's face moves a presenter's, and a video's: the same lips at the same time, the presenter's own shape."""

from __future__ import annotations

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.compositor import FrameCompositor
from models.head_motion import AT_REST, EYES_CLOSED, HeadPose
from models.mesh import aperture
from models.tracker import FaceTracker
from models.upper_face import UpperFace
from presenter import api
from presenter.cli import main
from presenter.config import load_config
from presenter.errors import PresenterError
from presenter.recipe import face_identity
from presenter.recipe.tracked_clip import track
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.tts.voice import Voice
from presenter.video.driving import HELD_S, track_driver
from stream.files.movie import MovieWriter, SoundFormat
from stream.files.reader import iter_frames, iter_video, read_audio

RATE = 30
GAP = range(60, 84)  # frames without a face: longer than the last shape is held and relaxes


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s at 30 fps of a talking person who tilts the head, and is hidden for a while; with a tone."""
    folder = tmp_path_factory.mktemp("driver")
    voice = Voice.load()
    steady = replace(voice, scales=(0.0, voice.scales[1], 0.0))  # with noise every run would have another driver
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Voice, "load", lambda: steady)
        api.say(
            "Papa and mama bought a big blue boat today, at last, oh my. What a wide river it was.",
            folder / "talk.mp4",
            config="tiny",
        )
    talk = list(iter_video(folder / "talk.mp4", fps=RATE))[: 4 * RATE]
    path = folder / "driver.mp4"
    with MovieWriter(path, (512, 512), RATE, SoundFormat(16_000, 1), preset="ultrafast") as writer:
        writer.write_sound(np.sin(np.arange(4 * 16_000) * 0.05, dtype=np.float32)[None] * 0.1)
        for k, rgb in enumerate(talk):
            turn = cv2.getRotationMatrix2D((256, 300), -8 * np.sin(2 * np.pi * k / RATE / 2), 1)
            turned = cv2.warpAffine(rgb, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
            writer.write(np.full_like(turned, 90) if k in GAP else turned)
    return path


def quiet(share: float, what: str) -> None:
    """Draw no bar."""


def test_a_driver_moves_a_presenter(driver: Path, tmp_path: Path) -> None:
    out = tmp_path / "driven.mp4"
    done = api.render(None, out, driving=driver, driving_parts="lips,brows,eyes,head", config="tiny", progress=quiet)
    assert done.frames == len(list(iter_frames(out))) == 100
    assert read_audio(out).duration_s == pytest.approx(4.0, abs=0.05)
    motion = track_driver(driver, quiet)
    neutral = IdentityStore(tmp_path).load("default").identity.neutral
    wanted = np.array([aperture(neutral + motion.at(Fraction(k, 25))) for k in range(100)])
    clip = track(out)
    found = np.array([aperture(mesh) for mesh in clip.meshes])
    assert np.corrcoef(wanted, found)[0, 1] >= 0.95
    tilts = np.array([motion.head_at(k)[0].roll for k in range(48)])
    shown = np.array([np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0]) for pose in clip.poses[:48]])
    assert np.ptp(tilts) > 0.2
    assert np.corrcoef(tilts, shown)[0, 1] >= 0.95, "to the same side at the same time"


def test_without_a_face_the_mouth_rests_and_the_head_returns(driver: Path) -> None:
    motion = track_driver(driver, quiet)
    middle = Fraction(GAP.start + len(GAP) // 2, RATE)
    assert len(GAP) / RATE / 2 > 2 * HELD_S - 0.01
    assert not motion.at(middle).any()
    assert np.abs(np.array(motion.head_at(int(middle * 25))[0])).max() == 0
    steps = [motion.at(Fraction(k, 100)) for k in range(int(motion.duration * 100))]
    assert max(float(np.abs(b - a).max()) for a, b in zip(steps, steps[1:], strict=False)) < 0.08, "nothing jumps"
    levels = [motion.head_at(k)[1] for k in range(100)]
    assert set(levels) <= set(range(EYES_CLOSED + 1))


def test_a_driver_moves_the_mouth_of_a_video(driver: Path, tmp_path: Path) -> None:
    still = IdentityStore(tmp_path).load("default").identity.shrunk(512).frame
    video, sound, out = tmp_path / "still.mp4", tmp_path / "a.wav", tmp_path / "out.mp4"
    with MovieWriter(video, (512, 512), 24, preset="ultrafast") as writer:
        for _ in range(90):
            writer.write(still)
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(120_000))
    arguments = ["--driving", str(driver), "--video", str(video), "--audio", str(sound), "--out", str(out)]
    assert main(["--config", "tiny", "render", *arguments]) == 0
    assert len(list(iter_frames(out))) == 90
    motion = track_driver(driver, quiet)
    neutral = IdentityStore(tmp_path).load("default").identity.neutral
    clip = track(out)
    wanted = [aperture(neutral + motion.at(Fraction(k, 25))) for k in range(len(clip.meshes))]
    # A still shows no open mouth, so that the inside is the network's and narrow gaps stay closed.
    found = [aperture(mesh) for mesh in clip.meshes]
    assert np.corrcoef(wanted, found)[0, 1] >= 0.75


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 s of a silent face whose brows, gaze, lids and head move in known ways."""
    folder = tmp_path_factory.mktemp("actor")
    engine = Engine.load(load_config("tiny"))
    stored = IdentityStore(folder).load("default").shrunk(512)
    compositor = FrameCompositor(stored.identity, engine.folded(stored))
    mouth = compositor.mouth(np.zeros((478, 3), np.float32))
    with MovieWriter(folder / "actor.mp4", (512, 512), 25, preset="ultrafast") as writer:
        for k in range(125):
            pose = HeadPose(yaw=0.12 * np.sin(k / 15), roll=0.06 * np.sin(k / 11)) if k > 25 else AT_REST
            upper = UpperFace(
                np.tile(np.array([0, -0.05 + 0.05 * np.cos(k / 8)], np.float32), (10, 1)),
                np.array([0.05 * np.sin(k / 9), 0]),
            )
            lids = EYES_CLOSED if k % 50 in range(30, 34) else 0
            writer.write(compositor.compose(mouth, pose, lids, 0, upper))
    return folder / "actor.mp4"


def test_brows_eyes_and_head_follow_the_driver(actor: Path, tmp_path: Path) -> None:
    out = tmp_path / "driven.mp4"
    api.render(None, out, driving=actor, driving_parts="lips,brows,eyes,head", config="tiny", progress=quiet)
    wanted, found = track_driver(actor, quiet), track_driver(out, quiet)
    both = frozenset({"brows", "eyes"})
    faces = [[motion.upper_at(k, both) for k in range(120)] for motion in (wanted, found)]
    for measure in (lambda face: face.brows[2:8, 1].mean(), lambda face: face.gaze[0]):
        one, other = (np.array([measure(face) for face in track]) for track in faces)
        assert np.corrcoef(one, other)[0, 1] >= 0.85
        assert np.ptp(other) == pytest.approx(np.ptp(one), rel=0.4)
    for axis in ("yaw", "roll"):
        one, other = (np.array([getattr(m.head_at(k)[0], axis) for k in range(120)]) for m in (wanted, found))
        assert np.corrcoef(one, other)[0, 1] >= 0.95
    for blink in (30, 80):
        levels = [[motion.head_at(k)[1] for k in range(blink, blink + 8)] for motion in (wanted, found)]
        assert [max(track) for track in levels] == [EYES_CLOSED, EYES_CLOSED]
    if face_identity.is_available():
        embedding = face_identity.FaceIdentity()
        identity = IdentityStore(tmp_path).load("default").identity
        own = embedding.embed(identity.frame, identity.pose.project(identity.mesh))
        with FaceTracker(video=True, max_faces=1) as tracker:
            like = [embedding.embed(rgb, tracker.track(rgb)[0]) @ own for rgb in iter_video(out)]
        assert min(like) >= 0.95


def test_the_parts_that_are_not_named_stay_idle(actor: Path, tmp_path: Path) -> None:
    idle = tmp_path / "idle.mp4"
    api.render(None, idle, driving=actor, config="tiny", progress=quiet)
    motion, found = track_driver(actor, quiet), track_driver(idle, quiet)
    yaw = [np.array([each.head_at(k)[0].yaw for k in range(120)]) for each in (motion, found)]
    assert np.ptp(yaw[0]) > 4 * np.ptp(yaw[1])
    gaze = [np.array([each.upper_at(k, frozenset({"eyes"})).gaze[0] for k in range(120)]) for each in (motion, found)]
    assert np.ptp(gaze[0]) > 3 * np.ptp(gaze[1])


def test_a_driver_of_the_head_leaves_the_mouth_to_the_recording(actor: Path, tmp_path: Path) -> None:
    sound, out = tmp_path / "talk.wav", tmp_path / "out.mp4"
    api.say("Papa and mama bought a blue boat.", sound, config="tiny")
    done = api.render(sound, out, driving=actor, driving_parts="head,eyes", config="tiny", progress=quiet)
    assert done.frames == pytest.approx(read_audio(sound).duration_s * 25, abs=1.5)
    clip, motion = track(out), track_driver(actor, quiet)
    assert np.ptp([aperture(mesh) for mesh in clip.meshes]) > 0.05, "the actor's own mouth is still"
    count = min(len(clip.poses), 120)
    yaw = [motion.head_at(k)[0].yaw for k in range(count)]
    assert np.corrcoef(yaw, [-pose.yaw_degrees for pose in clip.poses[:count]])[0, 1] >= 0.95
    with pytest.raises(PresenterError, match="a recording"):
        api.render(None, tmp_path / "x.mp4", driving=actor, driving_parts="head", config="tiny")
    with pytest.raises(PresenterError, match="got lips, ears"):
        api.render(None, tmp_path / "x.mp4", driving=actor, driving_parts="lips,ears", config="tiny")


def test_what_does_not_go_together_is_refused(driver: Path, tmp_path: Path) -> None:
    with pytest.raises(PresenterError, match="neither"):
        api.render(None, tmp_path / "x.mp4", config="tiny")
    with pytest.raises(PresenterError, match="of a video stay"):
        api.render(None, tmp_path / "x.mp4", driving=driver, driving_parts="lips,head", video=driver, config="tiny")
