"""A pump that plays for as long as a test needs it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame, silence
from stream.playout.playout import Playout, PlayoutConfig
from stream.playout.pump import PlayoutPump

Pair = tuple[AudioChunk, VideoFrame]


@asynccontextmanager
async def playing(pairs: Callable[[int], Pair] | None = None, **config: int) -> AsyncIterator[PlayoutPump]:
    """Run a pump with this `PlayoutConfig`, and put `pairs(0)`, `pairs(1)`, … where they are given."""
    pump = PlayoutPump(Playout(PlayoutConfig(**config)), SessionClock())

    async def act(pairs: Callable[[int], Pair]) -> None:
        for k in itertools.count():
            await pump.put(*pairs(k))

    works = [pump.run()] if pairs is None else [pump.run(), act(pairs)]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield pump
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def numbered(k: int) -> Pair:
    """Chunk and frame number k: the voice says k, the picture shows k."""
    chunk = AudioChunk(np.full(640, 0.1, np.float32), np.full(1920, k + 1, np.int16), k * CHUNK_SAMPLES)
    return chunk, VideoFrame(np.full((16, 16, 3), k % 256, np.uint8), chunk.pts)


def green(k: int) -> Pair:
    """Silence, and a green frame."""
    rgb = np.full((64, 64, 3), (40, 200, 40), np.uint8)
    return silence(k * CHUNK_SAMPLES), VideoFrame(rgb, k * CHUNK_SAMPLES)


async def feed(pump: PlayoutPump, count: int) -> None:
    """Put numbered pairs at the pace of real time, as a renderer does."""
    start = pump.clock.now()
    for k in range(count):
        await pump.clock.sleep_until(start + k * CHUNK_SAMPLES)
        await pump.put(*numbered(k))
