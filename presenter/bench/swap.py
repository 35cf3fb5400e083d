"""Benchmark of the live face swap: processor time per picture of a webcam, by stage."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from models.mesh import canonicalise
from models.tracker import FaceTracker
from presenter.bench.stopwatch import Stopwatch
from presenter.config import AppConfig
from presenter.errors import PresenterError
from presenter.meeting.swap_renderer import fitted
from presenter.runtime.identities import IdentityStore
from presenter.video.face_track import Face
from presenter.video.live_swap import LiveSwap
from presenter.video.swap import labelled, source_texture
from stream.media import FPS, ByteArray

_USER, _FACE = "default", "sam"  # shipped characters: nobody's consent is needed to measure
_SIZES = {"640x480": (640, 480), "720p": (1280, 720)}
_FILLS = 0.9  # of the picture's height, by the user's own square frame
_CAMERA = 1280, 720
_LEARNING = FPS + 1  # pictures at first, of which none is shown


def run_swap_bench(config: AppConfig, seconds: float) -> dict[str, Any]:
    """Measure on this machine, in one thread.

    Args:
        config: Whose presenters.
        seconds: Of pictures, at 25 a second.

    Returns:
        Milliseconds of one core per picture (min, p50, p95), by size of the webcam's picture and by stage.
    """
    cv2.setNumThreads(1)
    store = IdentityStore(config.presenters_dir)
    user, face = store.load(_USER).identity.frame, store.load(_FACE)
    return {
        name: _time(_webcam_picture(user, size), LiveSwap(source_texture(face)), round(seconds * FPS))
        for name, size in _SIZES.items()
    }


def _time(rgb: ByteArray, swap: LiveSwap, count: int) -> dict[str, Any]:
    stages = {name: Stopwatch() for name in ("track", "swap", "frame and label")}
    with FaceTracker(video=True, max_faces=3) as tracker:
        for number in range(_LEARNING + count):
            # Nobody sits still: with a face that moves nothing can be kept from the last picture.
            moved = np.roll(rgb, round(8 * np.sin(number / 5)), 1)
            faces = stages["track"](tracker.track, moved)
            if len(faces) != 1:
                raise PresenterError(f"expected one face in the picture to measure with, found {len(faces)}")
            made = stages["swap"](swap.swap, moved, Face(*canonicalise(faces[0])), number / FPS)
            if made is not None:
                stages["frame and label"](lambda picture: labelled(fitted(picture, _CAMERA)), made)
    kept = {"track": _LEARNING, "swap": _LEARNING, "frame and label": 1}
    figures = {name: stopwatch.summary(kept[name]) for name, stopwatch in stages.items()}
    return figures | {"sum of p50": sum(figure["p50"] for figure in figures.values())}


def _webcam_picture(user: ByteArray, size: tuple[int, int]) -> ByteArray:
    """The user in the middle of a picture of a size `(width, height)`."""
    width, height = size
    side = round(_FILLS * height)
    small = cv2.resize(user, (side, side), interpolation=cv2.INTER_AREA)
    left, right = (width - side) // 2, width - side - (width - side) // 2
    edges = height - side, 0, left, right
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
