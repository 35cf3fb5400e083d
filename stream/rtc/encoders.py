"""The encoders that all viewers of a session share: content in, packet payloads out.

aiortc (1.16) makes an encoder for each `RTCRtpSender`. Its encoders are used here as they are, so
that codec settings stay in one place, but one of them serves all subscribers: its output is already
cut into RTP payloads, which are the same for every viewer; only headers and keys differ.

Not thread-safe, and slow: call one encoder from one worker thread at a time, never from the event
loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.codecs import get_encoder
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from aiortc.rtcrtpparameters import ParametersDict, RTCRtpCodecParameters

from stream.media import PLAYOUT_RATE, PLAYOUT_RATIO, SAMPLE_RATE, Int16Array, VideoFrame
from stream.rtc.aiortc_internals import LiveH264Encoder
from stream.rtc.codec_context import reopened_codec

VIDEO_CLOCK_RATE = 90_000
"""Ticks per second of RTP timestamps of video (RFC 7741, RFC 6184)."""
_QUIETEST_DBOV = -127
_NAL_SPS, _NAL_STAP_A = 7, 24
_VP8_OPTIONS = {
    "deadline": "realtime",
    "cpu-used": "-8",
    "lag-in-frames": "0",
    "overshoot-pct": "15",
    "undershoot-pct": "100",
    "partitions": "0",  # one
    "noise-sensitivity": "0",  # rendered frames have no camera noise: denoising takes 1 ms and costs 2.9 dB
    "static-thresh": "100",  # blocks of a background that differ by less are not coded again
}


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame:
    """20 ms of audio or one frame, encoded and cut into payloads."""

    time: int
    """Session time of the content, in samples at 16 kHz."""
    timestamp: int
    """On the codec's clock, from an arbitrary origin."""
    payloads: list[bytes]
    """Payloads of its RTP packets, in order."""
    keyframe: bool = True
    """Whether it can be decoded without the frame before it."""
    audio_level: int | None = None
    """Audio level in dBov, -127..0 (RFC 6464)."""


class AudioEncoder:
    """One encoder of the session's audio."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        """Prepare an encoder for a negotiated codec."""
        self._encoder: Any = get_encoder(codec)

    def encode(self, time: int, audio: Int16Array) -> EncodedFrame | None:
        """Encode one tick.

        Args:
            time: of its first sample, in samples at 16 kHz.
            audio: int16 `[960]`, 48 kHz mono.

        Returns:
            None while the codec holds sound back to resample it (never with Opus).
        """
        # Stereo, because libswresample would attenuate mono audio by 3 dB when converting for Opus.
        frame = av.AudioFrame.from_ndarray(np.repeat(audio, 2)[None, :], format="s16", layout="stereo")
        frame.sample_rate = PLAYOUT_RATE
        frame.pts, frame.time_base = time * PLAYOUT_RATIO, Fraction(1, PLAYOUT_RATE)
        payloads, timestamp = self._encoder.encode(frame)
        return EncodedFrame(time, timestamp, payloads, audio_level=level_dbov(audio)) if payloads else None


class VideoEncoder:
    """One encoder of the session's video."""

    def __init__(self, codec: RTCRtpCodecParameters, *, matte: bool = False) -> None:
        """Prepare an encoder for a negotiated codec, VP8 or H.264; its first frame is a keyframe.

        Args:
            codec: as negotiated.
            matte: put the matte to the right of the frame.
        """
        self._h264 = codec.name.upper() == "H264"
        self._encoder: Any = LiveH264Encoder() if self._h264 else _LiveVp8Encoder()
        if self._h264:
            self._encoder.single_nal = packetization_mode(codec) == 0
        self._matte = matte

    @classmethod
    def of(cls, name: str) -> VideoEncoder:
        """An encoder of a codec, `VP8` or `H264`, without negotiation."""
        parameters: ParametersDict = {"packetization-mode": "1"} if name == "H264" else {}
        codec = RTCRtpCodecParameters(f"video/{name}", VIDEO_CLOCK_RATE, payloadType=97, parameters=parameters)
        return cls(codec)

    def encode(self, time: int, picture: VideoFrame, *, keyframe: bool, bitrate: int) -> EncodedFrame:
        """Encode one frame.

        Args:
            time: samples at 16 kHz, growing from call to call.
            picture: any size; a change of size makes a keyframe.
            keyframe: whether it has to be one.
            bitrate: bits per second; a change by more than 10 % makes a keyframe.
        """
        frame = _frame(beside_matte(picture) if self._matte else picture)
        frame.pts, frame.time_base = time * VIDEO_CLOCK_RATE // SAMPLE_RATE, Fraction(1, VIDEO_CLOCK_RATE)
        self._encoder.target_bitrate = bitrate
        payloads, timestamp = self._encoder.encode(frame, keyframe)
        starts_anew = is_h264_keyframe if self._h264 else is_vp8_keyframe
        return EncodedFrame(time, timestamp, payloads, bool(payloads) and starts_anew(payloads[0]))


def _frame(picture: VideoFrame) -> av.VideoFrame:
    """Wrap a frame without copying it."""
    height, width = picture.size
    if height % 2 or width % 2:
        return av.VideoFrame.from_numpy_buffer(picture.rgb, format="rgb24")
    return av.VideoFrame.from_numpy_buffer(picture.i420(), format="yuv420p")


class _LiveVp8Encoder(Vp8Encoder):
    """aiortc's VP8 encoder with settings for a face before a still background, in one thread.

    The two threads that aiortc requests wait for each other by spinning: on two busy cores a frame then takes 13 ms
    of processor time instead of 2, and one in twenty 120.
    """

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Open the codec before the base class would, which then finds nothing to do."""
        if (codec := reopened_codec(self, frame, "libvpx")) is not None:
            codec.gop_size, codec.qmin, codec.qmax = 3000, 2, 56
            rate = str(codec.bit_rate)
            codec.options = {**_VP8_OPTIONS, "bufsize": rate, "minrate": rate, "maxrate": rate}  # constant, over 1 s
            self.codec = codec
        return super().encode(frame, force_keyframe)


def beside_matte(picture: VideoFrame) -> VideoFrame:
    """Return the frame without its background and to its right its matte in grey: `[H, 2 W, 3]`.

    A frame without a cutout counts as all background, so that the background is never shown as foreground.
    """
    height, width = picture.size
    both = np.zeros((height, 2 * width, 3), np.uint8)
    if picture.cutout is not None:
        both[:, :width] = picture.cutout[:, :, :3]
        both[:, width:] = picture.cutout[:, :, 3:]
    return VideoFrame(both, picture.pts)


def level_dbov(audio: Int16Array) -> int:
    """Return the audio level in dB relative to overload, -127..0 (RFC 6465, appendix A)."""
    power = float(np.mean(np.square(audio, dtype=np.float64))) / 32767**2
    return max(_QUIETEST_DBOV, min(round(10 * math.log10(power)), 0)) if power else _QUIETEST_DBOV


def packetization_mode(codec: RTCRtpCodecParameters) -> int:
    """Return the H.264 packetization mode: by default 0, one NAL unit per packet (RFC 6184 section 8.1)."""
    return int(codec.parameters.get("packetization-mode") or 0)


def is_vp8_keyframe(payload: bytes) -> bool:
    """Return whether the first payload of a frame starts a VP8 keyframe (RFC 7741 section 4.3)."""
    _, data = VpxPayloadDescriptor.parse(payload)
    return not data[0] & 1


def is_h264_keyframe(payload: bytes) -> bool:
    """Return whether the first payload of a frame starts with parameter sets (RFC 6184 section 5)."""
    first = payload[3] if payload[0] & 0x1F == _NAL_STAP_A else payload[0]
    return first & 0x1F == _NAL_SPS
