"""Which device is meant, and what is said where none is."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import DeviceError
from stream.sound import portaudio
from stream.sound import pulse as server
from stream.sound.devices import find_again, find_input, find_output, list_devices, route


def test_null_sinks_are_listed_beside_portaudio(pulse: Any) -> None:
    listed = list_devices()
    talk = next(device for device in listed if device.pulse_name == "talk.monitor")
    assert (talk.kind, talk.index, talk.is_monitor, talk.host) == ("input", None, True, "PulseAudio")
    assert {device.kind for device in listed if device.name == "pulse"} == {"input", "output"}
    assert str(talk) == "Monitor of Null Output [talk.monitor] (PulseAudio, 48000 Hz, monitor, default)"


def test_devices_are_found_by_name_part_and_number(pulse: Any) -> None:
    pulse.plug("desk", rate=44_100, description="Desk Microphone")
    assert find_output("desk").name == "Desk Microphone"
    assert find_output("desk mic").pulse_name == "desk"
    assert find_input("DESK.monitor").default_rate == 44_100
    number = find_output("pulse").index
    assert number is not None
    assert find_output(number) == find_output(str(number)) == find_output("PULSE")
    desk = find_output("desk")
    assert find_again(desk) == desk
    pulse.unplug("desk")
    with pytest.raises(DeviceError, match="sound output 'Desk Microphone' is not there"):
        find_again(desk)


def test_a_microphone_is_preferred_to_a_monitor(pulse: Any) -> None:
    with server.VirtualMicrophone():
        assert find_input("presenter").pulse_name == "presenter_mic"
        assert find_input("presenter.monitor").is_monitor


def test_errors_say_what_there_is(pulse: Any) -> None:
    with pytest.raises(DeviceError) as missing:
        find_output("kitchen")
    first, *rest = str(missing.value).splitlines()
    assert first == "sound output: there is none named 'kitchen'; there are:"
    assert rest[:2] == [
        "  Null Output [talk] (PulseAudio, 48000 Hz, default)",
        "  Null Output [vmic] (PulseAudio, 48000 Hz)",
    ]
    assert any("pulse (ALSA" in line for line in rest)
    with pytest.raises(DeviceError) as ambiguous:
        find_output("null")
    assert str(ambiguous.value) == (
        "sound output: 'null' could be any of these; say more of the name\n"
        "  Null Output [talk] (PulseAudio, 48000 Hz, default)\n"
        "  Null Output [vmic] (PulseAudio, 48000 Hz)"
    )
    with pytest.raises(DeviceError, match="microphone: there is no number 99; there are:"):
        find_input(99)
    with pytest.raises(DeviceError, match="none named ''"):
        find_input("")


def test_the_sound_that_is_played_is_no_default_microphone(pulse: Any) -> None:
    with pytest.raises(DeviceError, match="none is connected"):
        find_input(None)
    with server.VirtualMicrophone() as made:
        pulse.pactl("set-default-source", made.source)
        assert find_input(None).index is not None
    assert find_output(None).index is not None


def test_the_environment_is_set_only_meanwhile(pulse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert route(find_input("talk"))[1] == {"PULSE_SOURCE": "talk.monitor"}
    monkeypatch.setenv("PULSE_SINK", "mine")
    seen = []

    def refuse(**options: Any) -> None:
        seen.append((os.environ["PULSE_SINK"], os.environ["PULSE_SOURCE"]))
        raise ValueError("no")

    monkeypatch.setattr(portaudio.library(), "OutputStream", refuse)
    with pytest.raises(DeviceError, match="no"):
        portaudio.open_stream("OutputStream", {"PULSE_SINK": "talk", "PULSE_SOURCE": "s"})
    assert seen == [("talk", "s")]
    assert os.environ["PULSE_SINK"] == "mine"
    assert "PULSE_SOURCE" not in os.environ


def test_without_the_plugin_the_error_says_what_to_install(pulse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = find_input("talk")
    monkeypatch.setattr(portaudio.library(), "query_devices", lambda *_, **__: [])
    with pytest.raises(DeviceError, match="apt install libasound2-plugins"):
        route(talk)


def test_without_portaudio_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DeviceError, match="apt install libportaudio2"):
        list_devices()


def test_of_one_card_on_several_interfaces_the_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def query(kind: str | None = None) -> Any:
        made = [
            {"name": "Headset (USB", "hostapi": 0, "default_samplerate": 44_100.0},
            {"name": "Headset (USB Audio)", "hostapi": 1, "default_samplerate": 48_000.0},
        ]
        rows = [one | {"index": k, "max_input_channels": 1, "max_output_channels": 0} for k, one in enumerate(made)]
        if kind == "output":
            raise LookupError
        return rows if kind is None else rows[0]

    hosts = [{"name": "MME"}, {"name": "Windows WASAPI"}]
    fake = SimpleNamespace(query_devices=query, query_hostapis=lambda: hosts, PortAudioError=LookupError)
    monkeypatch.setattr(portaudio, "library", lambda: fake)
    monkeypatch.setattr(server, "is_available", lambda: False)
    assert find_input("headset").index == 1
    assert find_input(0).host == "MME"
    with pytest.raises(DeviceError, match="sound output: the system has no default; there are none at all"):
        find_output(None)
