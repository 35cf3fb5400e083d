"""PulseAudio by its command `pactl`: its sinks and sources, and a virtual microphone for other programs.

PipeWire answers the same command (package pipewire-pulse); that is untested. What is read is the text of
`pactl list`, because versions before 16 know no JSON. Why not by libpulse: docs/adr/0012.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from stream.errors import DeviceError

Facility = Literal["sinks", "sources"]

SINK, SOURCE = "presenter", "presenter_mic"
SINK_NAME, SOURCE_NAME = "Presenter voice", "Presenter microphone"
"""Their names in other programs."""
_TIMEOUT_S = 5.0
_RATE = re.compile(r"(\d+)ch (\d+)Hz")


@dataclass(frozen=True, slots=True)
class PulseDevice:
    """A sink or a source of the sound server."""

    index: int
    """A new one each time that the device appears."""
    name: str
    description: str
    channels: int
    rate: int
    """In Hz."""
    is_default: bool
    is_monitor: bool
    """Whether it is the monitor of a sink, not a microphone."""


def pactl(*arguments: str) -> str:
    """Run `pactl` and return what it prints.

    Raises:
        DeviceError: if it is not there, gets no answer from the server, or fails.
    """
    # The texts are parsed: no translation, but names in any script.
    environment = os.environ | {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
    command = ["pactl", *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise DeviceError("pactl is not installed (Debian: apt install pulseaudio-utils)") from None
    except subprocess.TimeoutExpired:
        raise DeviceError(f"`{' '.join(command)}`: no answer from the sound server in {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        raise DeviceError(f"`{' '.join(command)}` failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def is_available() -> bool:
    """Return whether a sound server answers."""
    if shutil.which("pactl") is None:
        return False
    try:
        pactl("info")
    except DeviceError:
        return False
    return True


def sinks() -> list[PulseDevice]:
    """Return the outputs of the sound server.

    Raises:
        DeviceError: if the server doesn't answer.
    """
    return _devices("sinks", "Default Sink")


def sources() -> list[PulseDevice]:
    """Return the inputs of the sound server, monitors of its sinks included.

    Raises:
        DeviceError: if the server doesn't answer.
    """
    return _devices("sources", "Default Source")


def index_of(facility: Facility, name: str) -> int | None:
    """Return the index of the sink or source of this name; None if it is gone, or the server is."""
    try:
        rows = [line.split("\t") for line in pactl("list", "short", facility).splitlines()]
    except DeviceError:
        return None
    return next((int(row[0]) for row in rows if len(row) > 1 and row[1] == name), None)


def _devices(facility: Facility, default_key: str) -> list[PulseDevice]:
    default = _fields(pactl("info")).get(default_key, "")
    found = []
    for entry in re.split(r"^(?:Sink|Source) #", pactl("list", facility), flags=re.MULTILINE)[1:]:
        fields = _fields(entry)
        name, sample = fields.get("Name", ""), _RATE.search(fields.get("Sample Specification", ""))
        channels, rate = (int(sample[1]), int(sample[2])) if sample else (2, 48_000)
        is_monitor = facility == "sources" and fields.get("Monitor of Sink", "n/a") != "n/a"
        description = fields.get("Description", name)
        index = int(entry.splitlines()[0])
        found.append(PulseDevice(index, name, description, channels, rate, name == default, is_monitor))
    return found


def _fields(text: str) -> dict[str, str]:
    """Return the lines `key: value` of the first level."""
    lines = (line.removeprefix("\t").partition(": ") for line in text.splitlines() if not line.startswith("\t\t"))
    return {key: value for key, separator, value in lines if separator}


class VirtualMicrophone:
    """A sink to play to, and a source on which other programs receive that as a microphone; a context.

    The microphone is a source of its own because browsers hide monitors. What is there already, from a user's
    configuration or a run that crashed, is used and left; the rest is removed at the end.
    """

    sink, source = SINK, SOURCE

    def __init__(self) -> None:
        """Do nothing yet."""
        self._modules: list[str] = []

    def __enter__(self) -> VirtualMicrophone:
        """Make what is missing.

        Raises:
            DeviceError: if the server doesn't answer or can't make it.
        """
        before = _fields(pactl("info"))
        try:
            self._make()
            # The server may make a new device the default, and move streams that follow the default to it.
            for kind in ("sink", "source"):
                if chosen := before.get(f"Default {kind.capitalize()}"):
                    pactl(f"set-default-{kind}", chosen)
        except DeviceError:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was made."""
        self._remove()

    def _make(self) -> None:
        has_sink = index_of("sinks", SINK) is not None
        has_source = index_of("sources", SOURCE) is not None
        if not has_sink:
            self._load("module-null-sink", f"sink_name={SINK}", "rate=48000", named("sink", SINK_NAME))
            if has_source:  # the server has tied it to another sink when its own was removed
                _unload_source()
                has_source = False
        if not has_source:
            master = f"master={SINK}.monitor"
            self._load("module-remap-source", master, f"source_name={SOURCE}", named("source", SOURCE_NAME))

    def _load(self, module: str, *arguments: str) -> None:
        self._modules.append(pactl("load-module", module, *arguments).strip())

    def _remove(self) -> None:
        while self._modules:
            with contextlib.suppress(DeviceError):  # already removed, or the server is gone
                pactl("unload-module", self._modules.pop())


def named(kind: Literal["sink", "source"], description: str) -> str:
    """Return the argument of a module that sets the description of its sink or source."""
    # The server removes the outer quotes, and the parser of properties the inner ones.
    return f"{kind}_properties='device.description=\"{description}\"'"


def _unload_source() -> None:
    for line in pactl("list", "short", "modules").splitlines():
        if f"source_name={SOURCE} " in f"{line} ":
            pactl("unload-module", line.split("\t")[0])
