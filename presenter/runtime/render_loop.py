"""The loop that keeps a sink filled: chooses what is due, has it rendered, and queues matched pairs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import RenderThread
from presenter.runtime.renderer import CLOSING
from presenter.runtime.sink import Sink
from presenter.runtime.sources import HALF_RATE_MS, IDLE_MS, MARGIN_MS, Sources, Work
from stream.clock import ms
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame
from stream.pcm.vad import SpeechDetector
from stream.playout.progress import Progress


class RenderLoop:
    """Renders one session's timeline, ahead of the sink as far as there is room.

    Where pictures take too long they are dropped, so that the sound does not wait for them.
    """

    def __init__(
        self, thread: RenderThread, sink: Sink, sources: Sources, progress: Progress, metrics: Metrics, look_ahead: int
    ) -> None:
        """Render nothing yet.

        Args:
            thread: renders; its timeline is this loop's from now on.
            sink: where pairs go.
            sources: what to render.
            progress: told which place of the timeline is which piece of speech.
            metrics: the server's counters.
            look_ahead: chunks that the renderer needs after the one that it gives a frame for.
        """
        self.latencies = Latencies()
        self.frames = self.skipped = 0
        """Pictures that were rendered, and that were dropped before they were."""
        self._thread = thread
        self._sink = sink
        self._sources = sources
        self._progress = progress
        self._metrics = metrics
        self._look_ahead = look_ahead
        self._vad = SpeechDetector()
        self._wake = asyncio.Event()
        self._interrupts = 0  # how many; what was rendered before the last one is not played
        self._closing = 0  # pictures in which the mouth closes after an interrupt
        self._dropping = 0  # chunks of silence inside the renderer that speech does not wait for

    @property
    def voice_active(self) -> bool:
        """Whether the microphone's sound that was rendered last is speech."""
        return self._vad.speaking

    def wake(self) -> None:
        """Look again at what is due."""
        self._wake.set()

    def interrupt(self) -> None:
        """Go on from the frame on the screen, with a mouth that closes; what is being rendered is dropped."""
        self._interrupts += 1
        self._dropping = 0
        self._wake.set()

    async def run(self) -> None:
        """Render until cancelled."""
        pts = interrupts = 0
        while True:
            if interrupts != self._interrupts:
                interrupts = self._interrupts
                pts = await self._thread.interrupt(self._sink.shown_pts, pts)
                self._closing = len(CLOSING) + 1
            elif (work := self._choose()) is not None:
                if not self._sink.matte_wanted:
                    self._thread.remove_matte()
                await self._step(work._replace(chunk=replace(work.chunk, pts=pts)), interrupts)
                pts += CHUNK_SAMPLES
            else:
                self._wake.clear()
                await self._wake.wait()

    def _choose(self) -> Work | None:
        if not self._sink.has_room():
            return None
        return self._sources.choose(self._sink.clock.now(), self._sink.queued_ms, self.latencies.frame_ms)

    async def _step(self, work: Work, interrupts: int) -> None:
        """Process one chunk, and queue the pair that it completes unless an interrupt came in between."""
        clock = self._sink.clock
        begun = clock.now()
        self._expect(work)
        renders = not self._dropping and not self._is_behind(work)
        pairs = await self._thread.push(work.chunk, render=renders)
        took_ms = ms(clock.now() - begun)
        self.latencies.processed(took_ms, rendered=renders)
        self._metrics.render_seconds.observe(took_ms / 1000)
        if interrupts != self._interrupts:
            return
        if self._dropping:
            self._dropping -= 1
            return
        for chunk, frame in pairs:
            self._sink.put_now(chunk, frame, elastic=not self._progress.expects(chunk.pts))
            self._note_ready(chunk, frame, clock.now())

    def _expect(self, work: Work) -> None:
        pts = work.chunk.pts
        if work.arrived is not None:
            self.latencies.arrived(pts, work.arrived)
        if work.speech is None:
            self._vad.push(work.chunk)
            return
        if not self._progress.pending:
            self._vad.reset()
        self._progress.expect(pts, work.speech)
        if work.at_once:
            self._sink.cut_pause(max(IDLE_MS, self.latencies.frame_ms + IDLE_MS / 2))
            self._dropping = self._look_ahead

    def _is_behind(self, work: Work) -> bool:
        """Whether the picture of this chunk is dropped, because it would come too late for its sound."""
        if not self._sink.real_time or not self.frames:
            return False
        if self._closing:
            self._closing -= 1
            return False
        frame_ms = self.latencies.frame_ms
        if frame_ms > HALF_RATE_MS and work.chunk.pts // CHUNK_SAMPLES % 2:
            return True
        if work.arrived is not None:
            return self._sources.microphone_is_behind
        return self._sink.queued_ms < frame_ms + MARGIN_MS

    def _note_ready(self, chunk: AudioChunk, frame: VideoFrame | None, now: int) -> None:
        ready_ms = self.latencies.ready(chunk.pts, now, self._sink.queued_ms)
        if ready_ms is not None:
            self._metrics.ready_seconds.observe(ready_ms / 1000)
        self._metrics.frames.inc(frame is not None)
        self._metrics.frames_skipped.inc(frame is None)
        self.frames += frame is not None
        self.skipped += frame is None
