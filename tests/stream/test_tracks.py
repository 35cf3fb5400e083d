"""One playback, several viewers: same instant for sound and picture, nobody slows the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from stream.clock import SessionClock, samples
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame
from stream.playout import Playout, PlayoutConfig
from stream.tracks import FaceTrack, Playback, VoiceTrack


def pair(k: int) -> tuple[AudioChunk, VideoFrame]:
    """Chunk and frame number k: the voice says k, the picture shows k."""
    chunk = AudioChunk(np.full(640, 0.1, np.float32), np.full(1920, k + 1, np.int16), k * CHUNK_SAMPLES)
    return chunk, VideoFrame(np.full((16, 16, 3), k % 256, np.uint8), chunk.pts)


@asynccontextmanager
async def playing(**config: int) -> AsyncIterator[Playback]:
    playback = Playback(Playout(PlayoutConfig(**config)), SessionClock())
    task = asyncio.create_task(playback.run())
    try:
        yield playback
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def feed(playback: Playback, count: int) -> None:
    """Put pairs at the pace of real time, as a renderer does."""
    start = playback.clock.now()
    for k in range(count):
        await playback.clock.sleep_until(start + k * CHUNK_SAMPLES)
        await playback.put(*pair(k))


def test_matching_sound_and_picture_are_given_out_at_the_same_instant(run: Callable) -> None:
    async def scenario() -> tuple[dict[int, int], dict[int, int], dict[int, int], dict[int, int]]:
        heard: dict[int, int] = {}
        seen: dict[int, int] = {}
        heard_pts: dict[int, int] = {}
        seen_pts: dict[int, int] = {}

        async def listen(voice: VoiceTrack) -> None:
            while len(heard) < 20:
                frame = await voice.recv()
                k = int(frame.to_ndarray()[0, 0]) - 1
                if k >= 0 and k not in heard:
                    heard[k], heard_pts[k] = playback.clock.elapsed_ns(), frame.pts

        async def watch(face: FaceTrack) -> None:
            while len(seen) < 20:
                frame = await face.recv()
                k = int(frame.to_ndarray()[0, 0, 0])
                if k not in seen:
                    seen[k], seen_pts[k] = playback.clock.elapsed_ns(), frame.pts

        async with playing(target_ms=80) as playback:
            voice, face = playback.tracks()
            await asyncio.gather(feed(playback, 24), listen(voice), watch(face))
        return heard, seen, heard_pts, seen_pts

    heard, seen, heard_pts, seen_pts = run(scenario())
    apart_ms = [abs(heard[k] - seen[k]) / 1e6 for k in heard if k in seen]
    print(f"given out apart by, ms: median {np.median(apart_ms):.3f}, worst {max(apart_ms):.3f}")
    assert np.median(apart_ms) < 5
    for k in heard:
        # 48 kHz and 90 kHz pictures of one instant.
        assert heard_pts[k] * 90_000 == seen_pts[k] * 48_000


def test_voice_frames_are_stereo_without_gaps_in_real_time(run: Callable) -> None:
    async def scenario() -> tuple[list[int], float]:
        async with playing() as playback:
            voice, _ = playback.tracks()
            first = await voice.recv()
            assert (first.sample_rate, first.layout.name, first.samples) == (48_000, "stereo", 960)
            start = playback.clock.elapsed_ns()
            pts = [(await voice.recv()).pts for _ in range(25)]
            return pts, (playback.clock.elapsed_ns() - start) / 1e9

    pts, seconds = run(scenario())
    assert set(np.diff(pts)) == {960}
    assert seconds == pytest.approx(0.5, abs=0.3)


def test_a_late_viewer_sees_the_present_face_at_once(run: Callable) -> None:
    async def scenario() -> tuple[float, int]:
        async with playing(target_ms=40) as playback:
            voice, face = playback.tracks()
            await feed(playback, 3)
            await asyncio.wait_for(face.recv(), 1)
            await asyncio.sleep(0.15)
            _, late = playback.tracks()
            start = playback.clock.elapsed_ns()
            frame = await late.recv()
            voice.stop()
            return (playback.clock.elapsed_ns() - start) / 1e6, int(frame.to_ndarray()[0, 0, 0])

    wait_ms, shown = run(scenario())
    assert wait_ms < 150
    assert shown == 2


def test_nothing_ages_before_a_viewer_reads_and_a_stalled_one_stays_bounded(run: Callable) -> None:
    async def scenario() -> tuple[float, float, float]:
        async with playing() as playback:
            early, _ = playback.tracks()
            stalled, _ = playback.tracks()
            await stalled.recv()
            await asyncio.sleep(1.0)
            first_age = playback.clock.now() - (await early.recv()).pts // 3
            stalled_age = playback.clock.now() - (await stalled.recv()).pts // 3
            return first_age / 16, stalled.dropped_ms, stalled_age / 16

    first_age_ms, dropped_ms, stalled_age_ms = run(scenario())
    assert first_age_ms < 200
    assert dropped_ms > 200
    assert stalled_age_ms < 900


def test_a_full_queue_makes_the_source_wait_and_loses_nothing(run: Callable) -> None:
    async def scenario() -> tuple[list[int], float]:
        values: list[int] = []

        async def listen(voice: VoiceTrack) -> None:
            while len(values) < 40:
                value = int((await voice.recv()).to_ndarray()[0, 0])
                if value:
                    values.append(value)

        async with playing(target_ms=40, max_ms=120) as playback:
            voice, _ = playback.tracks()
            listener = asyncio.create_task(listen(voice))
            await asyncio.sleep(0)
            start = playback.clock.elapsed_ns()
            for k in range(20):
                await playback.put(*pair(k))
            took = (playback.clock.elapsed_ns() - start) / 1e9
            await listener
            return values, took

    values, took = run(scenario())
    assert values == [k // 2 + 1 for k in range(40)]
    assert took == pytest.approx(0.68, abs=0.4), "paced by play, not by the source"


def test_an_interrupt_is_heard_within_a_tick(run: Callable) -> None:
    async def scenario() -> float:
        async with playing(target_ms=40) as playback:
            voice, _ = playback.tracks()
            for k in range(20):
                await playback.put(*pair(k))
            while not (await voice.recv()).to_ndarray().any():
                pass
            playback.clear()
            at = playback.clock.elapsed_ns()
            silent = 0
            while silent < 2:
                silent = 0 if (await voice.recv()).to_ndarray()[0, 600:].any() else silent + 1
            return (playback.clock.elapsed_ns() - at) / 1e6

    assert run(scenario()) < 200


def test_a_stopped_machine_skips_the_past_instead_of_playing_it(run: Callable) -> None:
    class Jumping(SessionClock):
        jump_ns = 0

        def elapsed_ns(self) -> int:
            return super().elapsed_ns() + self.jump_ns

    async def scenario() -> tuple[int, int]:
        clock = Jumping()
        playback = Playback(Playout(), clock)
        task = asyncio.create_task(playback.run())
        voice, _ = playback.tracks()
        await voice.recv()
        clock.jump_ns = 10_000_000_000
        await voice.recv()
        received = 0
        while clock.now() - (await voice.recv()).pts // 3 > samples(60):
            received += 1
        task.cancel()
        return received, clock.now()

    received, now = run(scenario())
    assert received < 10
    assert now > samples(10_000)


def test_tracks_end_with_the_playback_and_by_stop(run: Callable) -> None:
    async def scenario() -> None:
        async with playing() as playback:
            voice, face = playback.tracks()
            other, _ = playback.tracks()
            await voice.recv()
            pending = asyncio.create_task(face.recv())
            await asyncio.sleep(0)
            face.stop()
            with pytest.raises(MediaStreamError):
                await pending
            with pytest.raises(MediaStreamError):
                await face.recv()
            other.stop()
            other.stop()
            with pytest.raises(MediaStreamError):
                await other.recv()
        assert voice.readyState == face.readyState == "ended"
        with pytest.raises(MediaStreamError):
            await voice.recv()

    run(scenario())
