"""A session's microphone: the queue of its chunks to the renderer, and its use to interrupt the presenter."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Literal

from stream.clock import SessionClock, ms, samples
from stream.media import CHUNK_SAMPLES, AudioChunk, is_quiet
from stream.pcm.vad import SpeechDetector, VadConfig

MicrophoneUse = Literal["voice", "interrupt", "off"]
"""Use of a microphone: it drives the presenter, it interrupts the presenter, or it is off."""
BARGE_IN = VadConfig(aggressiveness=3, onset=7, window=10)
"""What counts as the user's interruption: 140 ms of speech, so that a cough or an echo does not."""
PATIENCE_MS = 100
"""A chunk this late may be replaced by silence."""
MAX_BACKLOG_MS = 1000
"""Bound on sound queued for a compute thread that is too slow; beyond it the oldest is dropped and counted."""

_TOO_MANY = 3  # chunks waiting: the thread does not keep up, so pauses are shortened before speech is delayed further


class MicrophoneQueue:
    """Chunks of a microphone that wait for the renderer. No clock, no tasks."""

    def __init__(self) -> None:
        """Begin empty."""
        self.lost_ms = 0.0
        """Sound dropped because the queue was full."""
        self.trimmed_ms = 0.0
        """Pauses that were dropped to catch up."""
        self._chunks: deque[tuple[AudioChunk, int]] = deque(maxlen=samples(MAX_BACKLOG_MS) // CHUNK_SAMPLES)
        self._due: int | None = None

    @property
    def waiting_ms(self) -> float:
        """Sound that waits."""
        return ms(len(self._chunks) * CHUNK_SAMPLES)

    def is_expected(self, now: int) -> bool:
        """Whether the next chunk may still arrive in time, at session time `now`."""
        return self._due is not None and now < self._due

    def push(self, chunk: AudioChunk, now: int) -> None:
        """Take a chunk, which arrived at session time `now`."""
        if len(self._chunks) == self._chunks.maxlen:
            self.lost_ms += ms(CHUNK_SAMPLES)
        self._chunks.append((chunk, now))

    def take(self) -> tuple[AudioChunk, int] | None:
        """Return the next chunk and when it arrived, or None; pauses are dropped while too much is queued."""
        while len(self._chunks) > _TOO_MANY and is_quiet(self._chunks[0][0]):
            self._chunks.popleft()
            self.trimmed_ms += ms(CHUNK_SAMPLES)
        if not self._chunks:
            return None
        chunk, arrived = self._chunks.popleft()
        self._due = arrived + CHUNK_SAMPLES + samples(PATIENCE_MS)
        return chunk, arrived

    def clear(self) -> None:
        """Drop what waits."""
        self._chunks.clear()


class MicrophoneListener:
    """Reads one microphone at a time: into the queue, or to interrupt the utterance being played."""

    def __init__(
        self,
        queue: MicrophoneQueue,
        clock: SessionClock,
        *,
        is_saying: Callable[[], bool],
        on_chunk: Callable[[], None],
        on_barge_in: Callable[[], object],
        on_end: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """Read nothing yet.

        Args:
            queue: where chunks go, unless pushed speech is being played.
            clock: the session's, which stamps the arrival of chunks.
            is_saying: whether speech that was pushed is being played, which has priority over the microphone.
            on_chunk: called after each chunk that was queued.
            on_barge_in: called when the user begins to speak while pushed speech is being played.
            on_end: called with the task of a microphone when it has ended.
        """
        self.user_speaks = False
        """Whether the user of a microphone that interrupts is speaking."""
        self._queue = queue
        self._clock = clock
        self._is_saying = is_saying
        self._on_chunk, self._on_barge_in, self._on_end = on_chunk, on_barge_in, on_end
        self._task: asyncio.Task[None] | None = None

    def listen(self, microphone: AsyncIterator[AudioChunk], use: MicrophoneUse) -> None:
        """Read a microphone until it ends, instead of the one before."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(self._read(microphone, use))
        self._task.add_done_callback(self._on_end)

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)  # a failure was reported when it happened

    async def _read(self, microphone: AsyncIterator[AudioChunk], use: MicrophoneUse) -> None:
        detector = SpeechDetector(BARGE_IN)
        try:
            async for chunk in microphone:
                if use == "interrupt":
                    before, self.user_speaks = self.user_speaks, detector.push(chunk)
                    if self.user_speaks and not before and self._is_saying():
                        self._on_barge_in()
                elif use == "voice" and not self._is_saying():
                    self._queue.push(chunk, self._clock.now())
                    self._on_chunk()
        finally:
            self.user_speaks = False
