"""The output that other programs use as a microphone, by system, and what to install where there is none."""

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
    """Return the name of the installed loopback device, or "" where the sound server can make one.

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
        raise DeviceError(f"presenter camera needs one for its sound; {advice}")
    return wanted


def choose_output(wanted: str, stack: ExitStack) -> str:
    """Return the name of the output for delayed sound; blocks for seconds on a slow sound server.

    Args:
        wanted: a device, or `auto` for the virtual microphone.
        stack: removes at its end what was made for it.

    Raises:
        DeviceError: if there is no virtual microphone and none can be made.
    """
    if wanted != "auto":
        return wanted
    return find_loopback() or stack.enter_context(pulse.VirtualMicrophone()).sink


def microphone_name(output: str) -> str:
    """Return the name of the microphone on which other programs receive what an output plays."""
    if output == pulse.SINK_NAME:
        return pulse.SOURCE_NAME
    return output.replace("CABLE Input", "CABLE Output")
