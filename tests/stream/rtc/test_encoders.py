"""The shared encoders against aiortc's own decoders."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from aiortc.codecs import depayload, get_decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import ParametersDict, RTCRtpCodecParameters

from stream.media import VideoFrame
from stream.rtc.encoders import AudioEncoder, VideoEncoder, beside_matte, level_dbov

OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=96)
PCMU = RTCRtpCodecParameters(mimeType="audio/PCMU", clockRate=8000, channels=1, payloadType=0)
VIDEO = {
    "VP8": RTCRtpCodecParameters("video/VP8", 90_000, payloadType=97),
    "H264": RTCRtpCodecParameters("video/H264", 90_000, payloadType=97, parameters={"packetization-mode": "1"}),
}


def picture(k: int, size: int = 64) -> VideoFrame:
    rgb = np.zeros((size, size, 3), np.uint8)
    rgb[:, :, 1] = (np.arange(size) * 3 + 5 * k) % 256
    rgb[:, :, 2] = np.random.default_rng(k).integers(0, 60, (size, size))
    return VideoFrame(rgb, k * 640)


@pytest.mark.parametrize("mime", ["VP8", "H264"])
def test_keyframes_come_first_on_request_and_with_a_new_size_or_bitrate(mime: str) -> None:
    encoder, decoder = VideoEncoder(VIDEO[mime]), get_decoder(VIDEO[mime])
    made = []
    for k in range(20):
        size = 96 if k >= 10 else 64
        bitrate = 500_000 if k >= 15 else 1_000_000 + 10_000 * k
        frame = encoder.encode(k * 640, picture(k, size), keyframe=k == 5, bitrate=bitrate)
        made.append(frame.keyframe)
        assert (frame.time, frame.timestamp) == (k * 640, k * 3600)
        data = b"".join(depayload(VIDEO[mime], payload) for payload in frame.payloads)
        (shown,) = decoder.decode(JitterFrame(data=data, timestamp=frame.timestamp))
        assert abs(shown.to_ndarray(format="rgb24").astype(int) - picture(k, size).rgb)[:, :, 1].mean() < 12
    assert [k for k, key in enumerate(made) if key] == [0, 5, 10, 15]


@pytest.mark.parametrize("parameters", [{}, {"packetization-mode": "0"}])
def test_h264_in_mode_0_is_one_nal_unit_a_packet(parameters: ParametersDict) -> None:
    codec = RTCRtpCodecParameters("video/H264", 90_000, payloadType=97, parameters=parameters)
    encoder, decoder = VideoEncoder(codec), get_decoder(codec)
    for k in range(4):
        frame = encoder.encode(k * 640, picture(k, 512), keyframe=False, bitrate=2_500_000)
        assert frame.keyframe == (k == 0)
        assert frame.timestamp == k * 3600
        assert max(map(len, frame.payloads)) <= 1300
        assert all(1 <= payload[0] & 0x1F <= 23 for payload in frame.payloads), "neither aggregated nor fragmented"
        data = b"".join(b"\0\0\0\1" + payload for payload in frame.payloads)
        (shown,) = decoder.decode(JitterFrame(data=data, timestamp=frame.timestamp))
        assert abs(shown.to_ndarray(format="rgb24").astype(int) - picture(k, 512).rgb)[:, :, 1].mean() < 20


@pytest.mark.parametrize("mime", ["VP8", "H264"])
def test_a_new_decoder_can_start_at_a_requested_keyframe(mime: str) -> None:
    encoder = VideoEncoder(VIDEO[mime])
    for k in range(6):
        frame = encoder.encode(k * 640, picture(k, 512), keyframe=k == 5, bitrate=2_500_000)
    assert frame.keyframe
    assert len(frame.payloads) > 1
    assert max(map(len, frame.payloads)) <= 1300
    data = b"".join(depayload(VIDEO[mime], payload) for payload in frame.payloads)
    (shown,) = get_decoder(VIDEO[mime]).decode(JitterFrame(data=data, timestamp=0))
    assert abs(shown.to_ndarray(format="rgb24").astype(int) - picture(5, 512).rgb)[:, :, 1].mean() < 20


@pytest.mark.parametrize("mime", ["VP8", "H264"])
def test_a_stream_is_encoded_by_one_thread(mime: str) -> None:
    """More threads spin while they wait for each other, at the cost of other processes that need the core."""
    before = threading.active_count(), len(list(Path("/proc/self/task").iterdir()))
    encoder = VideoEncoder(VIDEO[mime])
    for k in range(3):
        encoder.encode(k * 640, picture(k, 512), keyframe=False, bitrate=1_000_000)
    assert (threading.active_count(), len(list(Path("/proc/self/task").iterdir()))) == before


def test_odd_sides_are_no_fault_to_vp8() -> None:
    mime = "VP8"
    encoder, decoder = VideoEncoder(VIDEO[mime]), get_decoder(VIDEO[mime])
    odd = VideoFrame(np.ascontiguousarray(picture(0, 65).rgb[:, :63]), 0)
    frame = encoder.encode(0, odd, keyframe=False, bitrate=1_000_000)
    data = b"".join(depayload(VIDEO[mime], payload) for payload in frame.payloads)
    (shown,) = decoder.decode(JitterFrame(data=data, timestamp=0))
    assert (shown.width, shown.height) == (63, 65)


def test_a_voice_keeps_its_level_and_says_it() -> None:
    encoder, decoder = AudioEncoder(OPUS), get_decoder(OPUS)
    tone = (10_000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)).astype(np.int16)
    heard = []
    for k in range(50):
        frame = encoder.encode(k * 320, tone[k * 960 : (k + 1) * 960])
        assert frame is not None
        assert (frame.time, frame.timestamp, frame.keyframe) == (k * 320, k * 960, True)
        assert frame.audio_level == -13
        heard += decoder.decode(JitterFrame(data=frame.payloads[0], timestamp=frame.timestamp))
    sound = np.concatenate([part.to_ndarray()[0, ::2] for part in heard])[9600:]
    assert np.abs(sound.astype(int)).max() == pytest.approx(10_000, rel=0.1)


def test_other_codecs_work_as_well() -> None:
    encoder = AudioEncoder(PCMU)
    frames = [encoder.encode(k * 320, np.full(960, 1000, np.int16)) for k in range(10)]
    stamps = [frame.timestamp for frame in frames if frame is not None]
    assert len(stamps) >= 8
    assert set(np.diff(stamps)) == {160}


@pytest.mark.parametrize(
    ("audio", "level"),
    [(np.zeros(960), -127), (np.full(960, 32_767), 0), (np.full(960, -32_768), 0), (np.full(960, 328), -40)],
)
def test_levels(audio: np.ndarray, level: int) -> None:
    assert level_dbov(audio.astype(np.int16)) == level


def test_the_matte_lies_to_the_right_and_nothing_is_shown_where_there_is_none() -> None:
    cutout = np.arange(96, dtype=np.uint8).reshape(4, 6, 4)
    rgb = np.full((4, 6, 3), 77, np.uint8)
    both = beside_matte(VideoFrame(rgb, 0, cutout)).rgb
    assert both.shape == (4, 12, 3)
    assert (both[:, :6] == cutout[..., :3]).all()
    assert (both[:, 6:] == cutout[..., 3:]).all()
    assert not beside_matte(VideoFrame(rgb, 0)).rgb.any()
