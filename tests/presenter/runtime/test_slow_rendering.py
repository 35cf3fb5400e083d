"""Sound is complete at any cost of a frame: a minute of tone through a session with a slowed renderer, simulated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from presenter.runtime.frame_loop import FrameLoop
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.quality_ladder import FULL_RATE_MS
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


class Rendering(SimulatedExecutor):
    """A thread in which frames with a new mouth take longer than the others; it counts both."""

    def __init__(self, frame_ms: float, between_ms: float) -> None:
        super().__init__(frame_ms / 1000)
        self._costs = frame_ms / 1000, between_ms / 1000
        self.counts = [0, 0]

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        kept = bool(getattr(function, "keywords", {}).get("keep_mouth"))
        self.counts[kept] += 1
        self._cost_s = self._costs[kept]
        return super().submit(function, *arguments, **named)


def session_of(
    loop: SimulatedLoop, frame_ms: float, executor: SimulatedExecutor | None = None
) -> tuple[Session, Collector]:
    """A session whose frames take so long, or which renders in a thread of another session."""
    pump, collector = PlayoutPump(Playout(), loop.clock()), Collector()
    pump.add(collector)
    slow = executor or SimulatedExecutor(frame_ms / 1000)
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


@pytest.mark.parametrize(("frame_ms", "between_ms", "stride"), [(45, 9, 2), (60, 6, 2), (90, 5, 3)])
def test_the_head_moves_on_where_mouths_take_too_long(frame_ms: float, between_ms: float, stride: int) -> None:
    """Every frame of a microphone's speech is shown, every second or third with a new mouth."""

    async def scenario(loop: SimulatedLoop) -> tuple[Collector, list[int], dict[str, object]]:
        rendering = Rendering(frame_ms, between_ms)
        session, collector = session_of(loop, 0, rendering)
        await asyncio.sleep(2)
        rendering.counts = [0, 0]
        session.listen(microphone(20))
        await asyncio.sleep(22)
        stats = session.stats()
        await session.close()
        return collector, rendering.counts, stats

    collector, (mouths, between), stats = simulate(scenario)
    assert np.count_nonzero(collector.tone() == 0) == 0
    assert len(collector.tone()) == 20 * PLAYOUT_RATE
    frames = collector.frames()
    assert all(place == pts for place, pts in frames), "no frame is late"
    assert len(frames) >= 0.9 * 20 * 25, "25 a second"
    assert mouths >= 0.9 * 22 * 25 / stride
    assert between >= 0.8 * 22 * 25 * (stride - 1) / stride
    assert stats["quality"] == "reduced"


@pytest.mark.parametrize("frame_ms", [15, 19, 30])
def test_a_session_that_speaks_ahead_starves_no_live_one(frame_ms: float) -> None:
    """Two sessions and one thread: one has a minute of speech buffered, the other has a microphone."""

    async def scenario(loop: SimulatedLoop) -> tuple[list[Collector], dict[str, Any]]:
        shared = SimulatedExecutor(frame_ms / 1000)
        (ahead, one), (live, other) = (session_of(loop, frame_ms, shared) for _ in range(2))
        await asyncio.sleep(2)
        live.listen(microphone(SECONDS - 5))
        await asyncio.sleep(2)
        ahead.push(np.full(SECONDS * RATE, LEVEL, np.int16), RATE, "tone")
        ahead.end("tone")
        await asyncio.sleep(SECONDS + 2)
        stats = live.stats()
        await ahead.close()
        await live.close()
        return [one, other], stats

    (ahead, live), stats = simulate(scenario)
    for collector, seconds in ((ahead, SECONDS), (live, SECONDS - 5)):
        tone = collector.tone()
        assert np.count_nonzero(tone == 0) == 0, "no hole"
        assert abs(len(tone) - seconds * PLAYOUT_RATE) <= 2
        fair = min(25.0, 1000 / (2 * frame_ms) / 1.5)  # each half of the thread; rates are whole fractions of 25
        assert len(collector.frames()) >= 0.9 * seconds * fair
    assert stats["lost_ms"] == 0


def test_nothing_is_rendered_that_nobody_sees() -> None:
    """Speech is heard on while nobody watches, and the picture returns with a viewer."""

    async def scenario(loop: SimulatedLoop) -> tuple[Collector, list[int], int]:
        rendering = Rendering(15, 3)
        session, collector = session_of(loop, 0, rendering)
        await asyncio.sleep(1)
        session.note_watched(False)
        session.push(np.full(20 * RATE, LEVEL, np.int16), RATE, "tone")
        session.end("tone")
        await asyncio.sleep(0.1)
        before, lost = sum(rendering.counts), session.stats()["frames_skipped"]
        await asyncio.sleep(10)
        unseen = sum(rendering.counts) - before
        skipped = session.stats()["frames_skipped"] - lost
        session.note_watched(True)
        await asyncio.sleep(5)
        seen = sum(rendering.counts) - before - unseen
        await asyncio.sleep(8)
        await session.close()
        return collector, [unseen, seen], skipped

    collector, (unseen, seen), skipped = simulate(scenario)
    tone = collector.tone()
    assert np.count_nonzero(tone == 0) == 0
    assert abs(len(tone) - 20 * PLAYOUT_RATE) <= 2
    assert unseen == 0
    assert skipped == 0, "what nobody would have seen is not counted as lost"
    assert seen >= 0.95 * 5 * 25


def test_a_late_frame_of_what_was_interrupted_is_not_shown() -> None:
    """Frames that are late anyway may be shown late, but not after the interrupt that came while they were rendered."""

    async def scenario(loop: SimulatedLoop) -> list[int]:
        pump, collector = PlayoutPump(Playout(), loop.clock()), Collector()
        pump.add(collector)
        latencies, audio = Latencies(), SimulatedExecutor()
        threads = RenderThreads(BlankRenderer(), SimulatedExecutor(0.3), audio)
        frames = FrameLoop(threads, pump, latencies, Metrics())
        tasks = [asyncio.create_task(work) for work in (pump.run(), frames.run())]
        frames.offer(0, lambda **_: VideoFrame(np.zeros((16, 16, 3), np.uint8), 0), urgent=True)
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
