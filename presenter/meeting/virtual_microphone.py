"""Which output a meeting hears as a microphone, system by system, and what to install where there is none."""

from __future__ import annotations

import platform
import shutil
from contextlib import ExitStack

from stream.errors import DeviceError
from stream.sound import pulse
from stream.sound.devices import list_devices

_LOOPBACKS = {
    "Darwin": ("BlackHole", "install BlackHole: brew install blackhole-2ch"),
    "Windows": ("CABLE Input", "install VB-Cable from https://vb-audio.com/Cable and restart"),
}
_NO_PACTL = "pactl is not here; install it (Debian, Ubuntu, Fedora: pulseaudio-utils, Arch: libpulse)"
_NO_SERVER = (
    "neither PulseAudio nor PipeWire (with pipewire-pulse) is running;"
    " start one: systemctl --user start pipewire-pulse, or pulseaudio --start"
)


def find_loopback(system: str | None = None) -> str:
    """Name of the loopback device of a system that has one installed, or nothing where the sound server makes one.

    Raises:
        DeviceError: if there is neither; says what to install.
    """
    system = system or platform.system()
    if system not in _LOOPBACKS:
        if not pulse.is_available():
            raise DeviceError(_NO_PACTL if shutil.which("pactl") is None else _NO_SERVER)
        return ""
    wanted, advice = _LOOPBACKS[system]
    if not any(wanted in device.name for device in list_devices()):
        raise DeviceError(f"presenter camera needs one for the voice; {advice}")
    return wanted


def choose_output(wanted: str, stack: ExitStack) -> str:
    """Name of the output for a voice.

    Args:
        wanted: a device, or `auto` for the virtual microphone.
        stack: removes at its end what has to be made for it.

    Raises:
        DeviceError: if there is no virtual microphone and none can be made.
    """
    if wanted != "auto":
        return wanted
    return find_loopback() or stack.enter_context(pulse.VirtualMicrophone()).sink


def heard_as(output: str) -> str:
    """What a meeting calls the microphone that says what is played into an output."""
    if output == pulse.SINK_NAME:
        return pulse.SOURCE_NAME
    return output.replace("CABLE Input", "CABLE Output")
