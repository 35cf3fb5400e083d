"""A video's mouth follows another recording; nothing else of the video changes.

The video is made here: the shipped presenter speaks, and a slow movement of the camera stands in for a head's.
"""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from models.crop import crop_mask, crop_transform
from models.mesh import Pose, aperture, canonicalise
from models.tracker import FaceTracker
from presenter.cli import main
from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.runtime.offline import render_frames
from presenter.tts.say import SpokenText
from presenter.tts.voice import Voice
from presenter.video.face_track import track_face
from presenter.video.motion import SpeechMotion
from presenter.video.resync import fade_weights, resync_frames
from stream.files.movie import MovieWriter
from stream.files.reader import AudioFile, TimedFrame, iter_frames, read_audio

SIZE = 384
NTSC = Fraction(30000, 1001)
CPU = torch.device("cpu")


def spoken(text: str) -> AudioFile:
    sound = SpokenText(Voice.load(), text)
    return AudioFile(np.concatenate(list(sound.pieces()), 1), sound.rate)


def moved(rgb: np.ndarray, time: float) -> np.ndarray:
    """As a camera sees it that slowly comes nearer and drifts."""
    scale = SIZE / 512 * (0.9 + 0.05 * time)
    shift = 12 * np.sin(1.5 * time)
    transform = np.array([[scale, 0, 10 + shift], [0, scale, 14 + shift / 2]])
    return cv2.warpAffine(rgb, transform, (SIZE, SIZE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(load_config("tiny"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """3 s at 29.97 fps of a person who talks; its middle shows no face for five frames."""
    folder = tmp_path_factory.mktemp("video")
    renderer = engine.renderer(IdentityStore(folder).load("default"))
    frames = [
        each.rgb for each in render_frames(renderer, spoken("Papa and mama bought a big blue boat today, at last."))
    ]
    renderer.close()
    path = folder / "talk.mp4"
    with MovieWriter(path, (SIZE, SIZE), NTSC, preset="ultrafast") as writer:
        for k in range(int(min(3.0, len(frames) / 25) * NTSC)):
            frame = moved(frames[int(k / NTSC * 25)], float(k / NTSC))
            writer.write(np.full_like(frame, 90) if 40 <= k < 45 else frame)
    return path


def openings(pictures: list[TimedFrame]) -> np.ndarray:
    with FaceTracker(video=False, max_faces=1) as tracker:
        faces = [tracker.track(rgb) for rgb, _ in pictures]
    return np.array([aperture(canonicalise(found[0])[0]) if found else np.nan for found in faces])


def silence(seconds: float) -> AudioFile:
    return AudioFile(np.zeros((1, int(16_000 * seconds)), np.float32), 16_000)


def test_the_mouth_follows_the_sound_and_nothing_else_changes(engine: Engine, video: Path) -> None:
    track = track_face(iter_frames(video))
    assert track.unchanged == {"without a face": 5}
    motion = SpeechMotion(engine.syncformer, spoken("We saw how far the water flows, oh my, what a wide river."), CPU)
    filmed = list(iter_frames(video))
    made = list(resync_frames(engine, video, track, motion))
    assert [each.time for each in made] == [each.time for each in filmed]
    for k, (before, after) in enumerate(zip(filmed, made, strict=True)):
        face = track.faces[k]
        if face is None:
            assert np.array_equal(before.rgb, after.rgb)
            continue
        covered = cv2.warpAffine(
            (crop_mask() > 0).astype(np.uint8), crop_transform(face.pose), (SIZE, SIZE), flags=cv2.WARP_INVERSE_MAP
        )
        outside = cv2.dilate(covered, np.ones((5, 5), np.uint8)) == 0
        assert outside.mean() > 0.5
        assert np.array_equal(before.rgb[outside], after.rgb[outside])
    wanted = np.array([aperture(track.neutral + motion.at(each.time)) for each in made])
    found = openings(made)
    steady = np.array([weight == 1 for weight in fade_weights([face is not None for face in track.faces])])
    steady &= np.isfinite(found)
    assert steady.sum() > 60
    assert np.corrcoef(wanted[steady], found[steady])[0, 1] >= 0.6


def test_silence_closes_a_talking_mouth(engine: Engine, video: Path) -> None:
    track = track_face(iter_frames(video))
    made = list(resync_frames(engine, video, track, SpeechMotion(engine.syncformer, silence(1.0), CPU)))
    own = openings(list(iter_frames(video)))
    full = np.array(fade_weights([face is not None for face in track.faces])) == 1
    found = openings(made)[full]
    assert np.nanmax(own[full]) > 0.12, "the video itself talks"
    assert np.mean(found < aperture(track.neutral) + 0.03) >= 0.97


def test_the_film_keeps_times_and_loops_there_and_back(video: Path, tmp_path: Path) -> None:
    count = len(list(iter_frames(video)))
    sound = tmp_path / "long.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.zeros(16_000 * 7 + 1600, "<i2").tobytes())
    render = ["--config", "tiny", "render", "--video", str(video), "--audio", str(sound), "--out"]
    assert main([*render, str(tmp_path / "once.mp4")]) == 0
    once = [each.time for each in iter_frames(tmp_path / "once.mp4")]
    assert once == [each.time for each in iter_frames(video)]
    assert read_audio(tmp_path / "once.mp4").duration_s == pytest.approx(count / NTSC, abs=0.1)
    assert main([*render, str(tmp_path / "loop.mp4"), "--loop"]) == 0
    loop = list(iter_frames(tmp_path / "loop.mp4"))
    steps = np.diff([float(each.time) for each in loop])
    assert np.allclose(steps, float(1 / NTSC), atol=1e-3)
    assert float(loop[-1].time) == pytest.approx(7.1, abs=0.05)
    last = count - 1
    for k in (1, 7, last, last + 3):  # backwards, then forwards again
        other = loop[last - k if k <= last else k - last]
        assert np.abs(loop[last + k].rgb[:60].astype(int) - other.rgb[:60]).mean() < 2


def film_and_sound(folder: Path, times: list[int]) -> list[str]:
    """Arguments of a video whose frames have these times in milliseconds, and of half a second of silence."""
    path = folder / "vfr.mkv"
    still = IdentityStore(folder).load("default").identity.shrunk(512).frame
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 512
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time in times:
            frame = av.VideoFrame.from_ndarray(still, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    sound = folder / "a.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    return ["--video", str(path), "--audio", str(sound)]


def test_unequal_steps_stay(tmp_path: Path) -> None:
    times = [0, 40, 57, 140, 150, 290, 310]
    out = tmp_path / "out.mp4"
    assert main(["--config", "tiny", "render", *film_and_sound(tmp_path, times), "--out", str(out)]) == 0
    assert [round(1000 * each.time) for each in iter_frames(out)] == times


def test_frames_too_close_to_be_looped_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render = ["--config", "tiny", "render", *film_and_sound(tmp_path, [0, 1, 2]), "--out", str(tmp_path / "out.mp4")]
    assert main([*render, "--loop"]) == 2
    assert "at most 250 frames a second" in capsys.readouterr().err
    assert main(render) == 0, "played once it ends"


def test_fades_take_three_frames_beside_a_gap() -> None:
    usable = [True] * 6 + [False] + [True] * 6
    assert fade_weights(usable) == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_faces_are_chosen_by_size(tmp_path: Path) -> None:
    still = IdentityStore(tmp_path).load("default").identity.shrunk(512).frame
    both = np.full((512, 900, 3), 60, np.uint8)
    both[:, :512] = still
    both[100:420, 560:880] = cv2.resize(still, (320, 320), interpolation=cv2.INTER_AREA)
    pictures = [TimedFrame(both, Fraction(k, 25)) for k in range(3)]

    def place(index: int | None) -> Pose:
        face = track_face(pictures, index).faces[-1]
        assert face is not None
        return face.pose

    assert place(None).translation[0] < 512 < place(1).translation[0]
    assert place(0).scale > place(1).scale


def test_what_shows_nobody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, sound = tmp_path / "grey.mp4", tmp_path / "a.wav"
    with MovieWriter(path, (64, 64)) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    render = ["--config", "tiny", "render", "--video", str(path), "--audio", str(sound), "--out"]
    assert main([*render, str(tmp_path / "x.mp4")]) == 2
    assert "3 without a face" in capsys.readouterr().err
    assert not (tmp_path / "x.mp4").exists()
    assert main([*render, str(tmp_path / "frames/")]) == 2
