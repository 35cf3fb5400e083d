"""Commands that read and write files, run as users run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from presenter.runtime.identities import IdentityStore, shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity
from stream.files.reader import iter_video, read_audio

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def tone(path: Path, seconds: float) -> Path:
    t = np.arange(int(16_000 * seconds)) / 16_000
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(2 * np.pi * 200 * t)).astype("<i2").tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a recording and a configuration whose presenters are next to it."""
    tone(tmp_path / "in.wav", 0.4)
    (tmp_path / "own.yaml").write_text("presenters: own\nserver: {port: 0}\n")
    save_identity(tmp_path / "own" / "Ada", load_identity(shipped_dir() / "default").identity)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "presenter", "--config", "own.yaml", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def run(folder: Path) -> Run:
    def run_command(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        ended = subprocess.run(
            command(*arguments), cwd=folder, env=environment(**more), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=120,
        )  # fmt: skip
        assert b"Traceback" not in ended.stderr, ended.stderr.decode(errors="replace")
        return ended

    return run_command


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_recording_itself_is_never_overwritten(folder: Path, run: Run) -> None:
    os.rename(folder / "in.wav", folder / "in.mp4")
    before = (folder / "in.mp4").read_bytes()
    os.link(folder / "in.mp4", folder / "hard.mp4")
    (folder / "link.mp4").symlink_to("in.mp4")
    for out in ("in.mp4", "./own/../in.mp4", "hard.mp4", "link.mp4"):
        ended = run("render", "--audio", "in.mp4", "--out", out, "--overwrite")
        assert ended.returncode == 2, out
        assert len(ended.stderr.splitlines()) == 1
    for option in ("--style", "--driving", "--video", "--face", "--presenter"):
        ended = run("render", "--audio", "in.wav", option, "in.mp4", "--out", "in.mp4", "--overwrite")
        assert b"is the file that is read" in ended.stderr, option
    assert (folder / "in.mp4").read_bytes() == before


def test_an_existing_film_needs_leave(folder: Path, run: Run) -> None:
    (folder / "out.mp4").write_text("old")
    refused = run("render", "--audio", "in.wav", "--out", "out.mp4")
    assert (refused.returncode, (folder / "out.mp4").read_text()) == (2, "old")
    assert b"--overwrite" in refused.stderr
    assert run("render", "--audio", "in.wav", "--out", "out.mp4", "--overwrite").returncode == 0
    assert len(list(iter_video(folder / "out.mp4"))) == 10
    (folder / "say.wav").write_text("old")
    assert run("say", "Hello.", "--out", "say.wav").returncode == 2
    assert (folder / "say.wav").read_text() == "old"


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 2)])
def test_on_a_terminal_it_is_asked(folder: Path, terminal: Any, answer: str, status: int) -> None:
    out = folder / "out.mp4"
    out.write_text("old")
    arguments = ["--config", "tiny", "render", "--audio", str(folder / "in.wav"), "--out", str(out)]
    with terminal(sys.executable, "-m", "presenter", *arguments, columns=300) as screen:
        screen.wait_for(r"Overwrite it\? \[y/N\]")
        screen.type(f"{answer}\n")
        screen.wait_for("10 frames" if status == 0 else "exists already")
        assert screen.process.wait(30) == status
    assert (out.read_bytes() == b"old") == (status == 2)


@pytest.mark.parametrize("out", ["x.xyz", "x", "x.png", "own", "/dev/null", "in.wav/x.mp4"])
def test_places_that_are_no_film_are_refused(run: Run, folder: Path, out: str) -> None:
    before = names(folder)
    ended = run("render", "--audio", "in.wav", "--out", out)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(b"presenter: ")
    assert names(folder) == before


def test_pictures_and_standard_output(folder: Path, run: Run) -> None:
    assert run("render", "--audio", "in.wav", "--out", "frames/").returncode == 0
    assert names(folder / "frames") == [f"{k:06}.png" for k in range(1, 11)]
    assert run("render", "--audio", "in.wav", "--out", "frames/").returncode == 2, "they exist"
    piped = run("render", "--audio", "in.wav", "--out", "-")
    (folder / "piped.mp4").write_bytes(piped.stdout)
    assert len(list(iter_video(folder / "piped.mp4"))) == 10
    assert read_audio(folder / "piped.mp4").duration_s >= 0.4


@pytest.mark.parametrize(
    ("out", "number"),
    [
        ("long.mp4", signal.SIGTERM),
        ("long.webm", signal.SIGINT),
        ("long/", signal.SIGTERM),
        ("say.mp4", signal.SIGTERM),
    ],
)
def test_a_signal_leaves_no_traceback_and_no_file(folder: Path, out: str, number: signal.Signals) -> None:
    tone(folder / "long.wav", 600)
    before = names(folder)
    arguments = ["render", "--audio", "long.wav", "--out", out]
    if out == "say.mp4":
        arguments = ["say", "Good morning. " * 100, "--out", out]
    process = subprocess.Popen(command(*arguments), cwd=folder, env=environment(), stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while time.monotonic() < end and not [*folder.glob(".presenter-*"), *folder.glob("long/.presenter-*")]:
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else 130)
    assert b"Traceback" not in said
    assert names(folder) == before


def test_a_terminal_without_unicode(folder: Path, run: Run) -> None:
    os.rename(folder / "in.wav", folder / "take:1 名é.wav")
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    ended = run("render", "--audio", "take:1 名é.wav", "--out", "ö:1.mp4", **plain)
    assert ended.returncode == 0
    assert (folder / "ö:1.mp4").is_file()
    missing = run("render", "--audio", "ü.wav", "--out", "x.mp4", **plain)
    assert missing.returncode == 2
    assert missing.stderr.isascii()


def test_presenters_are_listed_renamed_exported_and_deleted(folder: Path, run: Run) -> None:
    shipped = [b"default: comes with the package", b"sam: comes with the package"]
    assert run("presenters").stdout.splitlines() == [*shipped, b"Ada: enrolled here"]
    assert b'"name": "Ada"' in run("presenters", "show", "ada", "--json").stdout
    assert b"not recorded" in run("presenters", "show", "ada").stdout
    assert run("presenters", "rename", "ada", "Ada O'L.").returncode == 0
    assert run("presenters", "export", "Ada O'L.", "--out", "a.zip").returncode == 0
    assert run("presenters", "export", "Ada O'L.", "--out", "a.zip").returncode == 2, "it exists"
    assert b"already" in run("presenters", "import", "a.zip").stderr
    assert run("presenters", "delete", "Ada O'L.").returncode == 2, "nobody can be asked"
    assert run("presenters", "delete", "Ada O'L.", "--yes").returncode == 0
    assert run("presenters", "import", "a.zip").returncode == 0
    assert IdentityStore(folder / "own").names() == ["default", "sam", "Ada O'L."]
    assert names(folder / "own") == ["Ada O'L%2E"]
    assert b"comes with the package" in run("presenters", "delete", "default", "--yes").stderr
    assert b"there are: default, sam, Ada O'L." in run("presenters", "show", "nobody").stderr


@pytest.mark.parametrize("kind", ["no zip", "other files", "outside", "damaged", "missing"])
def test_what_is_no_presenter_is_not_imported(folder: Path, run: Run, kind: str) -> None:
    path = folder / "x.zip"
    if kind == "no zip":
        path.write_bytes(b"PK no")
    elif kind != "missing":
        entry = {"other files": "x/notes.txt", "outside": "../x/identity.safetensors"}.get(
            kind, "x/identity.safetensors"
        )
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(entry, b"x")
    ended = run("presenters", "import", "x.zip")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert names(folder / "own") == ["Ada"]


def test_a_damaged_presenter_is_shown_by_list_doctor_and_render(folder: Path, run: Run) -> None:
    (folder / "own" / "Ada" / "frame.png").write_bytes(b"x")
    assert b"'Ada' is damaged (frame.png can't be read)" in run("presenters").stdout
    assert run("presenters", "list", "--json").returncode == 0
    doctor = run("doctor")
    assert doctor.returncode == 1
    assert b"FAIL presenters: default, sam can be used; the presenter 'Ada' is damaged" in doctor.stdout
    ended = run("render", "--audio", "in.wav", "--presenter", "ada", "--out", "x.mp4")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert run("presenters", "export", "Ada").returncode == 2


def test_enrolment_records_who_consented(folder: Path, run: Run) -> None:
    photo = str(shipped_dir() / "default" / "frame.png")
    ended = run("enroll", photo, "--name", "Eve", "--consent", "Eve E.")
    assert ended.returncode == 0
    assert b"Eve E., 20" in run("presenters", "show", "Eve").stdout
    assert b"--consent NAME" in run("enroll", photo, "--name", "Zoe").stderr


def test_enroll_turns_a_photo_chooses_a_face_and_says_so(folder: Path, run: Run) -> None:
    face = cv2.imread(str(shipped_dir() / "default" / "frame.png"))
    assert face is not None
    cv2.imwrite(str(folder / "crowd.png"), np.rot90(np.hstack([face, face])))
    several = run("enroll", "crowd.png", "--name", "Eve")
    assert several.returncode == 2
    assert b"--face N" in several.stderr
    ended = run("enroll", "crowd.png", "--name", "Eve", "--face", "1", "--consent", "Eve")
    assert ended.returncode == 0
    assert b"Warning: the photo was a quarter turn counter-clockwise" in ended.stderr


def test_a_reader_that_has_gone_is_no_error(folder: Path) -> None:
    process = subprocess.Popen(
        command("presenters"), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 141
    assert said == b""
