"""All access to PortAudio, serialised: loading, listing, opening, closing and restarting.

PortAudio is not thread-safe outside its callbacks, and sees devices that are plugged in only after a restart,
which closes every open stream of the process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from stream.errors import DeviceError

_INSTALL = {
    "linux": "Debian, Ubuntu: apt install libportaudio2; Fedora: dnf install portaudio; Arch: pacman -S portaudio",
    "darwin": "brew install portaudio",
    "win32": "pip install --force-reinstall sounddevice",
}

lock = threading.RLock()
"""Held around every call of PortAudio."""
_open: set[Any] = set()
_restarts = 0


def library() -> Any:
    """Return the module `sounddevice`.

    Raises:
        DeviceError: if PortAudio is not installed.
    """
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(f"PortAudio can't be loaded ({error}); {_INSTALL.get(sys.platform, '')}") from None
    return sounddevice


def restarts() -> int:
    """Return how often PortAudio was restarted: a stream that was opened at another count is closed."""
    return _restarts


def others_open() -> bool:
    """Return whether any stream is open that a restart would interrupt."""
    return bool(_open)


def open_stream(class_name: str, environment: Mapping[str, str], **options: Any) -> Any:
    """Open and start a stream, with `environment` set meanwhile.

    Args:
        class_name: `InputStream` or `OutputStream` of sounddevice.
        environment: `PULSE_SINK` or `PULSE_SOURCE`, which libpulse reads while it connects.
        options: of the class.

    Raises:
        DeviceError: if PortAudio can't.
    """
    sounddevice = library()
    with lock, _changed(environment), quiet():
        stream = None
        try:
            stream = getattr(sounddevice, class_name)(**options)
            stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            if stream is not None:
                stream.close()
            raise DeviceError(str(error)) from None
        _open.add(stream)
        return stream


def close_stream(stream: Any) -> None:
    """Close a stream at once; one that a restart has closed already is left alone."""
    with lock:
        if stream in _open:
            _open.discard(stream)
            _shut(stream)


def restart() -> None:
    """Close all streams and scan for devices again."""
    global _restarts
    sounddevice = library()
    with lock:
        while _open:
            _shut(_open.pop())
        _restarts += 1
        with quiet():
            # sounddevice has no public way; its documentation names these two for it.
            sounddevice._terminate()
            sounddevice._initialize()


def _shut(stream: Any) -> None:
    # Not stop(): with a stalled device it waits for 20 s.
    with contextlib.suppress(library().PortAudioError):
        stream.abort()
    stream.close()


@contextlib.contextmanager
def _changed(environment: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep ALSA and PortAudio from writing ten lines to the terminal for each attempt that fails."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
