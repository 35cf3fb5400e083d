"""Bad input on the command line: exit status 2 and one line that says what was expected, never a traceback."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from models.errors import ModelError
from presenter.cli import main
from presenter.errors import PresenterError
from stream.errors import StreamError

ROOT = Path(__file__).resolve().parents[2]

BAD = [
    ("", "the following arguments are required: COMMAND"),
    ("sing", "invalid choice: 'sing'"),
    ("--config nowhere serve", "expected a preset (cpu, gpu, tiny) or a YAML file, found no 'nowhere'"),
    ("--config invalid.yaml doctor", "invalid.yaml: expected valid YAML"),
    ("devices --config wrong.yaml", "wrong.yaml: server.max_upload_mb: expected at least 1, got 0"),
    ("serve --port 70000", "server.port: expected at most 65535, got 70000"),
    ("serve --port x", "argument --port: expected an integer, got 'x'"),
    ("serve --host 10.0.0.1", "set --token"),
    ("camera --presenter nobody", "no presenter named 'nobody'"),
    ("camera --size 4k", "camera.size: expected '720p' or '1080p', got '4k'"),
    ("camera --background nothing.png", "found no 'nothing.png'"),
    ("render --out o.mp4", "expected a recording (--audio) or a driver (--driving), got neither"),
    ("render --audio a.wav --style-strength x --out o.mp4", "argument --style-strength: invalid float value: 'x'"),
    ("style nowhere.mp4 --name Calm", "nowhere.mp4"),
    ("styles delete nobody", "no speaking style named 'nobody'"),
    ("render --audio broken.wav --out o.mp4", "broken.wav: expected audio or video"),
    ("render --audio tone.wav --presenter broken.jpg --out o.mp4", "broken.jpg: expected a photo"),
    ("render --audio tone.wav --presenter damaged --out o.mp4 --config own.yaml", "presenter 'damaged' is damaged"),
    ("render --audio tone.wav --out o.mp4 --config weights.yaml", "engine: broken.jpg: expected a safetensors file"),
    ("say", "the following arguments are required: text"),
    ("enroll broken.jpg --name a", "broken.jpg: expected a photo"),
    ("train tracks", "the following arguments are required: --data"),
    ("train tracks --data nowhere", "expected corpora under nowhere, found no clip"),
    ("evaluate --clips nowhere", "nowhere: expected video clips (.avi, "),
    ("bench --seconds 0", "argument --seconds: expected 1 to 86400 seconds, got 0"),
    ("bench voice --viewers -1", "argument --viewers: expected at least 0, got -1"),
    ("doctor --loud", "unrecognized arguments: --loud"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    for name in ("broken.jpg", "broken.wav", "own/damaged/identity.safetensors"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"not what it says")
    (path / "invalid.yaml").write_text("a: b: c")
    (path / "wrong.yaml").write_text("server: {max_upload_mb: 0}")
    (path / "own.yaml").write_text("presenters: own")
    (path / "weights.yaml").write_text("engine: {generator: broken.jpg}")
    with wave.open(str(path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    return path


@pytest.mark.parametrize(("options", "expected"), BAD, ids=[options or "nothing" for options, _ in BAD])
def test_bad_input_is_one_line(folder: Path, options: str, expected: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "presenter", *options.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("presenter: ")
    assert expected in line
    assert not (folder / "o.mp4").exists()


def test_every_command_is_tried() -> None:
    tried = {word for options, _ in BAD for word in options.split()}
    assert {
        "serve",
        "camera",
        "devices",
        "render",
        "say",
        "style",
        "styles",
        "enroll",
        "train",
        "evaluate",
        "bench",
        "doctor",
    } <= tried


@pytest.mark.parametrize("kind", [PresenterError, StreamError, ModelError, OSError])
def test_errors_of_every_package_are_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as `--webcam` without what the face tracker needs."""

    async def fail(*_: object) -> None:
        raise kind("expected a tracker, found none:\n  pip install it\n\n  or this")

    monkeypatch.setattr("presenter.meeting.terminal.attend", fail)
    assert main(["camera", "--webcam"]) == 2
    assert capsys.readouterr().err == "presenter: expected a tracker, found none: pip install it; or this\n"
