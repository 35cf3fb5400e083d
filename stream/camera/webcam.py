"""The user's webcam: only its newest frame is kept, without a queue."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import cv2

from stream.clock import SessionClock
from stream.errors import StreamError
from stream.media import SAMPLE_RATE, ByteArray

TO_FOLLOW, TO_SHOW = (640, 480), (1280, 720)
"""Sizes: enough for a face, at little cost; and what a meeting shows."""

_RATE = 30
_RETRY_S = 2.0
_NAP_S = 0.02
_CLOSING_S = 2.0
_SYSTEM = Path("/sys/class/video4linux")
_LISTING = {
    "linux": "`v4l2-ctl --list-devices` (package v4l-utils) lists them",
    "darwin": "`system_profiler SPCameraDataType` lists them, and the terminal needs the permission to use the camera "
    "(System Settings, Privacy & Security)",
    "win32": "`Get-PnpDevice -Class Camera` in PowerShell lists them",
}

WebcamState = Literal["live", "lost", "ended"]

_log = logging.getLogger(__name__)


class WebcamError(StreamError):
    """A camera or video can't be opened; says what was expected and how to list cameras."""


@dataclass(frozen=True, slots=True, eq=False)
class WebcamPicture:
    """One frame of a camera."""

    rgb: ByteArray
    """uint8 `[H, W, 3]`."""
    number: int
    """Counts from 1; frames that were not fetched are counted too."""
    time: int
    """When it arrived, in samples at 16 kHz of the session's clock."""


class Webcam:
    """Reads a camera in a thread of its own and keeps the newest frame.

    A camera that was lost is reopened when it is back. A video file plays once, at its own rate.
    Opening a camera may take seconds: don't make one on an event loop.
    """

    def __init__(
        self,
        source: int | str,
        clock: SessionClock,
        open_capture: Callable[[int | str], Any] | None = None,
        size: tuple[int, int] = TO_FOLLOW,
    ) -> None:
        """Open it and wait for its first frame.

        Args:
            source: a camera's index (0 is the first), on Linux also its path, or a video file.
            clock: stamps the frames, and plays a file.
            open_capture: makes the `cv2.VideoCapture`; an argument so that tests can simulate a lost camera.
            size: `(width, height)` of the frames that are asked for; not every camera gives them.

        Raises:
            WebcamError: if it can't be opened, or gives no frame.
        """
        self.source = int(source) if isinstance(source, str) and source.isdecimal() else source
        self._clock = clock
        self._begun = clock.now()
        self._size = size
        self._open = open_capture or partial(_open, size=size)
        self._is_file = isinstance(self.source, str) and Path(self.source).is_file()
        capture = self._open(self.source)
        self._newest: WebcamPicture | None = None
        self._count = 0
        self._state: WebcamState = "live"
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        if not self._fetch(capture):
            capture.release()
            raise WebcamError(_cannot_open(self.source))
        self._thread = threading.Thread(target=self._run, args=(capture,), name="webcam", daemon=True)
        self._thread.start()

    @property
    def state(self) -> WebcamState:
        """`live`, `lost` while a camera can't be opened, or `ended` after a file's last frame."""
        return self._state

    def newest(self, after: int = 0, timeout_s: float = 0.0) -> WebcamPicture | None:
        """The newest frame, once there is one with a number above `after`; None if none arrives in time."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._count > after or self._closing.is_set(), timeout_s)
            return self._newest if self._count > after else None

    def close(self) -> None:
        """Close the camera; safe to call twice."""
        self._closing.set()
        with self._arrived:
            self._arrived.notify_all()
        self._thread.join(_CLOSING_S)  # an unplugged camera may block its reader for longer

    def __enter__(self) -> Webcam:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, capture: Any) -> None:
        try:
            if self._is_file:
                self._play(capture)
                self._state = "ended"
                return
            while not self._closing.is_set():
                if not self._fetch(capture):
                    capture.release()
                    capture = self._look_for_it()
        finally:
            capture.release()

    def _fetch(self, capture: Any) -> bool:
        """Read a frame and publish it; False if there is none."""
        bgr = capture.read()[1] if capture.isOpened() else None
        if bgr is not None:
            now = self._clock.now()
            rgb = cv2.cvtColor(_shrunk(bgr, self._size[0]), cv2.COLOR_BGR2RGB)
            with self._arrived:
                self._count += 1
                self._newest = WebcamPicture(rgb, self._count, now)
                self._arrived.notify_all()
        return bgr is not None

    def _look_for_it(self) -> Any:
        """Try until the camera gives frames again, or this is closed; returns the last attempt."""
        self._state = "lost"
        _log.warning(
            "webcam %s: gives no picture any more; unplugged, or taken by another program? Trying again every %g s",
            self.source,
            _RETRY_S,
        )
        while True:
            self._closing.wait(_RETRY_S)
            capture = self._open(self.source)
            if self._closing.is_set():
                return capture
            if self._fetch(capture):
                self._state = "live"
                _log.warning("webcam %s: is back", self.source)
                return capture
            capture.release()

    def _play(self, capture: Any) -> None:
        """Publish each frame of a file at its time; late ones are dropped."""
        length = SAMPLE_RATE / (capture.get(cv2.CAP_PROP_FPS) or _RATE)
        number = 1
        while not self._closing.is_set():
            early = self._begun + number * length - self._clock.now()
            if early > 0:
                self._closing.wait(min(early / SAMPLE_RATE, _NAP_S))
                continue
            number += 1
            if not (capture.grab() if early < -length else self._fetch(capture)):
                return


def list_webcams() -> list[tuple[int, str]]:
    """Index and name of each camera; empty on systems other than Linux."""
    found = []
    for folder in _SYSTEM.glob("video*"):
        with contextlib.suppress(OSError, ValueError):  # unplugged meanwhile
            if int((folder / "index").read_text()) == 0:  # further ones carry a camera's metadata
                found.append((int(folder.name.removeprefix("video")), (folder / "name").read_text().strip()))
    return sorted(found)


def _shrunk(picture: ByteArray, width: int) -> ByteArray:
    """Return a frame `[H, W, 3]` of about the wanted width: not every camera supports it."""
    factor = picture.shape[1] // width
    return picture if factor < 2 else cv2.resize(picture, None, fx=1 / factor, fy=1 / factor)


def _open(source: int | str, size: tuple[int, int]) -> Any:
    with _quiet():
        if isinstance(source, str) and Path(source).is_file():
            return cv2.VideoCapture(source)
        backend = cv2.CAP_DSHOW if sys.platform == "win32" else cv2.CAP_ANY  # the default takes half a minute
        capture = cv2.VideoCapture(source, backend)
        width, height = size
        for name, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, _RATE),
            (cv2.CAP_PROP_BUFFERSIZE, 1),
        ):
            capture.set(name, value)
        return capture


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence OpenCV's log: the errors are reported by exceptions."""
    log = getattr(cv2.utils, "logging", cv2)  # its place in OpenCV 5, and in 4
    before = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(before)


def _cannot_open(source: int | str) -> str:
    listing = _LISTING.get(sys.platform, "see your system's settings")
    names = ", ".join(f"{index} ({name})" for index, name in list_webcams())
    found = f"found {names}" if names else "found none" if sys.platform == "linux" else "0 is the first"
    return (
        f"webcam {source}: gives no picture; expected the index of a camera that no other program uses, "
        f"or a video file; {found}; {listing}"
    )
