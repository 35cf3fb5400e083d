"""One presenter, live: speech and microphone in, a compute thread, matched sound and picture out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

from models.head_motion import HeadMotion
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import RenderThread
from presenter.runtime.renderer import CLOSING, Renderer
from presenter.runtime.sink import Flush, SessionEvent, Sink
from presenter.runtime.sources import HALF_RATE_MS, IDLE_MS, MARGIN_MS, Sources, Work
from stream.clock import ms, samples
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame
from stream.pcm.vad import SpeechDetector, VadConfig
from stream.playout.playout import Tick
from stream.playout.progress import Progress
from stream.playout.speech import SpeechQueue
from stream.wire import Interrupted, MarkReached, State, StateChanged

BARGE_IN = VadConfig(aggressiveness=3, onset=7, window=10)
"""What counts as the user's interruption: 140 ms of speech, so that a cough or an echo does not."""

MicrophoneUse = Literal["voice", "interrupt", "off"]
"""What a microphone is for: it is the presenter's voice, it interrupts the presenter, or nothing."""

_log = logging.getLogger(__name__)


class Session:
    """Renders what is to be said and plays it out.

    Three sources, in this order: speech that was pushed to `speech`, the microphone, and silence. The presenter is
    always on: silence is rendered like speech, so that waiting, listening and talking are one path without a seam.

    Speech may come faster than it is said. Then it is rendered ahead, as far as the sink has room, and the look-ahead
    of the model costs nothing: the future is there already.
    """

    def __init__(
        self,
        renderer: Renderer,
        playback: Sink,
        executor: ThreadPoolExecutor,
        metrics: Metrics,
        speech: SpeechQueue | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            renderer: used by the executor's thread only, from now until `close`.
            playback: where matched pairs go; its clock is the session's clock.
            executor: one thread, the one that made the renderer; shut down by `close`.
            metrics: the server's counters.
            speech: what is to be said; a new queue when None. After pushing, `wake` the session.
        """
        self.playback = playback
        self.speech = speech or SpeechQueue()
        self.stopped = asyncio.Event()
        """Set when rendering has ended, by `close` or by a fault."""
        self.bot_listens = False
        """What a bot said of itself; shown as the state "listening" while nobody speaks."""
        self.playout_delay_ms = 0.0
        """How much later than its release sound is heard, as the page reports it."""
        self.watched = True
        """Whether anybody sees it; if not, speech is rendered and silence is not."""
        self._thread = RenderThread(renderer, executor)
        self._look_ahead = self._thread.latency_samples // CHUNK_SAMPLES
        self._metrics = metrics
        self._sources = Sources(self.speech, self._look_ahead)
        self._vad = SpeechDetector()
        self._progress = Progress()
        self._subscribers: list[Callable[[SessionEvent], None]] = []
        self._state: State = "idle"
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._user_speaks = False
        self._wake = asyncio.Event()
        self._interrupts = 0  # how many; what was rendered before the last one is not played
        self._closing = 0  # pictures in which the mouth closes after an interrupt
        self._leave_out = 0  # chunks of silence inside the renderer that speech does not wait for
        self._latencies = Latencies()
        self._frames = self._skipped = 0
        self._closed = False
        playback.observe(self._follow)

    @property
    def failed(self) -> bool:
        """Whether rendering has stopped by itself, which only a bug makes happen."""
        return not self._closed and any(task.done() for task in self._tasks)

    def subscribe(self, function: Callable[[SessionEvent], None]) -> Callable[[], None]:
        """Call a function with every event, on the event loop; returns what ends that."""
        self._subscribers.append(function)
        return lambda: self._subscribers.remove(function)

    def _publish(self, event: SessionEvent) -> None:
        for function in tuple(self._subscribers):
            function(event)

    # ---- sources ----

    def start(self) -> None:
        """Begin to render; the presenter lives from here on, whatever comes in. Safe twice."""
        if self._tasks or self._closed:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self.playback.run()), loop.create_task(self._render())]
        for task in self._tasks:
            task.add_done_callback(_log_failure)
            task.add_done_callback(lambda _: self.stopped.set())

    def listen(self, microphone: AsyncIterator[AudioChunk], use: MicrophoneUse = "voice") -> None:
        """Hear a microphone until it ends, instead of the one before."""
        if self._listener is not None:
            self._listener.cancel()
        self._listener = asyncio.get_running_loop().create_task(self._hear(microphone, use))
        self._listener.add_done_callback(_log_failure)

    def wake(self) -> None:
        """Look at `speech` again: something was pushed to it."""
        self._wake.set()

    async def _hear(self, microphone: AsyncIterator[AudioChunk], use: MicrophoneUse) -> None:
        detector = SpeechDetector(BARGE_IN)
        try:
            async for chunk in microphone:
                if use == "interrupt":
                    before, self._user_speaks = self._user_speaks, detector.push(chunk)
                    if self._user_speaks and not before and self._has_speech:
                        self.interrupt()
                elif use == "voice" and not self._has_speech:
                    lost_ms = self._sources.lost_ms
                    self._sources.hear(chunk, self.playback.clock.now())
                    self._metrics.sound_lost_seconds.inc((self._sources.lost_ms - lost_ms) / 1000)
                    self._wake.set()
        finally:
            self._user_speaks = False

    @property
    def _has_speech(self) -> bool:
        """Whether something is being said that was pushed to `speech`: the microphone has to wait."""
        return self._progress.pending or self.speech.buffered_ms > 0

    # ---- rendering ----

    async def cut_out(self) -> None:
        """Show the presenter without its background as well, for as long as the sink wants that.

        Raises:
            MattingError: if the presenter has no matte and none can be made.
        """
        await self._thread.cut_out()

    def follow(self, motion: HeadMotion) -> None:
        """Move the head and the eyelids by a motion, from the next picture on."""
        self._thread.follow(motion)

    async def show(self, renderer: Renderer) -> None:
        """Go on with another presenter; see `RenderThread.show`."""
        await self._thread.show(renderer)

    async def _render(self) -> None:
        pts = interrupts = 0
        while True:
            if interrupts != self._interrupts:
                interrupts = self._interrupts
                pts = await self._thread.interrupt(self.playback.shown_pts, pts)
                self._closing = len(CLOSING) + 1
            elif (work := self._choose()) is not None:
                if not self.playback.matte_wanted:
                    self._thread.leave_background()
                await self._step(work._replace(chunk=replace(work.chunk, pts=pts)), interrupts)
                pts += CHUNK_SAMPLES
            else:
                self._wake.clear()
                await self._wake.wait()

    def _choose(self) -> Work | None:
        playback = self.playback
        if not playback.has_room() or not (self.watched or self._has_speech):
            return None
        return self._sources.choose(playback.clock.now(), playback.queued_ms, self._latencies.paint_ms)

    async def _step(self, work: Work, interrupts: int) -> None:
        """Hear one chunk, and queue the pair that it completes unless an interrupt came in between."""
        clock = self.playback.clock
        begun = clock.now()
        self._expect(work)
        paints = not self._leave_out and not self._is_behind(work)
        pairs = await self._thread.push(work.chunk, paint=paints)
        took_ms = ms(clock.now() - begun)
        self._latencies.rendered(took_ms, painted=paints)
        self._metrics.render_seconds.observe(took_ms / 1000)
        if interrupts != self._interrupts:
            return
        if self._leave_out:
            self._leave_out -= 1
            return
        for rendered, frame in pairs:
            self.playback.put_now(rendered, frame, elastic=not self._progress.expects(rendered.pts))
            self._note_ready(rendered, frame, clock.now())

    def _expect(self, work: Work) -> None:
        pts = work.chunk.pts
        if work.arrived is not None:
            self._latencies.arrived(pts, work.arrived)
        if work.speech is None:
            self._vad.push(work.chunk)
            return
        if not self._progress.pending:
            self._vad.reset()
        self._progress.expect(pts, work.speech)
        if work.at_once:
            self.playback.cut_pause(max(IDLE_MS, self._latencies.paint_ms + IDLE_MS / 2))
            self._leave_out = self._look_ahead

    def _is_behind(self, work: Work) -> bool:
        """Whether the picture of this chunk is left out, because it would come too late for its sound."""
        if not self.playback.real_time or not self._frames:
            return False
        if self._closing:
            self._closing -= 1
            return False
        paint_ms = self._latencies.paint_ms
        if paint_ms > HALF_RATE_MS and work.chunk.pts // CHUNK_SAMPLES % 2:
            return True
        if work.arrived is not None:
            return self._sources.is_behind
        return self.playback.queued_ms < paint_ms + MARGIN_MS

    def _note_ready(self, chunk: AudioChunk, frame: VideoFrame | None, now: int) -> None:
        ready_ms = self._latencies.ready(chunk.pts, now, self.playback.queued_ms)
        if ready_ms is not None:
            self._metrics.ready_seconds.observe(ready_ms / 1000)
        self._metrics.frames.inc(frame is not None)
        self._metrics.frames_skipped.inc(frame is None)
        self._frames += frame is not None
        self._skipped += frame is None

    # ---- what is heard ----

    def _follow(self, tick: Tick) -> None:
        for event in self._progress.follow(tick):
            self._publish(event)
        state: State = "idle"
        if self._speaks:
            state = "speaking"
        elif self.bot_listens or self._user_speaks:
            state = "listening"
        if state != self._state:
            self._state = state
            self._publish(StateChanged(state))
        self._wake.set()

    @property
    def _speaks(self) -> bool:
        return self._progress.speaking or self._vad.speaking

    def mark(self, name: str) -> None:
        """Report `MarkReached` once all speech that was pushed before has been played; an interrupt takes marks along.

        Raises:
            WireError: if too many marks wait already.
        """
        utterance = self.speech.recent()
        if utterance is not None and (not utterance.given_out or self._progress.is_saying(utterance.id)):
            self.speech.add_mark(utterance, name)
        else:
            self._publish(MarkReached(name, 0 if utterance is None else round(utterance.received_ms)))

    def interrupt(self, utterance: str | None = None) -> Interrupted:
        """Fall silent at once and close the mouth: what waits, what was rendered and what is queued is forgotten.

        Args:
            utterance: only if this one is being said; what waits behind it is forgotten with it. If it waits itself,
                it alone is forgotten.

        Returns:
            What was being said, and how much of it had been heard; subscribers are told the same, and to forget
            what is on its way to the ear, and of each utterance that was forgotten before it began.
        """
        if utterance is None or self._progress.is_saying(utterance):
            event, waiting = self._fall_silent()
        else:
            known = self.speech.recent(utterance)
            said = known is not None and known.given_out
            if not said:
                self.speech.forget(utterance)
            event, waiting = Interrupted(utterance, round(known.received_ms) if known and said else 0), []
        for name in waiting:
            self._publish(Interrupted(name, 0))
        self._publish(event)
        return event

    def _fall_silent(self) -> tuple[Interrupted, list[str]]:
        heard_until = self.playback.clock.now() - samples(self.playout_delay_ms)
        utterance, heard_ms = self._progress.interrupt(heard_until)
        waiting = [name for name in self._sources.clear() if name != utterance]
        if utterance is None and waiting:
            utterance = waiting.pop(0)
        self.playback.clear()
        self._interrupts += 1
        self._leave_out = 0
        self._metrics.interrupts.inc()
        self._publish(Flush(self.playback.clock.unix_ms()))
        self._wake.set()
        return Interrupted(utterance, round(heard_ms)), waiting

    def stats(self) -> dict[str, Any]:
        """Return what the page shows.

        `latency_ms`, medians over 2 s: `render` of one chunk; `ready`, from a microphone chunk's arrival to its frame;
        `out`, from the arrival of a sound to the instant it is stamped to play. `trimmed_ms` counts pauses that were
        left out, `lost_ms` sound that was lost because rendering was too slow.
        """
        played = self.playback.stats()
        return {
            "type": "stats",
            "speaking": self._speaks,
            "latency_ms": self._latencies.medians(),
            "waiting_ms": self._sources.waiting_ms,
            "buffered_ms": round(self.speech.buffered_ms),
            "queued_ms": round(played.queued_ms, 1),
            "trimmed_ms": round(played.trimmed_ms + self._sources.trimmed_ms, 1),
            "lost_ms": round(self._sources.lost_ms, 1),
            "underruns": played.underruns,
            "frames": self._frames,
            "frames_skipped": self._skipped,
        }

    async def close(self) -> None:
        """Stop rendering and give the renderer back; works before `start` and twice."""
        if self._closed:
            return
        self._closed = True
        tasks = [*self._tasks, *([self._listener] if self._listener else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # a failure was logged when it happened
        await self._thread.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("a session stopped rendering", exc_info=error)
