"""The path into a meeting with real sound: PulseAudio's null sinks; only the camera's driver is not real."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyvirtualcam.camera

from presenter.bench.camera import run_camera_bench
from presenter.bench.pulse_server import PulseServer
from presenter.cli import main
from presenter.config import AppConfig, CameraConfig, load_config
from presenter.errors import ConfigError, PresenterError
from presenter.meeting.meeting import Meeting
from presenter.meeting.setup import open_meeting
from presenter.meeting.status import Shows, Webcam
from presenter.meeting.status_line import StatusLine
from presenter.meeting.terminal import KEYS, Controls
from stream.errors import DeviceError, StreamError
from stream.media import PLAYOUT_RATE
from stream.sound.pulse import VirtualMicrophone

BACKEND = "presenter-test"
Scenario = Callable[[Meeting], Awaitable[None]]


class Screen:
    """A camera's driver that keeps what it is sent."""

    pictures: list[np.ndarray]

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: object) -> None:
        self._shape = height, width, 3
        type(self).pictures = []

    def device(self) -> str:
        return "screen"

    def native_fourcc(self) -> int | None:
        return None

    def send(self, picture: np.ndarray) -> None:
        self.pictures.append(picture.reshape(self._shape).copy())
        del self.pictures[:-50]

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def screen() -> Iterator[type[Screen]]:
    pyvirtualcam.register_backend(BACKEND, Screen)
    yield Screen
    del pyvirtualcam.camera.BACKENDS[BACKEND]


def settings(tmp_path: Path, **camera: Any) -> AppConfig:
    chosen = CameraConfig(**{"microphone": "talk.monitor", "voice": "vmic", **camera})
    return replace(load_config("tiny"), camera=chosen, presenters=str(tmp_path))


def attend(config: AppConfig, scenario: Scenario) -> None:
    async def run() -> None:
        async with open_meeting(config, "default", backend=BACKEND) as meeting:
            running = asyncio.create_task(meeting.run())
            try:
                await scenario(meeting)
            finally:
                meeting.leave()
                await running

    asyncio.run(asyncio.wait_for(run(), 90))


def syllables(seconds: int) -> np.ndarray:
    """Something that is taken for speech, int16 at 48 kHz."""
    times = np.arange(seconds * PLAYOUT_RATE) / PLAYOUT_RATE
    buzz = sum(np.sin(2 * np.pi * 130 * k * times) / k for k in range(1, 12))
    return np.rint(6000 * buzz * np.clip(1.5 * np.sin(2 * np.pi * 3 * times), 0, 1)).astype(np.int16)


async def until(true: Callable[[], object], timeout_s: float = 15.0, told: Callable[[], object] = lambda: "") -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"it did not come to that in time: {told()}"
        await asyncio.sleep(0.05)


def test_sound_and_picture_come_out_together(tmp_path: Path, pulse: PulseServer) -> None:
    del pulse  # skips where there is none; the benchmark starts its own
    report = run_camera_bench(settings(tmp_path), seconds=8)
    assert report["beeps"] >= 8
    assert abs(report["skew_ms"]["p50"]) < 20
    assert 100 < report["delay_ms"]["p50"] < 1500
    assert abs(report["told"]["delay_ms"] - report["delay_ms"]["p50"]) < 150


@pytest.mark.usefixtures("light_rendering", "screen")
def test_mute_idle_still_and_back(tmp_path: Path, pulse: PulseServer) -> None:
    async def scenario(meeting: Meeting) -> None:
        controls = Controls(meeting, StatusLine(KEYS))
        pulse.play("talk", syllables(40))
        await until(lambda: meeting.status().speaking, told=meeting.status)
        controls.press("m")
        await until(lambda: not meeting.status().speaking)
        assert meeting.status().muted
        await until(lambda: (meeting.status().level_dbfs or -120) > -20)  # that of the microphone, as before
        controls.press("m")
        await until(lambda: meeting.status().speaking, told=meeting.status)
        controls.press(" ")
        assert meeting.status().muted
        telling = asyncio.create_task(controls.tell())
        await until(lambda: not meeting.status().muted, 3)  # no process holds it any more
        telling.cancel()
        controls.press("p")
        await until(lambda: not meeting.status().speaking)
        assert meeting.status().shows is Shows.IDLE
        Screen.pictures.clear()
        await until(lambda: len(Screen.pictures) > 40)
        assert any(np.any(one != Screen.pictures[0]) for one in Screen.pictures), "an idle presenter lives"
        controls.press("s")
        assert meeting.status().shows is Shows.STILL
        await asyncio.sleep(0.3)
        Screen.pictures.clear()
        await until(lambda: len(Screen.pictures) > 20)
        assert all(np.array_equal(one, Screen.pictures[0]) for one in Screen.pictures)
        controls.press("s")
        await until(lambda: meeting.status().speaking, told=meeting.status)
        controls.press("q")

    attend(settings(tmp_path), scenario)


@pytest.mark.usefixtures("light_rendering", "screen")
def test_presenters_change_while_somebody_speaks(
    tmp_path: Path, pulse: PulseServer, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = Path(__file__).parents[3] / "presenter" / "presenters" / "default"
    (tmp_path / "Other").symlink_to(shipped)

    async def scenario(meeting: Meeting) -> None:
        controls = Controls(meeting, StatusLine(KEYS))
        pulse.play("talk", syllables(40))
        await until(lambda: meeting.status().speaking, told=meeting.status)
        assert "1 default, 2 sam, 3 Other" in meeting.introduction()
        controls.press("n")
        await until(lambda: meeting.shown == "sam")
        controls.press("3")
        await until(lambda: meeting.shown == "Other")
        controls.press("1")
        await until(lambda: meeting.shown == "default")
        controls.press("9")
        await until(lambda: "there is no presenter 9" in caplog.text)
        await until(lambda: meeting.status().speaking, told=meeting.status)
        controls.press("w")
        assert "--webcam" in caplog.text
        controls.press("?")

    with caplog.at_level(logging.WARNING):
        attend(settings(tmp_path, background="#204060", gate_dbfs=-50.0), scenario)


@pytest.mark.usefixtures("light_rendering", "screen")
def test_a_virtual_microphone_is_made_and_removed(tmp_path: Path, pulse: PulseServer) -> None:
    async def scenario(meeting: Meeting) -> None:
        assert VirtualMicrophone.source in pulse.pactl("list", "short", "sources")
        pulse.play("talk", syllables(20))
        assert "the microphone 'Presenter microphone'" in meeting.introduction()
        await until(lambda: meeting.status().speaking, told=meeting.status)

    attend(settings(tmp_path, voice="auto"), scenario)
    assert VirtualMicrophone.source not in pulse.pactl("list", "short", "sources")


@pytest.mark.usefixtures("light_rendering", "screen")
def test_a_microphone_that_is_pulled_out_is_waited_for(
    tmp_path: Path, pulse: PulseServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(meeting: Meeting) -> None:
        await until(lambda: meeting.status().level_dbfs is not None)
        pulse.unplug("talk")
        await until(lambda: meeting.status().level_dbfs is None)
        Screen.pictures.clear()
        await until(lambda: len(Screen.pictures) > 10)
        pulse.plug("talk")
        await until(lambda: meeting.status().level_dbfs is not None)
        pulse.play("talk", syllables(20))
        await until(lambda: meeting.status().speaking, told=meeting.status)

    with caplog.at_level(logging.INFO):
        attend(settings(tmp_path), scenario)
    assert "is gone; plug it in again" in caplog.text
    assert "is back" in caplog.text


@pytest.mark.usefixtures("light_rendering", "screen", "pulse")
def test_the_users_head_is_followed_until_the_user_leaves(tmp_path: Path) -> None:
    head = cv2.imread(str(Path(__file__).parents[3] / "presenter" / "presenters" / "default" / "frame.png"))
    film = cv2.VideoWriter(str(tmp_path / "user.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, head.shape[1::-1])
    for _ in range(150):
        film.write(head)
    for _ in range(50):
        film.write(np.full_like(head, 128))
    film.release()

    async def scenario(meeting: Meeting) -> None:
        await until(lambda: meeting.status().webcam is Webcam.FOLLOWING)
        Controls(meeting, StatusLine(KEYS)).press("w")
        assert meeting.status().webcam is None
        Controls(meeting, StatusLine(KEYS)).press("w")
        await until(lambda: meeting.status().webcam is Webcam.AWAY, 30)

    attend(settings(tmp_path, webcam=str(tmp_path / "user.mp4")), scenario)


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize(
    ("camera", "error", "message"),
    [
        ({"microphone": "no such"}, DeviceError, "talk.monitor"),
        ({"voice": "no such"}, DeviceError, "vmic"),
        ({"microphone": "presenter.monitor", "voice": "auto"}, ConfigError, "own output"),
        ({"background": "nowhere.png"}, Exception, "nowhere.png"),
        ({"webcam": "nowhere.mp4"}, Exception, "nowhere.mp4"),
    ],
)
def test_what_can_t_be_opened_is_said_before_anything_is_loaded(
    tmp_path: Path, pulse: PulseServer, camera: dict[str, str], error: type[Exception], message: str
) -> None:
    async def never(_: Meeting) -> None:
        raise AssertionError("opened")

    with VirtualMicrophone(), pytest.raises(error, match=message):
        attend(settings(tmp_path, **camera), never)


@pytest.mark.usefixtures("screen", "pulse")
def test_a_slow_sound_server_does_not_stop_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pactl` answers once the event loop has gone on, which it can't while it waits for `pactl`."""
    beat, stalled = tmp_path / "beat", tmp_path / "stalled"
    slow = tmp_path / "bin" / "pactl"
    slow.parent.mkdir()
    slow.write_text(
        f"""#!/bin/sh
seen=$(cat {beat})
for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ "$(cat {beat})" != "$seen" ] && exec {shutil.which("pactl")} "$@"
  sleep 0.1
done
echo "$@" >> {stalled}
exec {shutil.which("pactl")} "$@"
"""
    )
    slow.chmod(0o755)

    async def tick() -> None:
        for number in itertools.count():
            (tmp_path / "next").write_text(str(number))
            (tmp_path / "next").rename(beat)
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.1)
        monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        # The voice's device is made before the webcam is found to be missing, and removed after it.
        config = settings(tmp_path, voice="auto", microphone="", webcam="nowhere.mp4")
        with pytest.raises(StreamError):
            async with open_meeting(config, "default", backend=BACKEND):
                pass
        ticking.cancel()

    asyncio.run(scenario())
    assert not stalled.exists(), stalled.read_text()


def test_without_a_camera_driver_the_command_says_what_to_install(
    tmp_path: Path, pulse: PulseServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del pulse
    if any(Path("/dev").glob("video*")):
        pytest.skip("this machine has a camera")
    assert main(["camera", "--microphone", "talk.monitor", "--voice", "vmic"]) == 2
    assert "sudo modprobe v4l2loopback" in capsys.readouterr().err


def test_devices_are_listed(pulse: PulseServer, capsys: pytest.CaptureFixture[str]) -> None:
    pulse.plug("headset", description="A headset")
    assert main(["devices"]) == 0
    out = capsys.readouterr().out
    assert "A headset [headset]" in out
    assert "virtual cameras (--camera)" in out
    assert main(["devices", "--json"]) == 0
    assert '"pulse_name": "headset"' in capsys.readouterr().out


def test_unknown_presenter_is_named(tmp_path: Path) -> None:
    async def open_one() -> None:
        async with open_meeting(settings(tmp_path), "Nobody", backend=BACKEND):
            pass

    with pytest.raises(PresenterError, match="Nobody"):
        asyncio.run(open_one())


def test_options_win_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[AppConfig] = []

    async def attended(config: AppConfig, presenter: str) -> None:
        taken.append(config)

    monkeypatch.setattr("presenter.meeting.terminal.attend", attended)
    assert main(["camera", "--size", "1080p", "--gate", "-45", "--webcam"]) == 0
    assert (taken[0].camera.size, taken[0].camera.gate_dbfs, taken[0].camera.webcam) == ("1080p", -45.0, "0")
    assert main(["camera", "--size", "4k"]) == 2
