"""Checks of the machine: what a live stream needs, each with what to do where it is missing."""

from __future__ import annotations

import asyncio
import platform
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from presenter.config import AppConfig
from presenter.errors import PresenterError
from presenter.runtime.quality_ladder import FULL_RATE_MS


class MissingError(PresenterError):
    """Something is not here that only a part of the program needs; says what to install."""


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    message: str
    optional: bool = False
    """Not there, and the rest works without it."""

    @property
    def mark(self) -> str:
        """The finding in a word: `ok`, `missing` (optional) or `FAIL`."""
        return "ok" if self.ok else "missing" if self.optional else "FAIL"


def check_machine(config: AppConfig) -> list[Check]:
    """Run all checks; none of them changes anything."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", lambda: platform.python_version()),
        ("presenters", lambda: _presenters(config)),
        ("networks and one frame", lambda: _one_frame(config)),
        ("video codec", _codecs),
        ("face tracker (enrolment)", _tracker),
        ("voice (optional)", _voice),
        ("microphone", _microphone),
        ("virtual microphone", _virtual_microphone),
        ("virtual camera", _virtual_camera),
        ("port", lambda: _port(config)),
    ]
    return [_run(name, check) for name, check in checks]


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except MissingError as error:
        return Check(name, False, str(error), optional=True)
    except Exception as error:  # whatever is broken is what this command is asked for
        return Check(name, False, str(error) or type(error).__name__)


def _presenters(config: AppConfig) -> str:
    from presenter.runtime.identities import IdentityStore

    entries = IdentityStore(config.presenters_dir).entries()
    names = [entry.name for entry in entries if not entry.problem]
    if damaged := [entry.problem for entry in entries if entry.problem]:
        raise PresenterError("; ".join([f"{', '.join(names)} can be used", *damaged]))
    if not names:
        raise PresenterError("expected at least the presenter 'default', found none; reinstall the package")
    return ", ".join(names)


def _one_frame(config: AppConfig) -> str:
    from presenter.runtime.engine import Engine
    from presenter.runtime.identities import DEFAULT, IdentityStore
    from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk

    renderer = Engine.load(config).renderer(IdentityStore(config.presenters_dir).load(DEFAULT))
    times = []
    for k in range(15):
        chunk = AudioChunk(np.zeros(CHUNK_SAMPLES, np.float32), np.zeros(PLAYOUT_SAMPLES, np.int16), k * CHUNK_SAMPLES)
        started = time.perf_counter()
        renderer.push(chunk)
        times.append(1000 * (time.perf_counter() - started))
    renderer.close()
    typical = float(np.median(times[5:]))
    return _pace(typical)


def _pace(frame_ms: float) -> str:
    """What a machine that takes so long for a frame can show."""
    if frame_ms <= FULL_RATE_MS:
        return f"a frame takes {frame_ms:.0f} ms of the 40 ms it may: 25 frames a second"
    if frame_ms <= 2 * FULL_RATE_MS:
        return (
            f"a frame takes {frame_ms:.0f} ms: 12.5 frames per second (every second one is rendered), sound whole;"
            f" 25 need at most {FULL_RATE_MS:.0f} ms"
        )
    raise PresenterError(
        f"a frame takes {frame_ms:.0f} ms; even 12.5 frames per second need at most {2 * FULL_RATE_MS:.0f}"
    )


def _codecs() -> str:
    import av

    for name in ("libvpx", "libx264", "libopus"):
        av.codec.Codec(name, "w")
    return "VP8, H.264 and Opus encoders are there"


def _tracker() -> str:
    from models.tracker import FaceTracker

    FaceTracker(video=False).close()
    return "its networks can be loaded"


def _voice() -> str:
    from presenter.tts.voice import missing

    if (what := missing()) is not None:
        raise MissingError(what)
    return "a voice is built in: presenter say"


def _microphone() -> str:
    from stream.errors import DeviceError
    from stream.sound.devices import find_input, list_devices

    try:
        default = find_input(None)
    except DeviceError as error:
        raise MissingError(f"presenter camera needs one, the web page uses the browser's. {error}") from error
    count = sum(device.kind == "input" and not device.is_monitor for device in list_devices())
    return f"{default.name} is the default of {count}"


def _virtual_microphone() -> str:
    from presenter.meeting.virtual_microphone import find_loopback
    from stream.errors import DeviceError

    try:
        found = find_loopback()
    except DeviceError as error:
        raise MissingError(str(error)) from error
    return f"{found} is there" if found else "presenter camera makes it while it runs, as 'Presenter microphone'"


def _virtual_camera() -> str:
    from stream.camera.drivers import CameraError
    from stream.camera.virtual_camera import VirtualCamera
    from stream.clock import SessionClock
    from stream.framing.canvas import Canvas

    camera = VirtualCamera(SessionClock(), Canvas(), delay_ms=0)
    try:
        camera.open()
        return f"{camera.device} can be opened"
    except CameraError as error:
        raise MissingError(str(error)) from error
    finally:
        asyncio.run(camera.close())


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
