"""The sound server by pactl, and the microphone that others can choose."""

from __future__ import annotations

from typing import Any

import pytest

from stream.errors import DeviceError
from stream.sound import pulse as server
from stream.sound.pulse import VirtualMicrophone


def names(devices: list[server.PulseDevice]) -> list[str]:
    return [device.name for device in devices]


def test_sinks_and_sources_are_listed(pulse: Any) -> None:
    pulse.plug("slow", rate=16_000, description="Größe: Mikrofon 話")
    assert server.is_available()
    talk, _, slow = server.sinks()
    assert (talk.name, talk.rate, talk.channels, talk.is_default, talk.is_monitor) == ("talk", 48_000, 2, True, False)
    assert (slow.name, slow.rate, slow.description) == ("slow", 16_000, "Größe: Mikrofon 話")
    assert all(source.is_monitor for source in server.sources())
    assert names(server.sources()) == ["talk.monitor", "vmic.monitor", "slow.monitor"]


def test_another_language_changes_nothing(pulse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert names(server.sinks()) == ["talk", "vmic"]


def test_a_device_that_comes_back_has_another_index(pulse: Any) -> None:
    before = server.index_of("sinks", "talk")
    pulse.unplug("talk")
    assert server.index_of("sinks", "talk") is None
    pulse.plug("talk")
    assert server.index_of("sinks", "talk") not in (None, before)


def test_the_virtual_microphone_is_no_monitor_and_goes_at_the_end(pulse: Any) -> None:
    with VirtualMicrophone() as made:
        sink = next(device for device in server.sinks() if device.name == made.sink)
        source = next(device for device in server.sources() if device.name == made.source)
        assert (sink.description, source.description) == ("Presenter voice", "Presenter microphone")
        assert not source.is_monitor
    assert names(server.sinks()) == ["talk", "vmic"]
    assert names(server.sources()) == ["talk.monitor", "vmic.monitor"]


def test_what_a_crash_left_is_used_and_left(pulse: Any) -> None:
    VirtualMicrophone().__enter__()
    with VirtualMicrophone():
        assert names(server.sinks()).count("presenter") == 1
    assert "presenter_mic" in names(server.sources())


def test_a_microphone_of_another_sink_is_made_anew(pulse: Any) -> None:
    pulse.pactl("load-module", "module-remap-source", "master=talk.monitor", "source_name=presenter_mic")
    with VirtualMicrophone():
        assert names(server.sources()).count("presenter_mic") == 1
        assert "master=presenter.monitor source_name=presenter_mic" in pulse.pactl("list", "short", "modules")


def test_a_microphone_that_can_not_be_made_leaves_nothing(pulse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SOURCE", "not a name")
    with pytest.raises(DeviceError, match=r"load-module module-remap-source.* failed"), VirtualMicrophone():
        pass
    assert names(server.sinks()) == ["talk", "vmic"]


def test_without_a_server_the_error_says_so(pulse: Any) -> None:
    pulse.stop()
    assert not server.is_available()
    assert server.index_of("sinks", "talk") is None
    with pytest.raises(DeviceError, match=r"`pactl info` failed: .*refused"):
        server.sinks()


def test_without_pactl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not server.is_available()
    with pytest.raises(DeviceError, match="apt install pulseaudio-utils"):
        server.sources()
