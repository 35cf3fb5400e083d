"""Checks of the machine: what a live stream needs, each with what to do where it is missing."""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from presenter.config import AppConfig
from presenter.errors import PresenterError


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    message: str


def check_machine(config: AppConfig) -> list[Check]:
    """Run all checks; none of them changes anything."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: platform.python_version()),
        ("presenters", lambda: _presenters(config)),
        ("networks and one frame", lambda: _one_frame(config)),
        ("video codec", _codecs),
        ("face tracker (enrolment)", _tracker),
        ("voice (optional)", _voice),
        ("audio devices (optional)", _devices),
        ("port", lambda: _port(config)),
    ]
    return [_run(name, check) for name, check in checks]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # whatever is broken is what this command is asked for
        return Check(name, False, str(error) or type(error).__name__)


def _presenters(config: AppConfig) -> str:
    from presenter.identities import IdentityStore

    names = IdentityStore(config.presenters_dir).names()
    if not names:
        raise PresenterError("expected at least the presenter 'default', found none; reinstall the package")
    return ", ".join(names)


def _one_frame(config: AppConfig) -> str:
    from presenter.engine import Engine
    from presenter.identities import DEFAULT, IdentityStore
    from stream.media import CHUNK_SAMPLES, VOICE_SAMPLES, AudioChunk

    renderer = Engine.load(config).renderer(IdentityStore(config.presenters_dir).load(DEFAULT))
    times = []
    for k in range(15):
        chunk = AudioChunk(np.zeros(CHUNK_SAMPLES, np.float32), np.zeros(VOICE_SAMPLES, np.int16), k * CHUNK_SAMPLES)
        started = time.perf_counter()
        renderer.push(chunk)
        times.append(1000 * (time.perf_counter() - started))
    renderer.close()
    typical = float(np.median(times[5:]))
    if typical > 40:
        raise PresenterError(f"a frame takes {typical:.0f} ms; 25 frames per second need less than 40")
    return f"a frame takes {typical:.0f} ms of the 40 ms it may"


def _codecs() -> str:
    import av

    for name in ("libvpx", "libx264", "libopus"):
        av.codec.Codec(name, "w")
    return "VP8, H.264 and Opus encoders are there"


def _tracker() -> str:
    from models.tracker import FaceTracker

    FaceTracker(video=False).close()
    return "mediapipe is there"


def _voice() -> str:
    from presenter.voice import missing

    return missing() or "a voice is built in: presenter say"


def _devices() -> str:
    try:
        import sounddevice
    except OSError:
        return "PortAudio is not installed; the web page does not need it (Debian: apt install libportaudio2)"
    return f"{len(sounddevice.query_devices())} found; the web page does not need them"


def _port(config: AppConfig) -> str:
    server = config.server
    family, kind, _, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise PresenterError(f"{server.host}:{server.port} can't be bound ({error}); use --port") from error
    return f"{server.host}:{server.port} is free"
