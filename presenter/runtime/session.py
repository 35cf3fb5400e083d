"""One presenter, live: speech and microphone in, a compute thread, matched audio and frames out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from models.head_motion import HeadMotion
from models.identity import SpeakingStyle
from presenter.runtime.audio_loop import AudioLoop
from presenter.runtime.frame_loop import FrameLoop
from presenter.runtime.frame_renderer import FrameRenderer
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.microphone import MicrophoneListener, MicrophoneQueue, MicrophoneUse
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.sink import Flush, SessionEvent, Sink
from presenter.runtime.sources import Sources
from stream.clock import samples
from stream.media import CHUNK_SAMPLES, AudioChunk
from stream.playout.playout import Tick
from stream.playout.progress import Progress
from stream.playout.speech import SpeechQueue
from stream.wire import Interrupted, MarkReached, State, StateChanged, Word

_log = logging.getLogger(__name__)


class Session:
    """Renders speech and plays it out.

    Three sources, in this order: speech that is pushed, the microphone, and silence. The presenter is always on:
    silence is rendered like speech, so that waiting, listening and talking share one path.

    Speech may arrive faster than real time. Then it is rendered ahead, as far as the sink has room, and the look-ahead
    of the model adds no delay: the chunks that it needs are available already.
    """

    def __init__(
        self,
        renderer: FrameRenderer,
        sink: Sink,
        executor: ThreadPoolExecutor,
        metrics: Metrics,
        speech_limit_ms: float = 300_000.0,
        audio_executor: ThreadPoolExecutor | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            renderer: used by the session's threads only, from now until `close`.
            sink: where audio and frames go; its clock is the session's.
            executor: the one thread that made the renderer: it renders frames. Shut down by `close`.
            metrics: the server's counters.
            speech_limit_ms: how much speech may be queued.
            audio_executor: one thread, for the audio; a new one when None. Shut down by `close`.
        """
        self.stopped = asyncio.Event()
        """Set when rendering has ended, by `close` or by a fault."""
        self.bot_listens = False
        """As the bot reports it; shown as the state "listening" while nobody speaks."""
        self.playout_delay_ms = 0.0
        """How much later than its release sound is played at the listener, as the page reports it."""
        self._sink = sink
        self._metrics = metrics
        self.rendering = RenderThreads(renderer, executor, audio_executor)
        """Renders the frames; knows how they are shown."""
        self._speech = SpeechQueue(speech_limit_ms)
        self._queue = MicrophoneQueue()
        look_ahead = self.rendering.latency_samples // CHUNK_SAMPLES
        self._sources = Sources(self._speech, self._queue, look_ahead)
        self._progress = Progress()
        self._latencies = Latencies()
        self._frames = FrameLoop(self.rendering, sink, self._latencies, metrics)
        self._loop = AudioLoop(
            self.rendering, sink, self._frames, self._sources, self._progress, self._latencies, look_ahead
        )
        self._microphone = MicrophoneListener(
            self._queue,
            sink.clock,
            is_saying=lambda: self._progress.pending or self._speech.buffered_ms > 0,
            on_chunk=self._note_chunk,
            on_barge_in=self.interrupt,
            on_end=_log_failure,
        )
        self._lost_ms = 0.0  # of the microphone, counted already
        self._subscribers: list[Callable[[SessionEvent], None]] = []
        self._state: State = "idle"
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        sink.observe(self._follow)

    @property
    def failed(self) -> bool:
        """Whether rendering has failed, which only a bug can cause."""
        return not self._closed and any(task.done() for task in self._tasks)

    def subscribe(self, function: Callable[[SessionEvent], None]) -> Callable[[], None]:
        """Call a function with every event, on the event loop; returns what ends that."""
        self._subscribers.append(function)
        return lambda: self._subscribers.remove(function)

    def _publish(self, event: SessionEvent) -> None:
        for function in tuple(self._subscribers):
            function(event)

    def start(self) -> None:
        """Begin to render. Safe twice."""
        if self._tasks or self._closed:
            return
        self._tasks = [asyncio.create_task(work) for work in (self._sink.run(), self._loop.run(), self._frames.run())]
        for task in self._tasks:
            task.add_done_callback(_log_failure)
            task.add_done_callback(lambda _: self.stopped.set())

    def note_watched(self, watched: bool) -> None:
        """Note whether there is a subscriber; without one, only speech is processed and no frame is rendered."""
        self._loop.watched = watched
        self._frames.note_watched(watched)
        self._loop.wake()

    def wake(self) -> None:
        """Check again what is due: a sink that is not emptied by the clock needs a pair."""
        self._loop.wake()

    # ---- speech ----

    @property
    def buffered_ms(self) -> float:
        """Speech that waits, in ms."""
        return self._speech.buffered_ms

    @property
    def free_ms(self) -> float:
        """How much more speech fits: the sender's credit, in ms."""
        return self._speech.free_ms

    def push(self, pcm: npt.NDArray[np.int16], rate: int, utterance: str | None = None) -> None:
        """Queue speech; never blocks. See `stream.playout.speech.SpeechQueue.push`.

        Raises:
            SpeechFullError: if it does not fit; nothing of it is kept.
            StreamError: if type, shape or rate can't be used, or the rate changes within the utterance.
        """
        self._speech.push(pcm, rate, utterance)
        self._loop.wake()

    def begin(self, utterance: str) -> None:
        """Begin a new utterance of this name, also if one of the same name was interrupted."""
        self._speech.begin(utterance)
        self._loop.wake()

    def end(self, utterance: str | None = None) -> None:
        """Note that an utterance is complete; see `stream.playout.speech.SpeechQueue.end`."""
        self._speech.end(utterance)
        self._loop.wake()

    def add_words(self, words: Iterable[Word], utterance: str | None = None) -> None:
        """Add words with their times; those of an unknown utterance are ignored.

        Raises:
            WireError: if too many words wait already.
        """
        self._speech.add_words(words, utterance)

    def mark(self, name: str) -> None:
        """Report `MarkReached` once all speech that was pushed before has been played; an interrupt drops its marks.

        Raises:
            WireError: if too many marks wait already.
        """
        utterance = self._speech.recent()
        if utterance is not None and (not utterance.given_out or self._progress.is_saying(utterance.id)):
            self._speech.add_mark(utterance, name)
        else:
            self._publish(MarkReached(name, 0 if utterance is None else round(utterance.received_ms)))

    def interrupt(self, utterance: str | None = None) -> Interrupted:
        """Stop at once, drop what waits, what was rendered and what is queued, and close the mouth.

        Args:
            utterance: only if this one is being played; what is queued behind it is dropped too. If it is queued,
                it alone is dropped.

        Returns:
            The utterance being played, and how much of it was heard. Subscribers get the same, an order to drop what
            is in transit to the listener, and an event for each utterance that was dropped before it began.
        """
        if utterance is None or self._progress.is_saying(utterance):
            event, waiting = self._drop_all()
        else:
            known = self._speech.recent(utterance)
            said = known is not None and known.given_out
            if not said:
                self._speech.drop(utterance)
            event, waiting = Interrupted(utterance, round(known.received_ms) if known and said else 0), []
        for name in waiting:
            self._publish(Interrupted(name, 0))
        self._publish(event)
        return event

    def _drop_all(self) -> tuple[Interrupted, list[str]]:
        heard_until = self._sink.clock.now() - samples(self.playout_delay_ms)
        utterance, heard_ms = self._progress.interrupt(heard_until)
        waiting = [name for name in self._sources.clear() if name != utterance]
        if utterance is None and waiting:
            utterance = waiting.pop(0)
        self._sink.clear()
        self._loop.interrupt()
        self._metrics.interrupts.inc()
        self._publish(Flush(self._sink.clock.unix_ms()))
        return Interrupted(utterance, round(heard_ms)), waiting

    # ---- microphone ----

    def listen(self, microphone: AsyncIterator[AudioChunk], use: MicrophoneUse = "voice") -> None:
        """Read a microphone until it ends, instead of the one before."""
        self._microphone.listen(microphone, use)

    def _note_chunk(self) -> None:
        self._metrics.sound_lost_seconds.inc((self._queue.lost_ms - self._lost_ms) / 1000)
        self._lost_ms = self._queue.lost_ms
        self._loop.wake()

    # ---- frames ----

    def follow(self, motion: HeadMotion) -> None:
        """Move the head and the eyelids by a motion, from the next frame on."""
        self.rendering.follow(motion)

    def use_style(self, style: SpeakingStyle | None) -> None:
        """Move the mouth in another speaking style, None for the neutral one; the change takes a third of a second."""
        self.rendering.use_style(style)

    async def show(self, renderer: FrameRenderer) -> None:
        """Continue with another presenter; see `RenderThread.show`."""
        await self.rendering.show(renderer)

    def _follow(self, tick: Tick) -> None:
        for event in self._progress.follow(tick):
            self._publish(event)
        state: State = "idle"
        if self._speaks:
            state = "speaking"
        elif self.bot_listens or self._microphone.user_speaks:
            state = "listening"
        if state != self._state:
            self._state = state
            self._publish(StateChanged(state))
        if tick.source_pts is not None:
            self._frames.released(tick.source_pts)
        self._loop.wake()

    @property
    def _speaks(self) -> bool:
        return self._progress.speaking or self._loop.voice_active

    def stats(self) -> dict[str, Any]:
        """Return what the page shows.

        `latency_ms`, medians over 2 s: `render` of a frame; `ready`, from a microphone chunk's arrival to its frame;
        `out`, to the instant it is played. `trimmed_ms` counts pauses that were dropped, `lost_ms` other sound.
        """
        played = self._sink.stats()
        return {
            "type": "stats",
            "speaking": self._speaks,
            "latency_ms": self._latencies.medians(),
            "waiting_ms": self._queue.waiting_ms,
            "buffered_ms": round(self._speech.buffered_ms),
            "queued_ms": round(played.queued_ms, 1),
            "trimmed_ms": round(played.trimmed_ms + self._queue.trimmed_ms, 1),
            "lost_ms": round(self._queue.lost_ms, 1),
            "underruns": played.underruns,
            "frames": self._frames.shown,
            "frames_skipped": self._frames.dropped,
            "quality": self._frames.ladder.rung.quality,
        }

    async def close(self) -> None:
        """Stop rendering and release the renderer; works before `start` and twice."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._microphone.close(), return_exceptions=True)  # failures are logged
        await self.rendering.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a session stopped rendering", exc_info=error)
