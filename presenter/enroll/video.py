"""Untrusted videos, decoded at 25 frames a second in a process that can be stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from presenter.enroll.decode import DecodingStoppedError
from presenter.errors import EnrollError

WALL_S = 900.0
MAX_BYTES = 2 << 30
KINDS = "MP4, MOV, WebM or MKV"
_WORKER = Path(__file__).with_name("video_worker.py")
_POLL_S = 0.1
_HEAD_BYTES = 32
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_PHOTO_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_MATROSKA = b"\x1aE\xdf\xa3"


class DecodedFrame(NamedTuple):
    """A frame of a video.

    Attributes:
        number: At 25 frames a second, from 0.
        rgb: `[H, W, 3]`, upright by the file's rotation.
    """

    number: int
    rgb: NDArray[np.uint8]


def is_video(path: Path) -> bool:
    """Whether a file begins as MP4, MOV, WebM or MKV; HEIC and AVIF, which begin alike, are photos."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_MATROSKA):
        return True
    return head[4:8] in _BOXES and head[8:12] not in _PHOTO_BRANDS


class DecodedVideo:
    """A video on disk; it can be read several times.

    Args:
        path: MP4, MOV, WebM or MKV, recognised by content.
        stop: Set from another thread to cancel.
        wall_s: Seconds after which reading is cancelled.
    """

    def __init__(self, path: Path, stop: threading.Event | None = None, *, wall_s: float = WALL_S) -> None:
        self._path = path
        self._stop = stop or threading.Event()
        self._wall_s = wall_s
        self.was_cut = False
        """Whether there is more than the minute that is read."""

    def frames(self, wanted: list[int] | None = None) -> Iterator[DecodedFrame]:
        """Decode; at most one minute, and at most 1920 pixels each way.

        Args:
            wanted: Which frames; None for all.

        Raises:
            EnrollError: If it is no video, damaged, too large, or takes too long; says which.
            DecodingStoppedError: If `stop` was set.
        """
        if not is_video(self._path):
            raise EnrollError(f"{self._path.name}: expected a video ({KINDS}), found another kind of file")
        if self._path.stat().st_size > MAX_BYTES:
            raise EnrollError(f"{self._path.name}: expected a video of at most {MAX_BYTES >> 30} GB; use a shorter one")
        command = [sys.executable, "-I", "-X", "utf8", str(_WORKER), str(self._path.absolute()), json.dumps(wanted)]
        single = os.environ | {key: "1" for key in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | single,
        )
        watch = Watch(process, self._stop, self._wall_s)
        assert process.stdout is not None
        try:
            yield from self._records(process.stdout, watch)
        finally:
            watch.end()
            process.kill()
            process.wait()
            process.stdout.close()

    def _records(self, pipe: IO[bytes], watch: Watch) -> Iterator[DecodedFrame]:
        while True:
            line = pipe.readline(1 << 16)
            if not line:  # killed: by the watch, by a resource limit, or by a fault of a decoder
                watch.check_stopped(f"{self._path.name} was decoded")
                raise EnrollError(f"{self._path.name}: takes too much time or memory to decode; {_SAVE_ANEW}")
            header = json.loads(line)
            if "error" in header:
                raise EnrollError(f"{self._path.name}: {header['error'].removeprefix(f'{self._path.absolute()}: ')}")
            if "end" in header:
                return
            if "longer" in header:
                self.was_cut = True
                continue
            height, width = header["height"], header["width"]
            pixels = pipe.read(3 * height * width)
            if len(pixels) == 3 * height * width:
                yield DecodedFrame(header["frame"], np.frombuffer(pixels, np.uint8).reshape(height, width, 3))


_SAVE_ANEW = "save it anew as a plain MP4 (H.264)"


class Watch:
    """Kills a process when it is to stop or has run for too long.

    Args:
        process: Which.
        stop: Set from another thread to cancel.
        wall_s: Seconds that it may run.
    """

    def __init__(self, process: subprocess.Popen[Any], stop: threading.Event, wall_s: float) -> None:
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(process, wall_s), daemon=True)
        self._thread.start()

    def _run(self, process: subprocess.Popen[Any], wall_s: float) -> None:
        end = time.monotonic() + wall_s
        while not self._ended.wait(_POLL_S):
            if self._stop.is_set() or time.monotonic() > end:
                process.kill()
                return

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self._thread.join()

    def check_stopped(self, before: str) -> None:
        """Say that it was cancelled, before what.

        Raises:
            DecodingStoppedError: If it was.
        """
        if self._stop.is_set():
            raise DecodingStoppedError(f"the program ended before {before}")
