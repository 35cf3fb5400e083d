"""What `presenter doctor` says of a machine: in order, something optional missing, broken."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from presenter import doctor
from presenter.bench.pulse_server import PulseServer
from presenter.cli import main
from presenter.doctor import Check, MissingError
from presenter.errors import PresenterError
from presenter.meeting import virtual_microphone
from stream.camera.drivers import LINUX, CameraError
from stream.camera.virtual_camera import VirtualCamera
from stream.errors import DeviceError
from stream.sound.devices import AudioDevice


def missing() -> str:
    raise MissingError("install it")


def broken() -> str:
    raise RuntimeError


def test_three_states() -> None:
    found = [doctor._run(name, check) for name, check in (("a", lambda: "fine"), ("b", missing), ("c", broken))]
    assert [check.mark for check in found] == ["ok", "missing", "FAIL"]
    assert [check.message for check in found] == ["fine", "install it", "RuntimeError"]


@pytest.mark.parametrize(("checks", "status"), [("ok", 0), ("ok missing", 0), ("ok missing FAIL", 1)])
def test_what_is_optional_does_not_fail_the_machine(
    checks: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"ok": Check("a", True, "x"), "missing": Check("b", False, "y", True), "FAIL": Check("c", False, "z")}
    monkeypatch.setattr(doctor, "check_machine", lambda config: [known[name] for name in checks.split()])
    assert main(["doctor"]) == status
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == checks.split()
    assert main(["doctor", "--json"]) == status
    assert json.loads(capsys.readouterr().out)[0] == {"name": "a", "ok": True, "message": "x", "optional": False}


def test_the_pace_is_what_the_frame_time_allows() -> None:
    assert "25 frames a second" in doctor._pace(28)
    assert "12.5 frames per second" in doctor._pace(56)
    assert "sound whole" in doctor._pace(75)
    with pytest.raises(PresenterError, match="90 ms"):
        doctor._pace(90)


def test_microphones_are_named_or_missed(pulse: PulseServer) -> None:
    with pytest.raises(MissingError, match="none is connected"):
        doctor._microphone()
    pulse.pactl("load-module", "module-remap-source", "master=talk.monitor", "source_name=headset")
    pulse.pactl("set-default-source", "headset")
    assert doctor._microphone().endswith("is the default of 3")  # with ALSA's two ways there


def test_without_portaudio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blocked:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Blocked(), *sys.meta_path])
    with pytest.raises(MissingError, match="libportaudio2"):
        doctor._microphone()


ELSEWHERE = [("Darwin", "BlackHole 2ch", "blackhole-2ch"), ("Windows", "CABLE Input", "VB-Cable")]


@pytest.mark.parametrize(("system", "name", "command"), ELSEWHERE)
def test_the_virtual_microphone_elsewhere(
    system: str, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[AudioDevice] = []
    monkeypatch.setattr(virtual_microphone, "list_devices", lambda: found)
    with pytest.raises(DeviceError, match=command):
        virtual_microphone.find_loopback(system)
    found.append(AudioDevice(name, "output", 1, 2, 48_000, False, "Core Audio"))
    assert virtual_microphone.find_loopback(system) in name


def test_the_virtual_microphone_on_linux(pulse: PulseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Presenter microphone" in doctor._virtual_microphone()
    pulse.stop()
    with pytest.raises(MissingError, match="running"):
        doctor._virtual_microphone()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match="pulseaudio-utils"):
        doctor._virtual_microphone()


def test_the_virtual_camera_is_opened_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    device = SimpleNamespace(device="/dev/video9", close=lambda: closed.append(True))
    monkeypatch.setattr(VirtualCamera, "open", lambda camera: setattr(camera, "_device", device))
    assert doctor._virtual_camera() == "/dev/video9 can be opened"
    assert closed == [True]


def test_a_missing_virtual_camera_is_optional_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(camera: VirtualCamera) -> None:
        raise CameraError(LINUX)

    monkeypatch.setattr(VirtualCamera, "open", refuse)
    check = doctor._run("virtual camera", doctor._virtual_camera)
    assert check.mark == "missing"
    assert "sudo modprobe v4l2loopback" in check.message
