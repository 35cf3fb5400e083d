"""Many viewers of one session over real WebRTC: one encode for all, and none affects the others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame
from stream.rtc.encoders import is_h264_keyframe, is_vp8_keyframe
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer
from tests.stream.playing import playing

BEAT = 25  # chunks from flash to flash


def burst() -> np.ndarray:
    """40 ms that are found to a fraction of a millisecond by correlation."""
    t = np.arange(1920) / 48_000
    return (12_000 * np.sin(2 * np.pi * (400 + 30_000 * t) * t)).astype(np.int16)


def pair(k: int) -> tuple[AudioChunk, VideoFrame]:
    """A bright picture and a burst at each beat, otherwise a grey gradient that moves; the matte is a half."""
    beat = k % BEAT == BEAT - 1
    rgb = np.full((64, 64, 3), 250 if beat else 0, np.uint8)
    if not beat:
        rgb[:] = ((np.arange(64) + k) % 64)[None, :, None]
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:32] = 255
    cutout = np.dstack([rgb, alpha])
    audio = burst() if beat else np.zeros(1920, np.int16)
    heard = np.full(640, 0.1, np.float32)  # not a pause: nothing is to be trimmed
    return AudioChunk(heard, audio, k * CHUNK_SAMPLES), VideoFrame(rgb, k * CHUNK_SAMPLES, cutout)


@asynccontextmanager
async def show() -> AsyncIterator[EncoderHub]:
    """A session that plays pairs for as long as it is open."""
    async with playing(pair, target_ms=80) as pump:
        yield EncoderHub(pump)


def receiver_of(client: Any, kind: str) -> Any:
    (receiver,) = (t.receiver for t in client.pc.getTransceivers() if t.kind == kind)
    return receiver


def watch_rtp(client: Any, kind: str = "video") -> list[Any]:
    """Keep the packets that a client gets, as they come, and drop none."""
    receiver = receiver_of(client, kind)
    handle, packets = receiver._handle_rtp_packet, []

    async def note(packet: Any, arrival_time_ms: int) -> None:
        packets.append(packet)
        await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = note
    return packets


def skews_ms(client: Any) -> list[float]:
    """Audio-late-by, in ms, of each beat that a client saw and heard."""
    pictures = client.frames["video"]
    bright = [bool(frame.to_ndarray(format="gray8").mean() > 180) for frame in pictures]
    starts = [k for k in range(1, len(bright)) if bright[k] and not bright[k - 1]]
    audio = np.concatenate([f.to_ndarray()[0, ::2] for f in client.frames["audio"]]).astype(float)
    match = np.abs(np.correlate(audio, burst().astype(float), "valid"))
    first, found = client.seconds("audio", client.frames["audio"][0].pts), []
    for k in starts:
        flash = client.seconds("video", pictures[k].pts)
        index = round((flash - first) * 48_000)
        low, high = index - 12_000, index + 12_000
        if low >= 0 and high < len(match) and match[low:high].max() > 0.5 * match.max():
            found.append((first + (low + int(match[low:high].argmax())) / 48_000 - flash) * 1000)
    return found


def test_two_viewers_with_different_codecs_see_and_hear_in_step(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[list[Any], set[str]]:
        async with show() as hub:
            clients = [remote(codec="VP8", channel=False), remote(codec="H264", channel=False)]
            for client in clients:
                await client.connect(Peer(hub).answer)
                await asyncio.sleep(0.3)
            await clients[1].until(lambda: len(clients[1].frames["video"]) >= 90)
            await clients[1].until(lambda: all(all(client.reports.values()) for client in clients))
            encodings = set(hub.encodings())
            for client in clients:
                await client.close()
            return clients, encodings

    clients, encodings = run(scenario())
    assert encodings == {"audio/opus", "video/vp8", "video/h264"}
    for client in clients:
        skews = skews_ms(client)
        print("audio late by, ms:", [round(skew, 2) for skew in skews])
        assert len(skews) >= 2
        assert all(0 <= skew < 10 for skew in skews), skews


@pytest.mark.parametrize(("codec", "is_keyframe"), [("VP8", is_vp8_keyframe), ("H264", is_h264_keyframe)])
def test_a_late_joiner_begins_with_a_keyframe(
    remote: type, run: Callable, codec: str, is_keyframe: Callable[[bytes], bool]
) -> None:
    async def scenario() -> tuple[list[Any], Any]:
        async with show() as hub:
            first, late = remote(codec=codec), remote(codec=codec)
            await first.connect(Peer(hub).answer)
            await first.until(lambda: len(first.frames["video"]) >= 20)
            packets = watch_rtp(late)
            await late.connect(Peer(hub).answer)
            await late.until(lambda: len(late.frames["video"]) >= 3)
            await first.close()
            await late.close()
            return packets, late

    packets, late = run(scenario())
    assert is_keyframe(packets[0].payload)
    shown = late.frames["video"][0].to_ndarray(format="gray8")
    assert shown.std() > 5 or shown.mean() > 180, "a picture, not the grey of a decoder without a keyframe"


def test_a_storm_of_losses_makes_few_keyframes(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, float]:
        async with show() as hub:
            clients = [remote(channel=False) for _ in range(3)]
            for client in clients:
                await client.connect(Peer(hub).answer)
            for client in clients:
                await client.until(lambda c=client: bool(c.frames["video"]))  # type: ignore[misc]
            before, start = hub.encodings()["video/vp8"].keyframes, hub.clock.elapsed_ns()
            for _ in range(50):
                for client in clients:
                    receiver = receiver_of(client, "video")
                    for ssrc in tuple(receiver._RTCRtpReceiver__active_ssrc):
                        await receiver._send_rtcp_pli(ssrc)
                await asyncio.sleep(0.02)
            made = hub.encodings()["video/vp8"].keyframes - before
            seconds = (hub.clock.elapsed_ns() - start) / 1e9
            for client in clients:
                await client.close()
            return made, seconds

    made, seconds = run(scenario())
    assert 2 <= made <= seconds / 0.3 + 1


def test_a_lost_packet_is_sent_again(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[Any, list[Any]]:
        async with show() as hub:
            client = remote(codec="VP8", channel=False)
            transceiver = next(t for t in client.pc.getTransceivers() if t.kind == "video")
            transceiver.setCodecPreferences([])  # all, retransmission among them
            packets = watch_rtp(client)
            peer = Peer(hub)
            await client.connect(peer.answer)
            await client.until(lambda: len(packets) > 10)
            lost = packets[-1]
            receiver = receiver_of(client, "video")
            await receiver._send_rtcp_nack(lost.ssrc, [lost.sequence_number])
            await client.until(lambda: any(packet.ssrc != lost.ssrc for packet in packets))
            again = [packet for packet in packets if packet.ssrc != lost.ssrc]
            await client.close()
            return lost, again

    lost, again = run(scenario())
    assert len(again) == 1
    assert again[0].payload == lost.sequence_number.to_bytes(2, "big") + lost.payload
    assert (again[0].timestamp, again[0].marker) == (lost.timestamp, lost.marker)


def test_statistics_and_reports_of_a_sender_agree_with_what_came(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[Any, int, int]:
        async with show() as hub:
            client = remote(channel=False)
            packets = watch_rtp(client)
            peer = Peer(hub)
            await client.connect(peer.answer)
            await client.until(lambda: len(packets) > 30)
            pc: Any = peer._pc
            (sender,) = (s for s in pc.getSenders() if s.kind == "video")
            await client.until(lambda: "remote-inbound-rtp" in str(sender._RTCRtpSender__stats))
            before = len(packets)
            report = await sender.getStats()
            (outbound,) = (entry for entry in report.values() if entry.type == "outbound-rtp")
            await client.close()
            return outbound, before, sum(len(packet.payload) for packet in packets[:before])

    outbound, packets, octets = run(scenario())
    assert outbound.packetsSent == pytest.approx(packets, abs=5)
    assert outbound.bytesSent == pytest.approx(octets, rel=0.2)


def test_matte_and_plain_viewers_together(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[Any, Any]:
        async with show() as hub:
            plain, matte = remote(channel=False), remote(channel=False)
            peers = [Peer(hub), Peer(hub, matte=True)]
            await plain.connect(peers[0].answer)
            await matte.connect(peers[1].answer)
            await plain.until(lambda: len(plain.frames["video"]) > 5 and len(matte.frames["video"]) > 5)
            assert hub.pump.matte_wanted
            await peers[1].close()
            assert not hub.pump.matte_wanted
            assert set(hub.encodings()) == {"audio/opus", "video/vp8"}
            await plain.close()
            await matte.close()
            return plain.frames["video"][-1], matte.frames["video"][-1]

    plain, matte = run(scenario())
    assert (plain.width, plain.height) == (64, 64)
    assert (matte.width, matte.height) == (128, 64)
    grey = matte.to_ndarray(format="gray8")[:, 64:]
    assert grey[:24].mean() > 235
    assert grey[40:].mean() < 25


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_viewers_leave_in_any_order_and_the_rest_go_on(remote: type, run: Callable, order: tuple[int, ...]) -> None:
    async def scenario() -> dict[str, Any]:
        async with show() as hub:
            clients = [remote(channel=False) for _ in range(3)]
            peers = [Peer(hub) for _ in range(3)]
            for client, peer in zip(clients, peers, strict=True):
                await client.connect(peer.answer)
            left = set(range(3))
            for index in order:
                await peers[index].close()
                left.remove(index)
                seen = {k: len(clients[k].frames["video"]) for k in left}
                for k in left:
                    await clients[k].until(lambda k=k, seen=seen: len(clients[k].frames["video"]) > seen[k] + 2)  # type: ignore[misc]
            for client in clients:
                await client.close()
            return hub.encodings()

    assert run(scenario()) == {}, "nothing is encoded when nobody watches"


def test_a_narrow_viewer_lowers_the_rate_of_few(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, int]:
        async with show() as hub:
            clients = [remote(channel=False) for _ in range(2)]
            peers = [Peer(hub) for _ in range(2)]
            for client, peer in zip(clients, peers, strict=True):
                await client.connect(peer.answer)
                await client.until(lambda c=client: bool(c.frames["video"]))  # type: ignore[misc]
            (feed,) = hub._video.values()
            encoder: Any = feed._encoder._encoder
            before = encoder.codec.bit_rate
            peers[0]._video.limit(400_000)
            await clients[0].until(lambda: encoder.codec.bit_rate != before)
            lowered = encoder.codec.bit_rate
            for client in clients:
                await client.close()
            return before, lowered

    assert run(scenario()) == (1_500_000, 400_000)


def test_a_viewer_whose_way_is_blocked_holds_nobody_up(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, int, int]:
        async with show() as hub:
            clients = [remote(channel=False) for _ in range(2)]
            peers = [Peer(hub) for _ in range(2)]
            for client, peer in zip(clients, peers, strict=True):
                await client.connect(peer.answer)
                await client.until(lambda c=client: bool(c.frames["video"]))  # type: ignore[misc]
            pc: Any = peers[0]._pc
            transport = pc.getSenders()[0].transport
            send, blocked = transport._send_rtp, asyncio.Event()

            async def hang(data: bytes) -> None:
                await blocked.wait()
                await send(data)

            transport._send_rtp = hang
            keyframes, seen = hub.encodings()["video/vp8"].keyframes, len(clients[1].frames["video"])
            await clients[1].until(lambda: len(clients[1].frames["video"]) >= seen + 40)
            made = hub.encodings()["video/vp8"].keyframes - keyframes
            dropped = peers[0].stats().frames_dropped
            blocked.set()
            stuck = len(clients[0].frames["video"])
            await clients[0].until(lambda: len(clients[0].frames["video"]) > stuck + 10)
            for client in clients:
                await client.close()
            return made, dropped, peers[1].stats().frames_dropped

    made, dropped, others = run(scenario())
    assert made == 0, "no keyframe is made for one who can't have it"
    assert dropped > 8
    assert others < dropped


def test_headers_say_to_whom_when_and_how_loud(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[list[Any], list[Any]]:
        async with show() as hub:
            client = remote(channel=False)
            audio, face = watch_rtp(client, "audio"), watch_rtp(client, "video")
            await client.connect(Peer(hub).answer)
            await client.until(lambda: len(audio) > 75 and len(face) > 20)
            await client.close()
            return audio, face

    audio, face = run(scenario())
    assert {packet.extensions.mid for packet in audio} == {"0"}
    assert {packet.extensions.mid for packet in face} == {"1"}
    levels = {packet.extensions.audio_level[1] for packet in audio}
    assert max(levels) == 127, "silence"
    assert min(levels) < 20, "the burst"
    times = np.array([packet.extensions.abs_send_time for packet in face])
    assert (np.diff(times) % (1 << 24) < 1 << 18).all(), "growing, by less than a second"
    for packets in (audio, face):
        numbers = np.array([packet.sequence_number for packet in packets])
        assert (np.diff(numbers) % (1 << 16) == 1).all()
    stamps = [packet.timestamp for packet in face]
    ends = [packet.marker for packet in face][:-1]
    assert ends == [int(now != then) for now, then in itertools.pairwise(stamps)], "the last of a frame is marked"
