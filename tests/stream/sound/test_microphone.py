"""Sound that another program plays, heard through a real sound server in the session's chunks."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from stream.clock import SessionClock
from stream.errors import DeviceError
from stream.media import CHUNK_SAMPLES, AudioChunk, FloatArray
from stream.pcm.gate import NoiseGate
from stream.sound.microphone import FLOOR_DBFS, Microphone

TONE_DBFS = 20 * math.log10(0.25) - 10 * math.log10(2)


@contextlib.asynccontextmanager
async def listening(microphone: Microphone) -> AsyncIterator[AsyncIterator[AudioChunk]]:
    await microphone.open()
    try:
        yield microphone.chunks()
    finally:
        await asyncio.wait_for(microphone.close(), 5)


async def loud(chunks: AsyncIterator[AudioChunk], count: int) -> list[AudioChunk]:
    """Chunks in a row that hold the tone, the first of them left out."""
    kept: list[AudioChunk] = []
    async for chunk in chunks:
        is_loud = np.abs(chunk.pcm).max() > 0.1
        kept = [*kept, chunk] if is_loud else []
        if len(kept) > count:
            break
    return kept[1:]


def level(pcm: np.ndarray) -> float:
    return 10 * math.log10(np.mean(pcm.astype(float) ** 2) + 1e-31)


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_a_tone_arrives_with_its_pitch_and_level(pulse: Any, run: Callable, pitch: Callable, rate: int) -> None:
    pulse.plug("desk", rate=rate)

    async def scenario() -> None:
        pulse.play_tone("desk", 440, 12, rate=rate)
        microphone = Microphone("desk", SessionClock())
        async with listening(microphone) as chunks:
            assert microphone.device.default_rate == rate
            heard = await loud(chunks, 20)
            stats = microphone.stats
        assert np.diff([chunk.pts for chunk in heard]).tolist() == [CHUNK_SAMPLES] * 19
        pcm = np.concatenate([chunk.pcm for chunk in heard])
        audio = np.concatenate([chunk.audio for chunk in heard]) / 32768
        assert pitch(pcm, 16_000) == pytest.approx(440, abs=1)
        assert pitch(audio, 48_000) == pytest.approx(440, abs=1)
        assert level(pcm) == pytest.approx(TONE_DBFS, abs=0.5)
        assert level(audio) == pytest.approx(TONE_DBFS, abs=0.5)
        assert stats.rms_dbfs == pytest.approx(TONE_DBFS, abs=0.7)
        assert stats.peak_dbfs == pytest.approx(20 * math.log10(0.25), abs=0.7)
        assert not stats.gone

    run(scenario())


def test_a_muted_microphone_gives_silence_and_shows_the_level(pulse: Any, run: Callable) -> None:
    async def scenario() -> None:
        pulse.play_tone("talk", 300, 15)
        microphone = Microphone("talk", SessionClock(), NoiseGate())
        async with listening(microphone) as chunks:
            before = (await loud(chunks, 3))[-1]
            microphone.muted = True
            muted = [await anext(chunks) for _ in range(12)][-6:]
            assert not any(chunk.pcm.any() or chunk.audio.any() for chunk in muted)
            assert muted[-1].pts - before.pts == 12 * CHUNK_SAMPLES
            assert microphone.stats.rms_dbfs == pytest.approx(TONE_DBFS, abs=0.7)
            microphone.muted = False
            await loud(chunks, 3)

    run(scenario())


def test_pulled_out_and_put_back(pulse: Any, run: Callable) -> None:
    made: list[PassOn] = []
    messages: list[str] = []

    def make(rate: int) -> PassOn:
        made.append(PassOn(rate))
        return made[-1]

    async def scenario() -> None:
        pulse.play_tone("talk", 300, 20)
        microphone = Microphone("talk", SessionClock(), corrector=make, on_change=messages.append)
        async with listening(microphone) as chunks:
            before = await loud(chunks, 3)
            pulse.unplug("talk")
            async with asyncio.timeout(6):
                while not messages:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            assert microphone.stats.gone
            assert microphone.stats.rms_dbfs == FLOOR_DBFS
            pulse.plug("talk", rate=44_100)
            pulse.play_tone("talk", 300, 20, rate=44_100)
            after = await loud(chunks, 3)
            assert not microphone.stats.gone
            assert microphone.stats.drift_ppm == 12.0
        assert after[0].pts > before[-1].pts
        assert (after[0].pts - before[-1].pts) % CHUNK_SAMPLES == 0

    run(scenario())
    assert [one.rate for one in made] == [48_000, 44_100]
    assert all(np.diff(one.times).min() >= 0 for one in made)
    assert [message.rpartition("'")[2] for message in messages] == [
        " is gone; plug it in again, it will be used at once.",
        " is back.",
    ]


class PassOn:
    """A corrector that notes what it is given."""

    ppm = 12.0

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.times: list[float] = []

    def push(self, pcm: FloatArray, now_s: float) -> FloatArray:
        assert pcm.dtype == np.float32
        assert pcm.shape == (self.rate // 100,)
        self.times.append(now_s)
        return pcm


def test_a_slow_reader_loses_the_oldest(pulse: Any, run: Callable) -> None:
    async def scenario() -> None:
        microphone = Microphone("talk", SessionClock(), backlog_ms=200)
        async with listening(microphone) as chunks:
            async with asyncio.timeout(8):
                while microphone.stats.lost_ms < 400:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            lost_ms = microphone.stats.lost_ms
            assert (await anext(chunks)).pts == lost_ms * 16
        rest = [chunk async for chunk in chunks]
        assert len(rest) <= 5

    run(scenario())


def test_a_name_that_nobody_has_fails_at_once(pulse: Any, run: Callable) -> None:
    with pytest.raises(DeviceError) as error:
        run(Microphone("headset", SessionClock()).open())
    assert str(error.value).startswith(
        "microphone: there is none named 'headset'; there are:\n  Monitor of Null Output"
    )
