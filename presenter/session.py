"""One presenter, live: chunks from a source, a compute thread, matched sound and picture out."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from presenter.metrics import Metrics
from presenter.renderer import Renderer
from stream.clock import ms, samples
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame, is_quiet, silence
from stream.tracks import Playback
from stream.vad import SpeechDetector

PATIENCE_MS = 100
"""With a chunk this late, silence takes its place."""
MAX_BACKLOG_MS = 1000
"""Sound waiting for a compute thread that is too slow; beyond it the oldest is lost, and counted."""
WINDOW = 50
"""Chunks over which latencies are summarised: 2 s."""

_BEHIND = 2  # chunks waiting: a picture is left out, so that the voice does not wait for it
_TOO_MANY = 3  # chunks waiting: the thread does not keep up, so pauses are shortened before speech is delayed further

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Latencies:
    """The latest measurements of one session, in ms."""

    render: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    ready: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))
    out: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def medians(self) -> dict[str, float | None]:
        named = (("render", self.render), ("ready", self.ready), ("out", self.out))
        return {name: round(median(values), 1) if values else None for name, values in named}


class Session:
    """Renders what a source says and plays it out.

    The presenter is always on: when the source gives nothing, silence is rendered in its place, so that
    waiting, listening and talking are one path without a seam.
    """

    def __init__(self, renderer: Renderer, playback: Playback, executor: ThreadPoolExecutor, metrics: Metrics) -> None:
        """Start nothing yet.

        Args:
            renderer: used by the executor's thread only, from now until `close`.
            playback: where matched pairs go; its clock is the session's clock.
            executor: one thread, the one that made the renderer; shut down by `close`.
            metrics: the server's counters.
        """
        self.playback = playback
        self._renderer = renderer
        self._executor = executor
        self._metrics = metrics
        self._vad = SpeechDetector()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard: deque[tuple[AudioChunk, int]] = deque(maxlen=samples(MAX_BACKLOG_MS) // CHUNK_SAMPLES)
        self._something_heard = asyncio.Event()
        self._arrivals: dict[int, int] = {}  # session time of arrival by pts, of chunks inside the renderer
        self._latencies = _Latencies()
        self._frames = self._skipped = 0
        self._lost_ms = self._trimmed_ms = 0.0
        self._closed = False

    @property
    def failed(self) -> bool:
        """Whether rendering has stopped by itself, which only a bug makes happen."""
        return not self._closed and any(task.done() for task in self._tasks)

    def start(self, source: AsyncIterator[AudioChunk]) -> None:
        """Begin to render; the presenter lives from here on, also while the source says nothing and after it ends."""
        if self._tasks or self._closed:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self.playback.run()), loop.create_task(self._render())]
        listener = loop.create_task(self._listen(source))
        for task in (*self._tasks, listener):
            task.add_done_callback(_log_failure)
        # The listener may end with its source; the other two never do.
        self._tasks[1].add_done_callback(lambda _: listener.cancel())

    async def _listen(self, source: AsyncIterator[AudioChunk]) -> None:
        async for chunk in source:
            if len(self._heard) == self._heard.maxlen:
                self._lost_ms += ms(CHUNK_SAMPLES)
                self._metrics.sound_lost_ms_total += ms(CHUNK_SAMPLES)
            self._heard.append((chunk, self.playback.clock.now()))
            self._something_heard.set()

    async def _next(self, due: int) -> tuple[AudioChunk, int] | None:
        """Return the next chunk and its arrival, or None if there is none until `due`."""
        while not self._heard:
            self._something_heard.clear()
            wait_s = (due - self.playback.clock.now()) / samples(1000)
            if wait_s <= 0:
                return None
            try:
                await asyncio.wait_for(self._something_heard.wait(), wait_s)
            except TimeoutError:
                return None
        while len(self._heard) > _TOO_MANY and is_quiet(self._heard[0][0]):
            self._heard.popleft()
            self._trimmed_ms += ms(CHUNK_SAMPLES)
        return self._heard.popleft()

    async def _render(self) -> None:
        clock = self.playback.clock
        due = clock.now()
        pts = 0
        while True:
            heard = await self._next(due)
            if heard is None:
                chunk, arrived = silence(pts), due
                due += CHUNK_SAMPLES
            else:
                chunk, arrived = replace(heard[0], pts=pts), heard[1]
                due = arrived + CHUNK_SAMPLES + samples(PATIENCE_MS)
            self._vad.push(chunk)
            self._arrivals[pts] = arrived
            pts += CHUNK_SAMPLES
            await self._step(chunk)

    async def _step(self, chunk: AudioChunk) -> None:
        clock = self.playback.clock
        begun = clock.now()
        behind = len(self._heard) >= _BEHIND
        pairs = await self._compute(self._hear_only if behind else self._renderer.push, chunk)
        took = ms(clock.now() - begun)
        self._latencies.render.append(took)
        self._metrics.render_ms.add(took)
        for rendered, frame in pairs:
            self._note_ready(rendered, frame, clock.now())
            await self.playback.put(rendered, frame)

    def _hear_only(self, chunk: AudioChunk) -> list[tuple[AudioChunk, VideoFrame | None]]:
        return [(heard, None) for heard in self._renderer.skip(chunk)]

    async def _compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _note_ready(self, chunk: AudioChunk, frame: VideoFrame | None, now: int) -> None:
        ready = ms(now - self._arrivals[chunk.pts])
        for pts in [pts for pts in self._arrivals if pts <= chunk.pts]:  # older ones were taken away by an interrupt
            del self._arrivals[pts]
        self._latencies.ready.append(ready)
        # The chunk's last sample leaves when all that is queued, and then the chunk itself, has been played.
        self._latencies.out.append(ready + self.playback.stats().queued_ms + ms(CHUNK_SAMPLES))
        self._metrics.ready_ms.add(ready)
        self._metrics.frames_total += frame is not None
        self._metrics.frames_skipped_total += frame is None
        self._frames += frame is not None
        self._skipped += frame is None

    async def interrupt(self) -> None:
        """Forget everything that was not said yet: what waits, what is being rendered and what is queued."""
        self._heard.clear()
        self.playback.clear()
        await self._compute(self._renderer.reset)
        self.playback.clear()

    def stats(self) -> dict[str, Any]:
        """Return what the page shows.

        `latency_ms`, medians over 2 s: `render` of one chunk; `ready`, from a chunk's arrival to its frame; `out`,
        from the arrival of a sound to the instant it is stamped to play. `trimmed_ms` counts pauses that were left out,
        `lost_ms` sound that was lost because rendering was too slow.
        """
        played = self.playback.stats()
        return {
            "type": "stats",
            "speaking": self._vad.speaking,
            "latency_ms": self._latencies.medians(),
            "waiting_ms": ms(len(self._heard) * CHUNK_SAMPLES),
            "queued_ms": round(played.queued_ms, 1),
            "trimmed_ms": round(played.trimmed_ms + self._trimmed_ms, 1),
            "lost_ms": round(self._lost_ms, 1),
            "underruns": played.underruns,
            "frames": self._frames,
            "frames_skipped": self._skipped,
        }

    async def close(self) -> None:
        """Stop rendering and give the renderer back; works before `start` and twice."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)  # a failure was logged when it happened
        try:
            await self._compute(self._renderer.close)
        finally:
            self._executor.shutdown(wait=False)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a session stopped rendering", exc_info=error)
