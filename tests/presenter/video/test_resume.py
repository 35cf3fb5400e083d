"""A film of a video that was interrupted is continued, and is the film that it would have been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from presenter.cli import main
from presenter.video import resync
from presenter.video.face_track import track_face
from presenter.video.track_file import load_track, save_track
from stream.errors import MediaFileError
from stream.files.movie import MovieWriter
from stream.files.reader import iter_frames, read_audio
from stream.files.segments import MovieJoiner, UnfinishedFilm
from tests.presenter.videos import QUIET_S, frames

SEGMENT = 8
NTSC = Fraction(30000, 1001)
# What the command line does, in segments of a few frames, so that there is something to interrupt.
RENDER = f"import sys; from presenter.video import resync; resync.SEGMENT_FRAMES = {SEGMENT};"
RENDER += " from presenter.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments: 45 frames at 29.97 fps of a person who talks, five of them without a face, and other speech."""
    folder = tmp_path_factory.mktemp("inputs")
    video, sound = folder / "talk.mp4", folder / "speech.wav"
    pictures = frames()[25 * QUIET_S :][:45]
    with MovieWriter(video, (512, 512), NTSC, preset="ultrafast") as writer:
        for k, picture in enumerate(pictures):
            writer.write(np.full_like(picture, 90) if 20 <= k < 25 else picture)
    tone = 9000 * np.sin(np.arange(16_000 * 2) * 0.07) * np.sin(np.arange(16_000 * 2) * 0.0015) ** 2
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(tone.astype("<i2").tobytes())
    return ["--config", "tiny", "render", "--video", str(video), "--audio", str(sound)]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resync, "SEGMENT_FRAMES", SEGMENT)


def parts(out: Path) -> Path:
    return out.with_name(f".presenter-{out.name}.parts")


def interrupt(arguments: list[str], out: Path, how: int) -> None:
    """Begin a film, and send a signal when two segments are complete."""
    process = subprocess.Popen([sys.executable, "-c", RENDER, *arguments, "--out", str(out)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 200
    while not list(parts(out).glob(f"000001_*{out.suffix}")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) != 0
    assert not out.exists(), "nothing under the final name"


def same(a: Path, b: Path) -> bool:
    pairs = list(zip(iter_frames(a), iter_frames(b), strict=True))
    sounds = read_audio(a).samples, read_audio(b).samples
    return all(x.time == y.time and np.array_equal(x.rgb, y.rgb) for x, y in pairs) and np.array_equal(*sounds)


@pytest.mark.parametrize(
    ("suffix", "how", "options"),
    [
        ("mp4", signal.SIGKILL, []),
        ("mov", signal.SIGINT, ["--loop"]),
        ("webm", signal.SIGTERM, []),
    ],
)
def test_an_interrupted_film_is_continued_and_is_the_same(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str, how: int, options: list[str]
) -> None:
    arguments = [*inputs, *options]
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    assert main([*arguments, "--out", str(whole)]) == 0
    assert "continued" not in capsys.readouterr().out
    assert len(list(iter_frames(whole))) == (60 if options else 45)
    interrupt(arguments, cut, how)
    assert main([*arguments, "--out", str(cut)]) == 0
    said = capsys.readouterr().out
    assert "continued from" in said
    assert int(said.split("continued from ")[1].split()[0].rstrip(";")) >= 2 * SEGMENT
    assert same(whole, cut)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([whole.name, cut.name]), "nothing is left over"


def test_one_that_only_lacks_its_sound_is_put_together(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(joiner: MovieJoiner, segment: Path, start: Fraction) -> int:
        raise KeyboardInterrupt

    out = tmp_path / "film.mp4"
    with monkeypatch.context() as patched:
        patched.setattr(MovieJoiner, "append", killed)
        assert main([*inputs, "--out", str(out)]) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [parts(out).name]
    assert main([*inputs, "--out", str(out)]) == 0
    assert "45 frames, continued from 45" in capsys.readouterr().out
    assert [each.time for each in iter_frames(out)] == [each.time for each in iter_frames(inputs[4])]


def test_other_inputs_or_options_are_begun_anew(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out, whole = tmp_path / "cut.mp4", tmp_path / "whole.mp4"
    interrupt(inputs, out, signal.SIGKILL)
    other = [*inputs, "--loop"]
    assert main([*other, "--out", str(out)]) == 0
    assert main([*other, "--out", str(whole)]) == 0
    assert "continued" not in capsys.readouterr().out
    assert "begun anew" in caplog.text
    assert same(whole, out)


def test_a_film_is_written_by_one_process(tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"
    with UnfinishedFilm(out, "a"):
        with pytest.raises(MediaFileError, match="another process"), UnfinishedFilm(out, "a"):
            pass
        assert parts(out).is_dir()
    assert os.listdir(tmp_path) == []


def test_what_fails_leaves_nothing_but_a_full_disk_does(tmp_path: Path) -> None:
    out = tmp_path / "film.mp4"

    def fail(error: BaseException) -> None:
        with UnfinishedFilm(out, "a") as unfinished:
            (unfinished.folder / "track.npz").touch()
            raise error

    for error, kept in ((MediaFileError("bad"), False), (OSError(28, "no space"), True), (KeyboardInterrupt(), True)):
        with pytest.raises(type(error)):
            fail(error)
        assert parts(out).exists() == kept
        if kept:
            (parts(out) / ".presenter-x.part.mp4").touch()
            with UnfinishedFilm(out, "a") as unfinished:
                assert not (unfinished.folder / ".presenter-x.part.mp4").exists()
                assert (unfinished.folder / "track.npz").exists()


def test_a_track_is_read_as_it_was_written(inputs: list[str], tmp_path: Path) -> None:
    track = track_face(iter_frames(inputs[inputs.index("--video") + 1]))
    save_track(tmp_path / "track.npz", track)
    again = load_track(tmp_path / "track.npz")
    assert (again.times, again.size, again.unchanged) == (track.times, track.size, track.unchanged)
    np.testing.assert_array_equal(again.neutral, track.neutral)
    for before, after in zip(track.faces, again.faces, strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            np.testing.assert_array_equal(after.mesh, before.mesh)
            assert after.pose.scale == before.pose.scale
            np.testing.assert_array_equal(after.pose.rotation, before.pose.rotation)
            np.testing.assert_array_equal(after.pose.translation, before.pose.translation)
    for before, after in zip(
        [*track.references, *track.open_references], [*again.references, *again.open_references], strict=True
    ):
        np.testing.assert_array_equal(after.crop, before.crop)
