"""Sound is complete at any cost of a frame: a minute of tone through a session with a slowed renderer, simulated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from presenter.runtime.frame_loop import FULL_RATE_MS, FrameLoop, stride_for
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.session import Session
from stream.media import CHUNK_SAMPLES, PLAYOUT_RATE, PLAYOUT_SAMPLES, AudioChunk, VideoFrame
from stream.pcm.formats import AudioFormat, PcmDecoder
from stream.playout.playout import Playout, Tick
from stream.playout.pump import PlayoutPump
from tests.blank_renderer import BlankRenderer
from tests.simulated import SimulatedExecutor, SimulatedLoop, simulate

SECONDS = 60
LEVEL = 3000  # of every sample: what is not this is a hole
RATE = 24_000


class Collector:
    """A tick sink that keeps everything."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []

    def release(self, tick: Tick) -> None:
        self.ticks.append(tick)

    def stop(self) -> None:
        """Nothing to end."""

    def tone(self) -> np.ndarray:
        """What was released from the first sample of the tone to its last."""
        audio = np.concatenate([tick.audio for tick in self.ticks])
        loud = np.flatnonzero(audio)
        return audio[loud[0] : loud[-1] + 1]

    def frames(self) -> list[tuple[int, int]]:
        """`(source position, pts of the frame)` of each new frame in the tone."""
        spoken = [tick for tick in self.ticks if tick.audio.any() and tick.source_pts is not None]
        found = [(tick.source_pts or 0, tick.frame.pts) for tick in spoken if tick.frame is not None]
        found = [pair for pair in found if pair[1] >= (spoken[0].source_pts or 0)]  # without what is held from before
        return [pair for index, pair in enumerate(found) if not index or pair[1] != found[index - 1][1]]


def session_of(loop: SimulatedLoop, frame_ms: float) -> tuple[Session, Collector]:
    pump, collector = PlayoutPump(Playout(), loop.clock()), Collector()
    pump.add(collector)
    slow = SimulatedExecutor(frame_ms / 1000)
    session = Session(BlankRenderer(), pump, slow, Metrics(), audio_executor=SimulatedExecutor(0.003))
    session.start()
    return session, collector


async def microphone(seconds: int) -> AsyncIterator[AudioChunk]:
    for number in range(25 * (seconds + 1)):  # and a second of silence
        await asyncio.sleep(0.04)
        level = LEVEL if number < 25 * seconds else 0
        pcm = np.full(CHUNK_SAMPLES, level / 32768, np.float32)
        yield AudioChunk(pcm, np.full(PLAYOUT_SAMPLES, level, np.int16), number * CHUNK_SAMPLES)


@pytest.mark.parametrize("frame_ms", [17, 60, 120, 300])
def test_speech_that_is_buffered_plays_without_a_hole(frame_ms: int) -> None:
    async def scenario(loop: SimulatedLoop) -> Collector:
        session, collector = session_of(loop, frame_ms)
        await asyncio.sleep(2)
        data, decoder = np.full(SECONDS * RATE, LEVEL, "<i2").tobytes(), PcmDecoder(AudioFormat(RATE, 1, "pcm_s16le"))
        for at in range(0, len(data), 1001):
            session.push(decoder.push(data[at : at + 1001]), RATE, "tone")
        session.end("tone")
        await asyncio.sleep(SECONDS + 2)
        await session.close()
        return collector

    collector = simulate(scenario)
    tone = collector.tone()
    assert np.count_nonzero(tone == 0) == 0, "no hole"
    assert abs(len(tone) - SECONDS * PLAYOUT_RATE) <= 2, "all of it, at its own rate"
    frames = collector.frames()
    assert all(place == pts for place, pts in frames), "no frame is late"
    assert len(frames) >= 0.9 * SECONDS * 25 / -(-frame_ms // FULL_RATE_MS), "as many as the renderer can give"


@pytest.mark.parametrize("frame_ms", [17, 60, 120, 300])
def test_a_microphone_plays_without_a_hole(frame_ms: int) -> None:
    async def scenario(loop: SimulatedLoop) -> tuple[Collector, dict[str, object]]:
        session, collector = session_of(loop, frame_ms)
        await asyncio.sleep(2)
        session.listen(microphone(SECONDS))
        await asyncio.sleep(SECONDS + 2)
        stats = session.stats()
        await session.close()
        return collector, stats

    collector, stats = simulate(scenario)
    tone = collector.tone()
    assert np.count_nonzero(tone == 0) == 0, "no hole"
    assert len(tone) == SECONDS * PLAYOUT_RATE
    assert stats["lost_ms"] == 0
    assert stats["quality"] == ("good" if frame_ms < FULL_RATE_MS else "reduced")
    frames = collector.frames()
    assert len(frames) >= 0.9 * SECONDS * 1000 / max(400 + frame_ms, 0), "never frozen"
    if frame_ms == 17:
        assert len(frames) >= 0.95 * SECONDS * 25


def test_the_rate_changes_with_hysteresis() -> None:
    assert stride_for(17, 1) == 1
    assert stride_for(40, 1) == 2
    assert stride_for(36, 2) == 2, "not back at once"
    assert stride_for(30, 2) == 1
    assert stride_for(300, 1) == 8


def test_a_late_frame_of_what_was_interrupted_is_not_shown() -> None:
    """Frames that are late anyway may be shown late, but not after the interrupt that came while they were rendered."""

    async def scenario(loop: SimulatedLoop) -> list[int]:
        pump, collector = PlayoutPump(Playout(), loop.clock()), Collector()
        pump.add(collector)
        latencies, audio = Latencies(), SimulatedExecutor()
        threads = RenderThreads(BlankRenderer(), SimulatedExecutor(0.3), audio)
        frames = FrameLoop(threads, pump, latencies, Metrics())
        tasks = [asyncio.create_task(work) for work in (pump.run(), frames.run())]
        frames.offer(0, lambda: VideoFrame(np.zeros((16, 16, 3), np.uint8), 0), urgent=True)
        await asyncio.sleep(0.1)
        frames.clear()
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await threads.close()
        assert (frames.shown, frames.dropped) == (0, 1)
        return [tick.frame.pts for tick in collector.ticks if tick.frame is not None]

    assert simulate(scenario) == []
