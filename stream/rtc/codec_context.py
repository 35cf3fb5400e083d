"""When an encoder of aiortc needs another codec context, and a new one of the frame's size and the target bitrate."""

from __future__ import annotations

from typing import Any

import av


def reopened_codec(encoder: Any, frame: av.VideoFrame, name: str) -> Any:
    """Return a new codec for an encoder of aiortc, to be set as its `codec`, or None where the present one still fits.

    A base class that finds a codec of the frame's size and within 10 % of the target bitrate opens none of its own.

    Args:
        encoder: aiortc's VP8 or H.264 encoder.
        frame: what is encoded next; its size is the codec's.
        name: FFmpeg's name of the encoder.
    """
    codec, bitrate = encoder.codec, encoder.target_bitrate
    if (
        codec is not None
        and (frame.width, frame.height) == (codec.width, codec.height)
        and abs(bitrate - codec.bit_rate) <= 0.1 * codec.bit_rate
    ):
        return None
    codec = av.CodecContext.create(name, "w")
    codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
    codec.bit_rate, codec.thread_count = bitrate, 1
    return codec
