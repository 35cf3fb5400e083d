"""A presenter without a server: speech in, matched audio and frames out, for programs with their own output.

    async with await TalkingHead.open("default") as head:
        head.push(pcm, rate=24_000)
        head.end()
        async for pair in head:
            play(pair.chunk.audio, pair.frame)

It is a `Session` whose sink is emptied by hand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from presenter.config import AppConfig, load_config
from presenter.errors import PresenterError
from presenter.runtime.engine import Engine
from presenter.runtime.frame_renderer import FrameRenderer, RendererPool
from presenter.runtime.identities import IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import make_in_thread
from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from stream.clock import SessionClock, ms
from stream.media import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk, Int16Array, VideoFrame, is_quiet
from stream.playout.playout import TICK_PLAYOUT_SAMPLES, TICK_SAMPLES, PlayoutStats, Tick
from stream.wire import SpeakEnded

_PATIENCE_MS = 30.0
"""So long a consumer in real time waits for a frame; less than a chunk lasts, so that it does not fall behind."""
_ROOM_PAIRS = 25  # rendered ahead: a second


@dataclass(frozen=True, slots=True)
class Pair:
    """40 ms of audio and their frame."""

    chunk: AudioChunk
    """`audio` is int16 `[1920]`, 48 kHz mono; silence while idle."""
    frame: VideoFrame
    """`rgb` is uint8 `[H, W, 3]`; in real time the frame before, where this chunk's was not ready."""
    speech: bool
    """Whether this is part of an utterance; False for the silence between and, where its sound did not come, within."""
    ended: str | None
    """The utterance that ends with this pair."""


@dataclass(slots=True, eq=False)
class _Put:
    chunk: AudioChunk
    frame: VideoFrame | None
    elastic: bool


class _Tray:
    """A sink that is emptied by hand.

    Without real time, silence is made on request and every chunk waits for its frame. In real time, silence
    is kept ready, and a chunk whose frame is not ready goes with the frame before.
    """

    matte_wanted = False

    def __init__(self, *, real_time: bool) -> None:
        self.real_time = real_time
        self._time = 0
        # Time is what was taken: a consumer may be faster or slower than real time.
        self.clock = SessionClock(lambda: self._time * 1_000_000_000 // SAMPLE_RATE)
        self._pairs: deque[_Put] = deque()
        self._observers: list[Callable[[Tick], None]] = []
        self._changed = asyncio.Event()
        self._asked = False
        self._shown: VideoFrame | None = None

    @property
    def queued_ms(self) -> float:
        """What is ready, or enough that no silence is made without a request."""
        ready_ms = ms(len(self._pairs) * CHUNK_SAMPLES)
        return ready_ms if self._asked or self.real_time else max(ready_ms, ms(_ROOM_PAIRS * CHUNK_SAMPLES))

    @property
    def shown_pts(self) -> int | None:
        return None if self._shown is None else self._shown.pts

    async def run(self) -> None:
        await asyncio.Event().wait()

    def observe(self, function: Callable[[Tick], None]) -> None:
        self._observers.append(function)

    def has_room(self) -> bool:
        return len(self._pairs) < _ROOM_PAIRS

    def put_now(self, chunk: AudioChunk, frame: VideoFrame | None = None, *, elastic: bool = True) -> None:
        self._pairs.append(_Put(chunk, frame, elastic))
        self._changed.set()

    def attach(self, frame: VideoFrame, *, late: bool = False) -> bool:
        for put in self._pairs:
            if put.chunk.pts == frame.pts:
                put.frame = frame
                self._changed.set()
                return True
        if late and (self._shown is None or self._shown.pts < frame.pts):
            self._shown = frame  # with the next chunk
            return True
        return False

    def first_unrendered(self, ahead_ms: float, stride: int = 1) -> int | None:
        for index, put in enumerate(self._pairs):
            wanted = put.frame is None and put.chunk.pts // CHUNK_SAMPLES % stride == 0
            if wanted and index * ms(CHUNK_SAMPLES) + _PATIENCE_MS >= ahead_ms:
                return put.chunk.pts
        return None

    def hold(self, ahead_ms: float) -> None:
        """Nothing to keep: speech is processed a second ahead, and silence on request."""

    def clear(self) -> None:
        self._pairs.clear()

    def cut_pause(self, keep_ms: float) -> None:
        while self._pairs and self._pairs[-1].elastic and is_quiet(self._pairs[-1].chunk):
            self._pairs.pop()

    def stats(self) -> PlayoutStats:
        return PlayoutStats(queued_ms=ms(len(self._pairs) * CHUNK_SAMPLES))

    async def filled(self, wake: Callable[[], None]) -> None:
        """Wait until there is a pair; `wake` tells the session that one is wanted."""
        self._asked = True
        try:
            while not self._pairs:
                await self._change(wake)
            try:
                async with asyncio.timeout(_PATIENCE_MS / 1000 if self.real_time and self._shown else None):
                    while not self._pairs or self._pairs[0].frame is None:
                        await self._change(wake)
            except TimeoutError:
                pass  # with the frame before
        finally:
            self._asked = False

    def _is_ready(self) -> bool:
        if not self._pairs:
            return False
        return self._pairs[0].frame is not None or (self.real_time and self._shown is not None)

    async def _change(self, wake: Callable[[], None]) -> None:
        wake()
        self._changed.clear()
        await self._changed.wait()

    def take(self) -> tuple[_Put, VideoFrame] | None:
        """Return a chunk that is ready with its frame, and advance the time by it; None if none is."""
        if not self._is_ready():
            return None
        put = self._pairs.popleft()
        self._shown = shown = put.frame or self._shown
        assert shown is not None, "ready without a frame"
        for part in (0, 1):
            audio = put.chunk.audio[part * TICK_PLAYOUT_SAMPLES : (part + 1) * TICK_PLAYOUT_SAMPLES]
            tick = Tick(self._time, audio, put.chunk.pts + part * TICK_SAMPLES)
            self._time += TICK_SAMPLES
            for observe in self._observers:
                observe(tick)
        return put, shown


class TalkingHead:
    """One presenter, driven by its consumer: an async iterator of `Pair` that ends with `aclose`.

    Speech is rendered ahead of the consumer by up to a second; while idle a pair is made each time that one is
    requested, so that the consumer sets the pace. One consumer.
    """

    def __init__(self, renderer: FrameRenderer, executor: ThreadPoolExecutor, *, real_time: bool = False) -> None:
        """Use `open` instead; `executor` has one thread, the one that made the renderer."""
        self.size = renderer.size
        """`(height, width)` of the frames."""
        self._tray = _Tray(real_time=real_time)
        self._session = Session(renderer, self._tray, executor, Metrics())
        self._session.subscribe(self._note)
        self._session.start()
        self._ended: str | None = None

    @classmethod
    async def open(
        cls,
        presenter: str = "default",
        config: AppConfig | None = None,
        engine: RendererPool | None = None,
        *,
        real_time: bool = False,
    ) -> TalkingHead:
        """Load a presenter.

        Args:
            presenter: the name of one that is enrolled.
            config: which networks and where; the preset `cpu` when None.
            engine: networks that are loaded already, which several talking heads and sessions share; loaded as
                `config` says when None.
            real_time: the consumer takes 25 pairs a second and must not wait: where rendering is too slow, frames are
                repeated. Otherwise every pair has its own frame.

        Raises:
            CapacityError: if every slot of the engine is in use.
            ConfigError: if a checkpoint or the device is missing.
            IdentityNotFoundError: if there is no such presenter.
        """
        settings = config or load_config()

        def make() -> FrameRenderer:
            stored = IdentityStore(settings.presenters_dir).load(presenter)
            return (engine or Engine.load(settings)).renderer(stored)

        renderer, executor = await make_in_thread(make)
        return cls(renderer, executor, real_time=real_time)

    def push(self, pcm: Int16Array, rate: int, utterance: str | None = None) -> None:
        """Queue speech; never blocks. See `stream.playout.speech.SpeechQueue.push`.

        Raises:
            SpeechFullError: if more than five minutes wait already.
            StreamError: if type, shape or rate can't be used.
        """
        self._session.push(pcm, rate, utterance)

    def end(self, utterance: str | None = None) -> None:
        """End an utterance; without an id, the present one."""
        self._session.end(utterance)

    async def interrupt(self) -> float:
        """Drop what was not taken yet; the mouth closes in the next pairs.

        Returns:
            How much of the present utterance the consumer has taken, in ms.
        """
        return float(self._session.interrupt().played_ms)

    def __aiter__(self) -> AsyncIterator[Pair]:
        """Iterate over all pairs from now on."""
        return self

    async def __anext__(self) -> Pair:
        """Wait for the next pair; being cancelled loses none.

        Raises:
            PresenterError: if rendering has failed, which only a bug can cause; the log says why.
            StopAsyncIteration: after `aclose`.
        """
        taken = None
        while taken is None:  # an interrupt may drop a pair that is there already
            await self._wait()
            taken = self._tray.take()  # nothing is awaited from here on: a pair that is taken reaches the caller
        put, frame = taken
        ended, self._ended = self._ended, None
        return Pair(put.chunk, frame, speech=not put.elastic, ended=ended)

    async def _wait(self) -> None:
        """Wait until there is a pair."""
        waiting = asyncio.ensure_future(self._tray.filled(self._session.wake))
        stopping = asyncio.ensure_future(self._session.stopped.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stopping.cancel()
        if self._session.failed:
            raise PresenterError("the presenter stopped because of a fault in rendering; the log says why")
        if self._session.stopped.is_set():
            raise StopAsyncIteration

    def _note(self, event: SessionEvent) -> None:
        if isinstance(event, SpeakEnded):
            self._ended = event.utterance

    async def __aenter__(self) -> Self:
        """Nothing more to do: `open` has loaded everything."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration and release everything; safe twice."""
        await self._session.close()
