"""Microphones and sound outputs: the list of devices, and look-up by name or number.

On Linux, PortAudio shows one device `pulse` for everything that PulseAudio or PipeWire has; their sinks and
sources are listed beside it, and reached through it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stream.errors import DeviceError
from stream.sound import portaudio, pulse

Kind = Literal["input", "output"]

PULSE_HOST = "PulseAudio"
_WORDS: dict[Kind, str] = {"input": "microphone", "output": "sound output"}
# One card shows up once per interface on Windows; MME cuts names off and adds 100 ms.
_HOSTS = (PULSE_HOST, "Core Audio", "Windows WASAPI", "ALSA", "JACK Audio Connection Kit", "Windows DirectSound", "MME")


@dataclass(frozen=True, slots=True)
class AudioDevice:
    """One direction of a sound device."""

    name: str
    kind: Kind
    index: int | None
    """PortAudio's number; None for a sink or source of PulseAudio. It changes when devices come and go."""
    channels: int
    default_rate: int
    """In Hz."""
    is_default: bool
    host: str
    """The interface that it is reached by, such as `ALSA` or `PulseAudio`."""
    pulse_name: str | None = None
    """The name of the sink or source, where it is one."""
    is_monitor: bool = False
    """Whether it is the monitor of a sink, not a microphone."""

    def __str__(self) -> str:
        """Return one line for people."""
        number = "" if self.index is None else f"{self.index}: "
        known_as = f" [{self.pulse_name}]" if self.pulse_name else ""
        notes = ["monitor"] * self.is_monitor + ["default"] * self.is_default
        return f"{number}{self.name}{known_as} ({', '.join([self.host, f'{self.default_rate} Hz', *notes])})"


def word(kind: Kind) -> str:
    """Return the word for such a device in messages."""
    return _WORDS[kind]


def list_devices() -> list[AudioDevice]:
    """Return all inputs and outputs: those of PulseAudio first, then PortAudio's by number.

    Raises:
        DeviceError: if PortAudio is not installed.
    """
    with portaudio.lock:
        sounddevice = portaudio.library()
        hosts = [host["name"] for host in sounddevice.query_hostapis()]
        rows = list(sounddevice.query_devices())
        defaults = {kind: _default_number(kind) for kind in _WORDS}
    listed = _pulse_devices()
    for index, row in enumerate(rows):
        host = hosts[row["hostapi"]]
        # ALSA reports an arbitrary default rate for a converting device; PulseAudio works at 48 kHz mostly.
        rate = 48_000 if host == "ALSA" and row["name"] in ("pulse", "default") else round(row["default_samplerate"])
        for kind in _WORDS:
            channels = row[f"max_{kind}_channels"]
            if channels:
                listed.append(AudioDevice(row["name"], kind, index, channels, rate, index == defaults[kind], host))
    return listed


def find_input(spec: str | int | None) -> AudioDevice:
    """Return the microphone that `spec` names.

    Args:
        spec: PortAudio's number; a name, or a part of one that only one has; None for the system's default.

    Raises:
        DeviceError: if there is none or more than one, or what is needed to open it is missing.
    """
    return _find("input", spec)


def find_output(spec: str | int | None) -> AudioDevice:
    """Return the sound output that `spec` names; see `find_input`."""
    return _find("output", spec)


def find_again(device: AudioDevice) -> AudioDevice:
    """Return the same device as it is known now.

    Raises:
        DeviceError: if it is not there.
    """
    for found in list_devices():
        if _identity(found) == _identity(device):
            return found
    raise DeviceError(f"{word(device.kind)} {device.name!r} is not there")


def route(device: AudioDevice) -> tuple[int, dict[str, str]]:
    """Return the number that PortAudio is to open, and the environment to do it in.

    Raises:
        DeviceError: if it is a device of PulseAudio, and ALSA has no plug-in for it.
    """
    if device.index is not None:
        return device.index, {}
    assert device.pulse_name is not None
    with portaudio.lock:
        names = [row["name"] for row in portaudio.library().query_devices()]
    if "pulse" not in names:
        raise DeviceError(
            f"{word(device.kind)} {device.name!r} belongs to PulseAudio, and ALSA's plugin for it is missing "
            "(Debian, Ubuntu: apt install libasound2-plugins; Fedora: dnf install alsa-plugins-pulseaudio)"
        )
    variable = "PULSE_SOURCE" if device.kind == "input" else "PULSE_SINK"
    return names.index("pulse"), {variable: device.pulse_name}


def _default_number(kind: Kind) -> int | None:
    sounddevice = portaudio.library()
    try:
        return int(sounddevice.query_devices(kind=kind)["index"])
    except sounddevice.PortAudioError:
        return None


def _pulse_devices() -> list[AudioDevice]:
    if not sys.platform.startswith("linux") or not pulse.is_available():
        return []
    listed = []
    kinds: tuple[tuple[Kind, list[pulse.PulseDevice]], ...] = (("input", pulse.sources()), ("output", pulse.sinks()))
    for kind, found in kinds:
        for one in found:
            known = (one.description, kind, None, one.channels, one.rate, one.is_default)
            listed.append(AudioDevice(*known, PULSE_HOST, one.name, one.is_monitor))
    return listed


def _find(kind: Kind, spec: str | int | None) -> AudioDevice:
    devices = [device for device in list_devices() if device.kind == kind]
    if spec is None:
        found = _default(kind, devices)
    elif isinstance(spec, int) or spec.strip().isdecimal():
        numbered = [device for device in devices if device.index == int(spec)]
        if not numbered:
            raise DeviceError(f"{word(kind)}: there is no number {spec}{_listing(devices)}")
        found = numbered[0]
    else:
        found = _by_name(kind, spec.strip(), devices)
    route(found)
    return found


def _default(kind: Kind, devices: list[AudioDevice]) -> AudioDevice:
    if any(device.is_default and device.is_monitor for device in devices):
        raise DeviceError(
            f"{word(kind)}: none is connected, the system's default is only the sound that it plays; "
            f"connect one, or name what is to be heard{_listing(devices)}"
        )
    # The number, not the sink or source behind it: so it follows when the user changes the default.
    found = [device for device in devices if device.is_default and device.index is not None]
    if not found:
        raise DeviceError(f"{word(kind)}: the system has no default{_listing(devices)}")
    return found[0]


def _by_name(kind: Kind, spec: str, devices: list[AudioDevice]) -> AudioDevice:
    wanted = spec.casefold()
    ways: tuple[Callable[[str], bool], ...] = (
        lambda name: name == spec,
        lambda name: name.casefold() == wanted,
        lambda name: wanted in name.casefold(),
    )
    for way in ways:
        matches = [device for device in devices if wanted and any(way(name) for name in _names(device))]
        best = [device for device in matches if _rank(device) == min(map(_rank, matches))]
        if len(best) > 1:
            raise DeviceError(f"{word(kind)}: {spec!r} could be any of these; say more of the name{_lines(best)}")
        if best:
            return best[0]
    raise DeviceError(f"{word(kind)}: there is none named {spec!r}{_listing(devices)}")


def _names(device: AudioDevice) -> list[str]:
    return [device.name] if device.pulse_name is None else [device.name, device.pulse_name]


def _rank(device: AudioDevice) -> tuple[bool, int]:
    return device.is_monitor, _HOSTS.index(device.host) if device.host in _HOSTS else len(_HOSTS)


def _identity(device: AudioDevice) -> tuple[str, str, str]:
    return device.kind, device.host, device.pulse_name or device.name


def _listing(devices: list[AudioDevice]) -> str:
    return "; there are:" + _lines(devices) if devices else "; there are none at all"


def _lines(devices: list[AudioDevice]) -> str:
    return "".join(f"\n  {device}" for device in devices)
