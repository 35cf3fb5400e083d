"""A bounded queue of chunks from a live source to one reader; drops the oldest when the reader is too slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from stream.clock import ms
from stream.media import CHUNK_SAMPLES, AudioChunk


class ChunkQueue:
    """Belongs to the event loop."""

    def __init__(self, backlog_ms: int) -> None:
        """Keep at most `backlog_ms`, but at least one chunk."""
        self.dropped_ms = 0.0
        """Sound that was dropped because the reader was further behind than the bound."""
        self.ended = False
        self._waiting: deque[AudioChunk] = deque(maxlen=max(1, round(backlog_ms / ms(CHUNK_SAMPLES))))
        self._changed = asyncio.Event()

    def put(self, chunks: Iterable[AudioChunk]) -> None:
        """Add chunks."""
        for chunk in chunks:
            if len(self._waiting) == self._waiting.maxlen:
                self.dropped_ms += ms(CHUNK_SAMPLES)
            self._waiting.append(chunk)
        self._changed.set()

    def end(self) -> None:
        """End the stream: `chunks` finishes after what waits."""
        self.ended = True
        self._changed.set()

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks as they come, until the end."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self.ended:
                return
            self._changed.clear()
            await self._changed.wait()
