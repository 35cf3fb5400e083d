"""Videos of the shipped presenter, as telephones make them: rotated, HEVC, at a variable rate."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.runtime.offline import render_frames
from presenter.tts.say import SpokenText
from presenter.tts.voice import Voice
from stream.files.reader import AudioFile

QUIET_S = 3
TEXT = "Five brave men found the blue boat by the pier. She saw a whole show of it."


@cache
def frames() -> np.ndarray:
    """`[T, 512, 512, 3]` at 25 fps: first quiet for `QUIET_S`, then talking."""
    spoken = SpokenText(Voice.load(), TEXT)
    speech = np.concatenate(list(spoken.pieces()), 1)
    quiet = np.zeros((speech.shape[0], QUIET_S * spoken.rate), np.float32)
    renderer = Engine.load(load_config("tiny")).renderer(IdentityStore(Path("none")).load("default"))
    sound = AudioFile(np.concatenate([quiet, speech], 1), spoken.rate)
    return np.stack([frame.rgb for frame in render_frames(renderer, sound)])


def write(
    path: Path,
    pictures: np.ndarray,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    rate: int = 25,
    times: list[int] | None = None,
) -> Path:
    """Encode a video; `times` are those of the frames in milliseconds, else `rate` gives them."""
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = (
            {"crf": "16", "preset": "ultrafast"} if codec != "libvpx-vp9" else {"crf": "20", "cpu-used": "8"}
        )
        if times:
            stream.time_base = Fraction(1, 1000)
        for number, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
