"""A sound server of its own for tests with real sound: no card, no configuration of the machine's user."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest


class PulseServer:
    """A private PulseAudio with two null sinks: `talk`, heard at `talk.monitor`, and `vmic`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []
        self._modules: dict[str, str] = {}

    def start(self) -> None:
        loads = [f"module-native-protocol-unix socket={self._folder}/native auth-anonymous=1"]
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        self._server = subprocess.Popen(
            [*command, *(part for load in loads for part in ("-L", load))], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while subprocess.run(["pactl", "info"], capture_output=True, timeout=10).returncode:
            assert time.monotonic() < deadline, "the sound server does not answer"
            time.sleep(0.05)
        self.plug("talk")
        self.plug("vmic")

    def stop(self) -> None:
        for process in [*self._players, *([self._server] if self._server else [])]:
            process.kill()
            process.wait(10)
        self._players, self._server = [], None

    def pactl(self, *arguments: str) -> str:
        return subprocess.run(["pactl", *arguments], check=True, capture_output=True, timeout=10, text=True).stdout

    def plug(self, sink: str, rate: int = 48_000, description: str = "") -> None:
        """Make a null sink; its monitor is a microphone that hears what is played into it."""
        named = [f"sink_properties='device.description=\"{description}\"'"] if description else []
        loaded = self.pactl("load-module", "module-null-sink", f"sink_name={sink}", f"rate={rate}", *named)
        self._modules[sink] = loaded.strip()

    def unplug(self, sink: str) -> None:
        self.pactl("unload-module", self._modules.pop(sink))

    def play(self, sink: str, pcm: np.ndarray, rate: int = 48_000) -> None:
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


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    """The sound server, and PortAudio looking at it."""
    if not sys.platform.startswith("linux") or shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        pytest.skip("needs PulseAudio (Debian: apt install pulseaudio pulseaudio-utils)")
    try:
        from stream import portaudio

        portaudio.library()
    except Exception as error:
        pytest.skip(f"needs PortAudio: {error}")
    with tempfile.TemporaryDirectory(prefix="pulse") as name:
        for key in ("XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH"):
            monkeypatch.setenv(key, name)
        monkeypatch.setenv("PULSE_SERVER", f"unix:{name}/native")
        monkeypatch.setenv("PULSE_COOKIE", f"{name}/cookie")
        for key in ("PULSE_SINK", "PULSE_SOURCE"):
            monkeypatch.delenv(key, raising=False)
        server = PulseServer(Path(name))
        try:
            server.start()
            portaudio.restart()
            if not any(row["name"] == "pulse" for row in portaudio.library().query_devices()):
                pytest.skip("needs ALSA's plugin for PulseAudio (Debian: apt install libasound2-plugins)")
            yield server
        finally:
            server.stop()
            monkeypatch.undo()
            portaudio.restart()


@pytest.fixture(scope="session")
def pitch() -> Callable[[np.ndarray, int], float]:
    """Return the strongest frequency of float `[N]` at a rate, in Hz."""

    def strongest(pcm: np.ndarray, rate: int) -> float:
        spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), 8 * len(pcm)))
        return float(np.argmax(spectrum)) * rate / (8 * len(pcm))

    return strongest
