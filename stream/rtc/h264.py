"""The H.264 codec of live video: NVENC where there is a GPU that has it (not measured), else x264."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import cache
from typing import Any

import av
from aiortc.codecs.h264 import MAX_FRAME_RATE

from stream.rtc.codec_context import reopened_codec

NVENC, X264 = "h264_nvenc", "libx264"
_PROBE_SIDE = 256  # NVENC refuses pictures of less than 145 pixels
_OPTIONS = {
    # Each frame leaves as soon as it is there, a requested keyframe is one that decoders can start at.
    NVENC: {"preset": "p4", "tune": "ull", "rc": "cbr", "delay": "0", "zerolatency": "1"}
    | {"forced-idr": "1", "profile": "baseline"},
    # "veryfast" takes 1.7 times as long for 0.24 dB (a face at 512x512, 1.5 Mbit/s).
    X264: {"level": "31", "tune": "zerolatency", "preset": "superfast"},
}
_SMALL_SLICES = {"slice-max-size": "1200"}  # of x264

logger = logging.getLogger(__name__)


def opens(name: str) -> bool:
    """Whether an encoder of FFmpeg can be opened on this machine."""
    try:
        codec: Any = av.CodecContext.create(name, "w")
        codec.width = codec.height = _PROBE_SIDE
        codec.pix_fmt, codec.time_base = "yuv420p", Fraction(1, MAX_FRAME_RATE)
        codec.options = _OPTIONS[name]
        codec.open()
    except (av.FFmpegError, ValueError):  # ValueError: FFmpeg was built without it
        return False
    return True


@cache
def live_encoder() -> str:
    """FFmpeg's name of the encoder for live video; tried out once."""
    name = NVENC if opens(NVENC) else X264
    logger.info("H.264 is encoded by %s", "the GPU (NVENC)" if name == NVENC else "x264: there is no NVENC here")
    return name


def reopened_h264(encoder: Any, frame: av.VideoFrame, *, small_slices: bool) -> Any:
    """Return a new codec for aiortc's H.264 encoder, or None where the present one still fits.

    Args:
        encoder: see `reopened_codec`.
        frame: what is encoded next.
        small_slices: whether each NAL unit has to fit in a packet, which is done by x264.
    """
    for name in {X264 if small_slices else live_encoder(): None, X264: None}:
        codec = reopened_codec(encoder, frame, name)
        if codec is None:
            return None
        codec.framerate, codec.time_base = Fraction(MAX_FRAME_RATE), Fraction(1, MAX_FRAME_RATE)
        codec.options = _OPTIONS[name] | (_SMALL_SLICES if small_slices else {})
        if name == X264:
            codec.profile = "Baseline"
            break
        codec.max_b_frames = 0
        try:
            codec.open()  # a GPU may have a limit of streams
            break
        except av.FFmpegError as error:
            logger.info("this stream is encoded by x264: NVENC takes no more (%s)", error)
    return codec
