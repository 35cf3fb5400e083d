"""Untrusted photos, decoded in a process that can be stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from presenter.errors import EnrollError

WALL_S = 30.0
_POLL_S = 0.1
_MAX_BYTES = 200 << 20
_WORKER = Path(__file__).with_name("photo_worker.py")


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo, upright by its EXIF orientation, in sRGB."""

    rgb: NDArray[np.uint8]
    """`[H, W, 3]`."""
    alpha: NDArray[np.uint8] | None
    """`[H, W]`, 0 where the image is transparent; None if it is opaque."""


class DecodingStoppedError(EnrollError):
    """The program ends, and the photo with it."""


def decode_photo(path: Path, stop: threading.Event | None = None, *, wall_s: float = WALL_S) -> Photo:
    """Decode a photo within limits of time and memory.

    Args:
        path: A JPEG, PNG, WebP or AVIF, recognised by content; HEIC where the package pillow-heif is installed.
        stop: Set from another thread to cancel.
        wall_s: Seconds after which it is cancelled.

    Raises:
        EnrollError: If it is no photo, damaged, too large, or takes too long; says which.
        DecodingStoppedError: If `stop` was set.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _MAX_BYTES:
                raise EnrollError(f"{path.name}: expected a photo of at most {_MAX_BYTES >> 20} MB")
            answer = _run(file.fileno(), path.name, stop or threading.Event(), wall_s)
    except OSError as error:
        raise EnrollError(f"{path.name}: expected a photo, could not read it ({error.strerror})") from error
    return _unpack(answer, path.name)


def _run(file: int, name: str, stop: threading.Event, wall_s: float) -> bytes:
    # One thread per library: they reserve addresses for each, and those are limited.
    single = {key: "1" for key in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", str(_WORKER)],
        stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ | single,
    )  # fmt: skip
    end = time.monotonic() + wall_s
    try:
        while True:
            try:
                answer, _ = process.communicate(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    raise DecodingStoppedError(f"{name}: the program ended before the photo was decoded") from None
                if time.monotonic() > end:
                    raise EnrollError(_too_costly(name)) from None
            else:
                break
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode:  # killed by a resource limit, or by a fault of a decoder
        raise EnrollError(_too_costly(name))
    return answer


def _too_costly(name: str) -> str:
    return f"{name}: takes too much time or memory to decode; save it anew as a plain JPEG or PNG"


def _unpack(answer: bytes, name: str) -> Photo:
    head, _, pixels = answer.partition(b"\n")
    header = json.loads(head)
    if "error" in header:
        raise EnrollError(f"{name}: {header['error']}")
    width, height = header["width"], header["height"]
    flat = np.frombuffer(pixels, np.uint8)
    count = width * height
    rgb = flat[: 3 * count].reshape(height, width, 3)
    return Photo(rgb, flat[3 * count :].reshape(height, width) if header["alpha"] else None)
