"""The microphone's input path: order, loss, bounds; packets by hand, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from stream.rtc.inbound import LEAD_IN_MS, InboundAudio, InOrder


def packet(number: int, data: bytes = b"opus", ssrc: int = 1) -> RtpPacket:
    made = RtpPacket(payload_type=96, sequence_number=number % 65536, timestamp=number * 960, ssrc=ssrc)
    made.payload = data
    return made


@pytest.mark.parametrize(
    ("numbers", "let_out", "late"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 3, 4], [1, 3, 4], 0),
        ([1, 3, 2, 4], [1, 3, 4], 1),
        ([1, 1, 2], [1, 2], 1),
        ([65534, 65535, 65536, 65537], [65534, 65535, 65536, 65537], 0),
    ],
    ids=["in order", "loss", "swapped", "twice", "wrap"],
)
def test_a_packet_leaves_at_once_or_never(numbers: list[int], let_out: list[int], late: int) -> None:
    buffer = InOrder()
    frames = [buffer.add(packet(number)) for number in numbers]
    assert [f.timestamp // 960 for _, f in frames if f is not None] == let_out
    assert buffer.late == late


@pytest.mark.parametrize(
    ("packets", "let_out"),
    [
        ([(1, 30_000), (1, 7), (1, 8), (1, 9), (1, 10)], [30_000, 9, 10]),
        ([(1, 30_000), (1, 7), (1, 30_001), (1, 900), (1, 30_002)], [30_000, 30_001, 30_002]),
        ([(1, 300), (1, 250), (1, 251), (1, 252), (1, 301)], [300, 301]),
        ([(1, 300), (2, 290), (2, 291), (2, 292), (2, 293)], [300, 292, 293]),
        ([(1, 300), (2, 9000), (1, 301), (1, 302)], [300, 301, 302]),
        ([(1, 300), (2, 65_534), (2, 65_535), (2, 65_536), (2, 65_537)], [300, 65_536, 65_537]),
    ],
    ids=["numbers start over", "strays", "a late burst", "another SSRC", "a stray SSRC", "another SSRC wraps"],
)
def test_a_source_that_starts_over_is_followed(packets: list[tuple[int, int]], let_out: list[int]) -> None:
    buffer = InOrder()
    frames = [buffer.add(packet(number, ssrc=ssrc)) for ssrc, number in packets]
    assert [f.timestamp // 960 for _, f in frames if f is not None] == let_out
    assert buffer.late == len(packets) - len(let_out)


def test_padding_is_not_handed_to_the_decoder() -> None:
    buffer = InOrder()
    assert buffer.add(packet(1, b"")) == (False, None)
    _, frame = buffer.add(packet(2))
    assert frame is not None


class Scripted(MediaStreamTrack):
    """A remote track that gives out the given pts (in packets of 20 ms) and then ends."""

    kind = "audio"

    def __init__(self, packets: list[int], rates: dict[int, int] | None = None) -> None:
        super().__init__()
        self._packets = packets
        self._rates = rates or {}

    async def recv(self) -> av.AudioFrame:
        if not self._packets:
            raise MediaStreamError
        await asyncio.sleep(0)
        number = self._packets.pop(0)
        rate = self._rates.get(number, 48_000)
        samples = np.full((1, rate // 25), 1000, np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, number * rate // 50, Fraction(1, rate)
        return frame


def audio_of(
    packets: list[int], backlog_ms: int = 4000, rates: dict[int, int] | None = None
) -> tuple[np.ndarray, InboundAudio]:
    async def scenario() -> tuple[np.ndarray, InboundAudio]:
        inbound = InboundAudio(backlog_ms=backlog_ms)
        await inbound.read(Scripted(packets, rates))
        audio = [chunk.audio async for chunk in inbound.chunks()]
        return np.concatenate(audio) if audio else np.zeros(0, np.int16), inbound

    return asyncio.run(scenario())


def test_chunks_come_without_waiting_for_a_third_packet() -> None:
    audio, inbound = audio_of(list(range(10)))
    assert len(audio) == 5 * 1920
    assert not audio[: 48 * LEAD_IN_MS].any()
    assert (audio[48 * LEAD_IN_MS :] == 1000).all()
    assert inbound.stats().received_ms == 200


def test_a_lost_packet_becomes_silence_of_its_length() -> None:
    audio, inbound = audio_of([0, 1, 2, 5, 6, 7, 8, 9])
    assert len(audio) == 5 * 1920
    lead_in = 48 * LEAD_IN_MS
    assert not audio[lead_in + 3 * 960 : lead_in + 5 * 960].any()
    assert (audio[lead_in + 5 * 960 :] == 1000).all()
    assert inbound.stats().filled_ms == 40


def test_a_jump_of_the_source_is_not_filled() -> None:
    audio, inbound = audio_of([0, 1, 1000, 1001])
    assert len(audio) == 2 * 1920
    assert inbound.stats().filled_ms == 0


def test_a_change_of_codec_goes_on_with_the_new_rate() -> None:
    audio, inbound = audio_of(list(range(8)), rates=dict.fromkeys(range(4, 8), 8_000))
    assert inbound.stats().received_ms == 160
    assert inbound.stats().filled_ms == 0
    # Two chunks, the 2 ms that the lead-in had pushed out in a third, two of the new rate.
    assert len(audio) == 5 * 1920


def test_a_slow_reader_loses_the_oldest_and_the_loss_is_counted() -> None:
    audio, inbound = audio_of(list(range(100)), backlog_ms=400)
    assert len(audio) == 10 * 1920
    assert inbound.stats().dropped_ms == 2000 - 400


def test_chunks_end_when_the_voice_ends(run: Callable) -> None:
    async def scenario() -> int:
        inbound = InboundAudio(backlog_ms=400)

        async def count() -> int:
            return len([chunk async for chunk in inbound.chunks()])

        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        inbound.end()
        return await counting

    assert run(scenario()) == 0
