"""One hub, several viewers: same instant for sound and picture, none slows the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiortc.codecs import depayload, get_decoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame

from stream.media import VideoFrame, silence
from stream.rtc.encoders import is_vp8_keyframe
from stream.rtc.hub import EncoderHub
from stream.rtc.tracks import Track, VideoTrack
from tests.stream.playing import feed, playing


@asynccontextmanager
async def hub_playing(**config: int) -> AsyncIterator[EncoderHub]:
    async with playing(**config) as pump:
        yield EncoderHub(pump)


VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=97)
H264 = RTCRtpCodecParameters("video/H264", 90_000, payloadType=99, parameters={"packetization-mode": "1"})
OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48_000, channels=2, payloadType=96)


def decoded(frames: list[RTCEncodedFrame], codec: RTCRtpCodecParameters) -> list[np.ndarray]:
    """What a receiver shows, as rgb24."""
    decoder = get_decoder(codec)
    shown = []
    for frame in frames:
        data = b"".join(depayload(codec, payload) for payload in frame.payloads)
        shown += decoder.decode(JitterFrame(data=data, timestamp=frame.timestamp))
    return [picture.to_ndarray(format="rgb24") for picture in shown]


def test_sound_and_picture_of_a_viewer_are_stamped_alike(run: Callable) -> None:
    async def scenario() -> tuple[dict[int, int], dict[int, int]]:
        async with hub_playing(target_ms=40) as hub:
            audio, face = hub.tracks(bitrate=1_000_000)
            heard: dict[int, int] = {}
            seen: dict[int, int] = {}

            async def read(track: Track, codec: RTCRtpCodecParameters, stamps: dict[int, int]) -> None:
                for _ in range(12):
                    stamp = (await track.next_frame(codec)).timestamp
                    assert track.sent_time is not None
                    stamps[track.sent_time] = stamp

            await asyncio.gather(feed(hub.pump, 15), read(audio, OPUS, heard), read(face, VP8, seen))
            return heard, seen

    heard, seen = run(scenario())
    assert len(seen) == len(heard) == 12
    assert all(stamp == time * 90_000 // 16_000 for time, stamp in seen.items())
    assert len({stamp - time * 3 for time, stamp in heard.items()}) == 1
    assert all(np.diff(list(seen.values())) > 0)
    assert set(heard) & set(seen), "a picture has the time of a sound"


def test_a_late_viewer_sees_the_present_face_at_once(run: Callable) -> None:
    async def scenario() -> tuple[float, list[np.ndarray]]:
        async with hub_playing(target_ms=40) as hub:
            _, face = hub.tracks(bitrate=1_000_000)
            await feed(hub.pump, 3)
            await asyncio.wait_for(face.next_frame(VP8), 1)
            await asyncio.sleep(0.5)
            _, late = hub.tracks(bitrate=1_000_000)
            start = hub.clock.elapsed_ns()
            frame = await late.next_frame(VP8)
            return (hub.clock.elapsed_ns() - start) / 1e6, decoded([frame], VP8)

    wait_ms, shown = run(scenario())
    assert wait_ms < 190, "sooner than the picture would be repeated anyway"
    assert abs(int(shown[0][0, 0, 0]) - 2) < 8


def test_nothing_is_encoded_before_a_viewer_reads_or_after_the_last_left(run: Callable) -> None:
    async def scenario() -> None:
        async with hub_playing() as hub:
            viewers = [hub.tracks(bitrate=1_000_000) for _ in range(2)]
            await feed(hub.pump, 4)
            assert hub.encodings() == {}
            for audio, face in viewers:
                await audio.next_frame(OPUS)
                await face.next_frame(VP8)
            assert set(hub.encodings()) == {"audio/opus", "video/vp8"}
            viewers[0][0].stop()
            viewers[0][1].stop()
            await viewers[1][0].next_frame(OPUS)
            viewers[1][0].stop()
            viewers[1][1].stop()
            assert hub.encodings() == {}

    run(scenario())


def test_one_encode_per_frame_however_many_viewers(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = Vp8Encoder.encode

    def counted(self: Vp8Encoder, frame: Any, force_keyframe: bool = False) -> Any:
        calls.append(frame.pts)
        return encode(self, frame, force_keyframe)

    monkeypatch.setattr(Vp8Encoder, "encode", counted)

    async def scenario() -> list[list[bytes]]:
        async with hub_playing(target_ms=40) as hub:
            faces = [hub.tracks(bitrate=1_000_000)[1] for _ in range(5)]

            async def watch(face: VideoTrack) -> list[bytes]:
                return [(await face.next_frame(VP8)).payloads[0] for _ in range(10)]

            feeding = asyncio.create_task(feed(hub.pump, 25))
            seen = await asyncio.gather(*map(watch, faces))
            await feeding
            return seen

    seen = run(scenario())
    assert len(calls) == len(set(calls)), "no frame was encoded twice"
    assert all(viewer == seen[0] for viewer in seen), "all got the same"


def test_codecs_and_mattes_side_by_side(run: Callable) -> None:
    picture = np.full((32, 32, 3), (200, 40, 40), np.uint8)
    cutout = np.dstack([picture, np.zeros((32, 32), np.uint8)])
    cutout[:, 16:, 3] = 255

    async def scenario() -> tuple[dict[str, list[np.ndarray]], set[str]]:
        async with hub_playing(target_ms=40) as hub:
            wanted = [("vp8", VP8, False), ("h264", H264, False), ("vp8 matte", VP8, True), ("h264 matte", H264, True)]
            assert not hub.pump.matte_wanted
            faces = {name: hub.tracks(bitrate=1_000_000, matte=matte)[1] for name, _, matte in wanted}
            assert hub.pump.matte_wanted
            await hub.pump.put(silence(0), VideoFrame(picture, 0, cutout))
            shown = {}
            for name, codec, _ in wanted:
                shown[name] = decoded([await faces[name].next_frame(codec)], codec)
            encodings = set(hub.encodings())
            for face in faces.values():
                face.stop()
            assert not hub.pump.matte_wanted
            return shown, encodings

    shown, encodings = run(scenario())
    assert encodings == {"video/vp8", "video/h264", "video/vp8+matte", "video/h264+matte"}
    for name in ("vp8", "h264"):
        assert shown[name][0].shape == (32, 32, 3)
        both = shown[f"{name} matte"][0].astype(int)
        assert both.shape == (32, 64, 3)
        assert abs(both[8:24, 4:28] - [200, 40, 40]).mean() < 12, "the colour is to the left"
        assert both[8:24, 36:44].mean() < 20, "see-through is black"
        assert both[8:24, 52:60].mean() > 235, "opaque is white"


def test_a_slow_viewer_gets_an_unbroken_stream_again_and_slows_nobody(run: Callable) -> None:
    async def scenario() -> tuple[int, int, list[RTCEncodedFrame], list[RTCEncodedFrame], int]:
        async with hub_playing(target_ms=40) as hub:
            _, quick = hub.tracks(bitrate=1_000_000)
            _, slow = hub.tracks(bitrate=1_000_000)
            seen: list[RTCEncodedFrame] = []

            async def watch() -> None:
                while len(seen) < 40:
                    seen.append(await quick.next_frame(VP8))

            feeding = asyncio.create_task(feed(hub.pump, 60))
            watching = asyncio.create_task(watch())
            await slow.next_frame(VP8)
            await watching
            late = [await slow.next_frame(VP8) for _ in range(6)]
            await feeding
            return quick.dropped, slow.dropped, seen, late, hub.encodings()["video/vp8"].keyframes

    quick_dropped, slow_dropped, seen, late, keyframes = run(scenario())
    assert slow_dropped >= 8
    assert slow_dropped > quick_dropped
    assert is_vp8_keyframe(late[0].payloads[0]), "what can't be decoded is not sent"
    assert len(decoded(late, VP8)) == 6
    assert all(np.diff([frame.timestamp for frame in seen]) > 0)
    assert keyframes == 2, "one when they came, one when the slow one came back"


def test_a_stalled_listener_stays_bounded(run: Callable) -> None:
    async def scenario() -> tuple[float, float]:
        async with hub_playing() as hub:
            audio, _ = hub.tracks(bitrate=1_000_000)
            await audio.next_frame(OPUS)
            await asyncio.sleep(1.0)
            await audio.next_frame(OPUS)
            assert audio.sent_time is not None
            return audio.dropped, (hub.clock.now() - audio.sent_time) / 16

    dropped, age_ms = run(scenario())
    assert dropped > 10
    assert age_ms < 900


def test_tracks_end_with_the_playback_and_by_stop(run: Callable) -> None:
    async def scenario() -> None:
        async with hub_playing() as hub:
            audio, face = hub.tracks(bitrate=1_000_000)
            other, _ = hub.tracks(bitrate=1_000_000)
            await audio.next_frame(OPUS)
            pending = asyncio.create_task(face.next_frame(VP8))
            await asyncio.sleep(0)
            face.stop()
            with pytest.raises(MediaStreamError):
                await pending
            with pytest.raises(MediaStreamError):
                await face.next_frame(VP8)
            other.stop()
            other.stop()
            with pytest.raises(MediaStreamError):
                await other.next_frame(OPUS)
        for _ in range(30):  # what was encoded before is still there
            with contextlib.suppress(MediaStreamError):
                await audio.next_frame(OPUS)
        with pytest.raises(MediaStreamError):
            await audio.next_frame(OPUS)

    run(scenario())


def test_an_encoder_that_fails_ends_its_viewers_and_nobody_else(
    run: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Vp8Encoder, "encode", fail)

    async def scenario() -> None:
        async with hub_playing(target_ms=40) as hub:
            audio, face = hub.tracks(bitrate=1_000_000)
            feeding = asyncio.create_task(feed(hub.pump, 5))
            with pytest.raises(MediaStreamError):
                await face.next_frame(VP8)
            await feeding
            await audio.next_frame(OPUS)
            assert set(hub.encodings()) == {"audio/opus"}

    run(scenario())
    assert "out of order" in caplog.text
