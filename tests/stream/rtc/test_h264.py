"""Who encodes H.264: tried once, and another one where that fails."""

from __future__ import annotations

import logging

import pytest
from aiortc.codecs import depayload, get_decoder
from aiortc.jitterbuffer import JitterFrame

from stream.rtc import h264
from stream.rtc.encoders import VideoEncoder
from tests.stream.rtc.test_encoders import VIDEO, picture

has_nvenc = h264.opens(h264.NVENC)


@pytest.fixture(autouse=True)
def untried(caplog: pytest.LogCaptureFixture) -> None:
    h264.live_encoder.cache_clear()
    caplog.set_level(logging.INFO, h264.__name__)


def encoded(encoder: VideoEncoder, count: int = 4) -> list[bool]:
    """Encode some pictures, see that each is what a decoder shows, and return which are keyframes."""
    decoder, keys = get_decoder(VIDEO["H264"]), []
    for k in range(count):
        frame = encoder.encode(k * 640, picture(k, 256), keyframe=k == 2, bitrate=2_000_000)
        data = b"".join(depayload(VIDEO["H264"], payload) for payload in frame.payloads)
        (shown,) = decoder.decode(JitterFrame(data=data, timestamp=frame.timestamp))
        assert abs(shown.to_ndarray(format="rgb24").astype(int) - picture(k, 256).rgb)[:, :, 1].mean() < 12
        keys.append(frame.keyframe)
    return keys


def test_without_a_gpu_x264_encodes_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []
    monkeypatch.setattr(h264, "opens", lambda name: bool(tried.append(name)))
    encoders = [VideoEncoder.of("H264") for _ in range(2)]
    for encoder in encoders:
        assert encoded(encoder) == [True, False, True, False]
        assert encoder._encoder.codec.name == h264.X264
    assert tried == [h264.NVENC]
    assert caplog.messages == ["H.264 is encoded by x264: there is no NVENC here"]


@pytest.mark.skipif(has_nvenc, reason="needs a machine whose NVENC refuses")
def test_a_stream_that_nvenc_refuses_is_encoded_by_x264(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a GPU encodes as many streams as it may."""
    monkeypatch.setattr(h264, "opens", lambda name: True)
    encoder = VideoEncoder.of("H264")
    assert encoded(encoder) == [True, False, True, False]
    assert encoder._encoder.codec.name == h264.X264
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "H.264 is encoded by the GPU",
        "this stream is encoded by x264: NVENC takes no more",
    ]


def test_what_is_not_built_in_does_not_open() -> None:
    assert h264.opens(h264.X264)
    assert not h264.opens("no_such_encoder")


@pytest.mark.gpu
@pytest.mark.skipif(not has_nvenc, reason="needs NVENC")
def test_nvenc_encodes() -> None:
    encoder = VideoEncoder.of("H264")
    assert encoded(encoder) == [True, False, True, False]
    assert encoder._encoder.codec.name == h264.NVENC
