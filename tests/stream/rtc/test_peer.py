"""A whole peer against a real remote end on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiortc.exceptions import InvalidStateError
from aiortc.mediastreams import VideoStreamTrack

from stream.errors import NegotiationError, StreamError
from stream.media import AudioChunk, VideoFrame, silence
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer, PeerConfig
from tests.stream.playing import playing


@asynccontextmanager
async def session() -> AsyncIterator[EncoderHub]:
    async with playing(target_ms=60) as pump:
        yield EncoderHub(pump)


async def mirror(peer: Peer, hub: EncoderHub) -> None:
    """Return the received sound; the picture is white while it is loud."""
    async for chunk in peer.microphone():
        value = 255 if np.abs(chunk.audio.astype(int)).max() > 3000 else 0
        await hub.pump.put(chunk, VideoFrame(np.full((64, 64, 3), value, np.uint8), chunk.pts))


def beeps(seconds: float) -> np.ndarray:
    """200 ms of tone in each second."""
    t = np.arange(int(seconds * 48_000)) / 48_000
    tone = 12_000 * np.sin(2 * np.pi * 440 * t)
    return (tone * ((t % 1.0) >= 0.5) * ((t % 1.0) < 0.7)).astype(np.int16)


def first_pair() -> tuple[AudioChunk, VideoFrame]:
    return silence(0), VideoFrame(np.zeros((64, 64, 3), np.uint8), 0)


def test_microphone_up_voice_and_face_down_in_step(remote: type, microphone: type, run: Callable) -> None:
    async def scenario() -> tuple[Any, Any, Any]:
        client = remote(microphone(beeps(10)))
        async with session() as hub:
            peer = Peer(hub)
            await client.connect(peer.answer)
            await asyncio.wait_for(peer.connected.wait(), 5)
            mirroring = asyncio.create_task(mirror(peer, hub))
            await client.until(lambda: len(client.frames["video"]) >= 80)
            assert peer.state == "connected"
            stats, played = peer.stats(), hub.pump.stats()
            await peer.close()
            await mirroring
            await client.close()
        return client, stats, played

    client, stats, played = run(scenario())
    assert stats.microphone.received_ms > 2500
    print("lost to stalls of the machine:", stats)
    assert played.shown >= 70

    audio = np.concatenate([f.to_ndarray()[0, ::2] for f in client.frames["audio"]]).astype(int)
    loud = np.abs(audio) > 3000
    first_sound = client.seconds("audio", client.frames["audio"][0].pts + int(loud.argmax()))
    white = [f for f in client.frames["video"] if f.to_ndarray(format="gray8").mean() > 128]
    skew_ms = (first_sound - client.seconds("video", white[0].pts)) * 1000
    print(f"sound after picture by {skew_ms:.1f} ms")
    # The tone starts anywhere within its chunk, 0..40 ms after the picture's start; plus Opus.
    assert -1 <= skew_ms <= 48
    assert 3_000 < np.abs(audio).max() < 16_000, "the level is kept"


def test_messages_both_ways(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[list[Any], list[str], bool]:
        got: list[Any] = []
        client = remote()
        async with session() as hub:
            peer = Peer(hub, on_message=got.append)
            before = peer.send({"too": "early"})
            await client.connect(peer.answer)
            await client.until(lambda: client.channel.readyState == "open")
            client.channel.send("not json")
            client.channel.send("[1, 2]")
            client.channel.send(json.dumps({"text": "x" * 20_000}))
            client.channel.send("[" * 16_000)
            client.channel.send(json.dumps({"type": "clear"}))
            await client.until(lambda: bool(got))
            assert peer.send({"fps": 25})
            await client.until(lambda: bool(client.messages))
            await peer.close()
            await client.close()
        return got, client.messages, before

    got, messages, before = run(scenario())
    assert got == [{"type": "clear"}], "only objects of a sane size come through"
    assert messages == ['{"fps": 25}']
    assert before is False


@pytest.mark.parametrize("kinds", [("audio", "video"), ("video",), ("audio",)])
def test_a_viewer_needs_neither_microphone_nor_data_channel(remote: type, run: Callable, kinds: tuple) -> None:
    async def scenario() -> tuple[str, bool]:
        async with session() as hub:
            peer, client = Peer(hub), remote(kinds=kinds, channel=False)
            answers: list[str] = []

            async def answer(offer: str) -> str:
                answers.append(await peer.answer(offer))
                return answers[0]

            await client.connect(answer)
            await hub.pump.put(*first_pair())
            await client.until(lambda: all(client.frames[kind] for kind in kinds))
            sent = peer.send({"fps": 25})
            await client.close()
            await asyncio.wait_for(peer.closed.wait(), 5)
            assert [chunk async for chunk in peer.microphone()] == []
            return answers[0], sent

    sdp, sent = run(scenario())
    assert [line.split("m=")[1] for line in sdp.split() if line.startswith("m=")] == list(kinds)
    assert not sent


def test_sending_on_a_channel_that_closes_is_no_error(remote: type, run: Callable) -> None:
    async def scenario() -> list[bool]:
        async with session() as hub:
            peer, client = Peer(hub), remote()
            await client.connect(peer.answer)
            await client.until(lambda: client.channel.readyState == "open")
            sent = [peer.send({"n": 0})]
            channel: Any = peer._channel
            closing = asyncio.create_task(peer.close())
            while not closing.done():
                sent.append(peer.send({"n": 1}))
                await asyncio.sleep(0)
            channel.send = lambda _: (_ for _ in ()).throw(InvalidStateError)  # it closed between the look and the call
            channel._RTCDataChannel__readyState = "open"
            sent.append(peer.send({"n": 2}))
            await client.close()
            return sent

    sent = run(scenario())
    assert sent[0] is True
    assert sent[-1] is False


def test_a_message_that_cannot_be_handled_is_logged_once_and_the_next_ones_come(
    remote: type, run: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Any] = []

    def handle(message: dict[str, Any]) -> None:
        got.append(message["n"] / 1)

    async def scenario() -> None:
        client = remote()
        async with session() as hub:
            peer = Peer(hub, on_message=handle)
            await client.connect(peer.answer)
            await client.until(lambda: client.channel.readyState == "open")
            for message in ({"n": "a"}, {"m": 1}, {"n": 2}):
                client.channel.send(json.dumps(message))
            await client.until(lambda: got == [2.0])
            assert peer.state == "connected"
            await peer.close()
            await client.close()

    run(scenario())
    [record] = [one for one in caplog.records if one.name == "stream.rtc.peer" and one.levelname == "ERROR"]
    assert record.exc_info is not None


def test_a_channel_that_is_behind_takes_no_more_until_it_has_caught_up(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[list[bool], int]:
        async with session() as hub:
            peer, client = Peer(hub), remote()
            await client.connect(peer.answer)
            await client.until(lambda: client.channel.readyState == "open")
            channel: Any = peer._channel
            sent = [peer.send({"text": "x" * 10_000}) for _ in range(20)]
            assert channel.bufferedAmount <= 65_536 + 10_100
            await client.until(lambda: len(client.messages) == sum(sent) and channel.bufferedAmount == 0)
            assert peer.send({"n": 1})
            await client.until(lambda: len(client.messages) == sum(sent) + 1)
            await peer.close()
            await client.close()
            return sent, len(client.messages)

    sent, _ = run(scenario())
    assert sent[0] is True
    assert sent[-1] is False


@pytest.mark.parametrize("hears", [True, False])
def test_media_that_nobody_reads_is_not_received(remote: type, microphone: type, run: Callable, hears: bool) -> None:
    async def scenario() -> tuple[Any, str]:
        client = remote(microphone(beeps(10)), codec="VP8")
        video = next(one for one in client.pc.getTransceivers() if one.kind == "video")
        video.direction = "sendrecv"
        video.sender.replaceTrack(VideoStreamTrack())
        answers: list[str] = []
        async with session() as hub:
            peer = Peer(hub, receives_microphone=hears)

            async def answer(offer: str) -> str:
                answers.append(await peer.answer(offer))
                return answers[0].replace("a=sendonly", "a=sendrecv")  # a client that sends what was refused

            await client.connect(answer)
            await hub.pump.put(*first_pair())
            await client.until(lambda: bool(client.frames["video"] and client.frames["audio"]))
            for sender in client.pc.getSenders():
                await client.until(lambda sender=sender: sender._RTCRtpSender__packet_count > 20)
            received = {one.kind: one for one in peer._pc.getTransceivers()}  # type: ignore[union-attr]
            heard = peer.stats().microphone.received_ms
            for kind, transceiver in received.items():
                listens = hears and kind == "audio"
                assert transceiver.currentDirection == ("sendrecv" if listens else "sendonly")
                track: Any = transceiver.receiver.track
                assert track._queue.qsize() <= (2 if listens else 0), f"{kind} piles up"
                report = await transceiver.receiver.getStats()
                assert any(key.startswith("inbound-rtp") for key in report) == listens
            await peer.close()
            await client.close()
            return heard, answers[0]

    heard, sdp = run(scenario())
    assert (heard > 0) == hears
    assert sdp.split("m=video")[1].count("a=sendonly") == 1


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_an_offer_with_two_sections_of_a_kind_is_refused(remote: type, run: Callable, kind: str) -> None:
    async def scenario() -> None:
        async with session() as hub:
            client, peer = remote(), Peer(hub)
            client.pc.addTransceiver(kind, direction="recvonly")
            with pytest.raises(NegotiationError, match=f"expected one audio, one video and one data .* got .*2 {kind}"):
                await client.connect(peer.answer)
            assert peer.closed.is_set()
            await client.close()

    run(scenario())


def test_two_viewers_of_one_playback_and_one_leaves(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, int]:
        async with session() as hub:
            first, second = remote(), remote()
            peers = [Peer(hub), Peer(hub)]
            for client, peer in zip((first, second), peers, strict=True):
                await client.connect(peer.answer)
            await hub.pump.put(*first_pair())
            await first.until(lambda: bool(first.frames["video"] and second.frames["audio"]))
            await peers[0].close()
            heard = len(second.frames["audio"])
            # A keyframe for the second is due 300 ms after that for the first, and unchanged pictures are rare.
            await second.until(lambda: len(second.frames["audio"]) >= heard + 10 and bool(second.frames["video"]))
            await peers[1].close()
            await first.close()
            await second.close()
            return len(first.frames["video"]), len(second.frames["video"])

    assert min(run(scenario())) >= 1


@pytest.mark.parametrize(("codec", "mime"), [("vp8", "VP8"), ("h264", "H264")])
def test_the_preferred_codec_comes_first_in_the_answer(remote: type, run: Callable, codec: str, mime: str) -> None:
    async def scenario() -> str:
        async with session() as hub:
            peer, client = Peer(hub, PeerConfig(video_codec=codec)), remote()
            answers: list[str] = []

            async def answer(offer: str) -> str:
                answers.append(await peer.answer(offer))
                return answers[0]

            await client.connect(answer)
            await hub.pump.put(*first_pair())
            await client.until(lambda: bool(client.frames["video"]))
            await peer.close()
            await client.close()
            return answers[0]

    sdp = run(scenario())
    video = sdp.split("m=video", 1)[1]
    assert video.split("a=rtpmap:", 1)[1].split(" ", 1)[1].startswith(mime)
    assert "typ host" in sdp, "candidates are in the answer"
    assert "typ srflx" not in sdp, "no STUN unless it is configured"


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "hello",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
        "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:96 VP8/90000\r\n",
        "v=0\r\nm=audio x y z\r\n",
    ],
    ids=["empty", "no sdp", "no media", "no credentials", "broken media line"],
)
def test_an_offer_that_cannot_be_answered_is_refused_in_clear_text(run: Callable, offer: str) -> None:
    async def scenario() -> str:
        async with session() as hub:
            peer = Peer(hub)
            with pytest.raises(NegotiationError, match="offer") as caught:
                await peer.answer(offer)
            assert peer.closed.is_set()
            return str(caught.value)

    print(run(scenario()))


def test_an_offer_without_a_common_codec_is_refused(remote: type, run: Callable) -> None:
    async def scenario() -> None:
        async with session() as hub:
            client = remote()
            await client.pc.setLocalDescription(await client.pc.createOffer())
            offer = client.pc.localDescription.sdp.replace("VP8/90000", "AV1/90000").replace("H264/", "H265/")
            peer = Peer(hub)
            with pytest.raises(NegotiationError, match="video"):
                await peer.answer(offer)
            assert peer.closed.is_set()
            await client.close()

    run(scenario())


@pytest.mark.parametrize("missing", ["a=fingerprint:", "a=setup:"])
def test_an_offer_without_security_is_refused_at_once(remote: type, run: Callable, missing: str) -> None:
    async def scenario() -> None:
        async with session() as hub:
            client = remote()
            await client.pc.setLocalDescription(await client.pc.createOffer())
            lines = client.pc.localDescription.sdp.splitlines(keepends=True)
            peer = Peer(hub)
            with pytest.raises(NegotiationError, match=missing.rstrip(":")):
                await peer.answer("".join(line for line in lines if not line.startswith(missing)))
            assert peer.closed.is_set()
            await client.close()

    run(scenario())


def test_an_unforeseen_failure_closes_the_peer_and_is_logged(
    remote: type, run: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: Any) -> None:
        raise AttributeError("no such thing")

    async def scenario() -> BaseException | None:
        async with session() as hub:
            client = remote()
            await client.pc.setLocalDescription(await client.pc.createOffer())
            offer = client.pc.localDescription.sdp
            monkeypatch.setattr("aiortc.RTCPeerConnection.setRemoteDescription", break_down)
            peer = Peer(hub)
            with pytest.raises(NegotiationError, match="no such thing") as caught:
                await peer.answer(offer)
            assert peer.closed.is_set()
            await client.close()
            return caught.value.__cause__

    assert isinstance(run(scenario()), AttributeError)
    assert "could not be answered" in caplog.text


def test_close_works_before_start_twice_and_at_once(remote: type, run: Callable) -> None:
    async def scenario() -> None:
        async with session() as hub:
            unused = Peer(hub)
            await unused.close()
            await unused.close()
            assert unused.closed.is_set()
            assert [chunk async for chunk in unused.microphone()] == []
            with pytest.raises(StreamError, match="expected a new peer"):
                await unused.answer("")
            peer, client = Peer(hub), remote()
            await client.connect(peer.answer)
            await asyncio.gather(peer.close(), peer.close())
            assert peer.state == "closed"
            await client.close()

    run(scenario())


def test_the_peer_closes_when_the_remote_end_goes(remote: type, microphone: type, run: Callable) -> None:
    async def scenario() -> int:
        async with session() as hub:
            peer, client = Peer(hub), remote(microphone(beeps(1)))
            await client.connect(peer.answer)
            await asyncio.wait_for(peer.connected.wait(), 5)
            await client.close()
            await asyncio.wait_for(peer.closed.wait(), 5)
            return len([chunk async for chunk in peer.microphone()])

    run(scenario())
