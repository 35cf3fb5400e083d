"""A private sound server for benchmarks and tests with real sound: needs no card, leaves the user's settings alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.errors import DeviceError
from stream.sound import portaudio, pulse

_OURS = ("XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH", "PULSE_SERVER", "PULSE_COOKIE")
_NOT_SET = ("PULSE_SINK", "PULSE_SOURCE")


class PulseServer:
    """A private PulseAudio with two null sinks: `talk`, recorded from `talk.monitor`, and `vmic`."""

    def __init__(self, folder: Path) -> None:
        """Start nothing yet; `folder` is the server's."""
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        self._modules: dict[str, str] = {}

    def start(self) -> None:
        """Start it and plug in its sinks.

        Raises:
            DeviceError: if it does not answer.
        """
        loads = [f"module-native-protocol-unix socket={self._folder}/native auth-anonymous=1"]
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        self._server = subprocess.Popen(
            [*command, *(part for load in loads for part in ("-L", load))], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while not pulse.is_available():
            if time.monotonic() > deadline:
                raise DeviceError("a PulseAudio server was started and does not answer")
            time.sleep(0.05)
        self.plug("talk")
        self.plug("vmic")

    def stop(self) -> None:
        """End it and its players."""
        for process in [*self._players, *([self._server] if self._server else [])]:
            process.kill()
            process.wait(10)
        self._players, self._server = [], None

    def pactl(self, *arguments: str) -> str:
        """Run a `pactl` command; returns its output."""
        return pulse.pactl(*arguments)

    def plug(self, sink: str, rate: int = 48_000, description: str = "") -> None:
        """Make a null sink; its monitor is a microphone that records what is played into it."""
        named = [pulse.named("sink", description)] if description else []
        loaded = self.pactl("load-module", "module-null-sink", f"sink_name={sink}", f"rate={rate}", *named)
        self._modules[sink] = loaded.strip()

    def unplug(self, sink: str) -> None:
        """Remove a null sink and its monitor."""
        self.pactl("unload-module", self._modules.pop(sink))

    def play(self, sink: str, pcm: npt.NDArray[np.generic], rate: int = 48_000) -> None:
        """Play int16 mono `[N]` into a sink, from a process of its own, without waiting for the end."""
        path = self._folder / f"{len(self._players)}.raw"
        path.write_bytes(pcm.astype("<i2").tobytes())
        command = ["pacat", "--playback", f"--device={sink}", f"--rate={rate}", "--channels=1", "--format=s16le"]
        self._players.append(subprocess.Popen([*command, "--latency-msec=20", str(path)]))

    def play_tone(
        self, sink: str, frequency: float, seconds: float, *, amplitude: float = 0.25, rate: int = 48_000
    ) -> None:
        """Play a sine; an idle sink may change its own rate to that of what is played."""
        times = np.arange(round(seconds * rate)) / rate
        self.play(sink, np.rint(32767 * amplitude * np.sin(2 * np.pi * frequency * times)), rate)


@contextlib.contextmanager
def private_server() -> Iterator[PulseServer]:
    """Run a server; within the block the environment and PortAudio use it.

    Raises:
        DeviceError: if it is not available on this machine; says what to install.
    """
    if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        raise DeviceError("needs PulseAudio (Debian, Ubuntu: apt install pulseaudio pulseaudio-utils)")
    portaudio.library()
    before = {key: os.environ.get(key) for key in (*_OURS, *_NOT_SET)}
    with tempfile.TemporaryDirectory(prefix="pulse") as name:
        os.environ.update(dict.fromkeys(_OURS, name) | {"PULSE_SERVER": f"unix:{name}/native"})
        os.environ["PULSE_COOKIE"] = f"{name}/cookie"
        for key in _NOT_SET:
            os.environ.pop(key, None)
        server = PulseServer(Path(name))
        try:
            server.start()
            portaudio.restart()
            if not any(row["name"] == "pulse" for row in portaudio.library().query_devices()):
                raise DeviceError("needs ALSA's plugin for PulseAudio (Debian, Ubuntu: apt install libasound2-plugins)")
            yield server
        finally:
            server.stop()
            for key, value in before.items():
                os.environ.pop(key, None)
                if value is not None:
                    os.environ[key] = value
            portaudio.restart()
