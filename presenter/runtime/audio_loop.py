"""The loop that keeps a sink filled with audio: chooses what is due, processes it with the model, and queues it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from presenter.runtime.frame_loop import FrameLoop
from presenter.runtime.latencies import Latencies
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.renderer import CLOSING
from presenter.runtime.sink import Sink
from presenter.runtime.sources import IDLE_MS, Sources, Work
from stream.media import CHUNK_SAMPLES
from stream.pcm.vad import SpeechDetector
from stream.playout.progress import Progress


class AudioLoop:
    """Processes one session's timeline, ahead of the sink as far as its queue allows, and offers its frames."""

    def __init__(
        self,
        threads: RenderThreads,
        sink: Sink,
        frames: FrameLoop,
        sources: Sources,
        progress: Progress,
        latencies: Latencies,
        look_ahead: int,
    ) -> None:
        """Process nothing yet.

        Args:
            threads: process; their timeline is this loop's from now on.
            sink: where audio goes.
            frames: renders the frames of what was queued.
            sources: what to process.
            progress: notes which position of the timeline is which piece of speech.
            latencies: notes when chunks arrive and are queued.
            look_ahead: chunks that the model needs after the one that it moves the mouth for.
        """
        self.watched = True
        """Whether there is a subscriber; without one, speech is processed and silence is not."""
        self._threads = threads
        self._sink = sink
        self._frames = frames
        self._sources = sources
        self._progress = progress
        self._latencies = latencies
        self._look_ahead = look_ahead
        self._vad = SpeechDetector()
        self._wake = asyncio.Event()
        self._interrupts = 0  # how many; what was processed before the last one is not played
        self._closing = 0  # frames in which the mouth closes after an interrupt
        self._dropping = 0  # chunks of silence inside the model that speech does not wait for

    @property
    def voice_active(self) -> bool:
        """Whether the microphone's audio that was processed last is speech."""
        return self._vad.speaking

    def wake(self) -> None:
        """Check again what is due."""
        self._wake.set()

    def interrupt(self) -> None:
        """Continue from the frame on the screen, with a closing mouth; what is being processed is dropped."""
        self._interrupts += 1
        self._dropping = 0
        self._frames.clear()
        self._wake.set()

    async def run(self) -> None:
        """Process until cancelled."""
        pts = interrupts = 0
        while True:
            if interrupts != self._interrupts:
                interrupts = self._interrupts
                pts = await self._threads.interrupt(self._sink.shown_pts, pts)
                self._closing = len(CLOSING) + 1
            elif (work := self._choose()) is not None:
                if not self._sink.matte_wanted:
                    self._threads.remove_matte()
                await self._step(work._replace(chunk=replace(work.chunk, pts=pts)), interrupts)
                pts += CHUNK_SAMPLES
            else:
                self._wake.clear()
                await self._wake.wait()

    def _choose(self) -> Work | None:
        if not self._sink.has_room() or not (self.watched or self._progress.pending or self._sources.has_speech):
            return None
        return self._sources.choose(self._sink.clock.now(), self._sink.queued_ms, self._latencies.frame_ms)

    async def _step(self, work: Work, interrupts: int) -> None:
        """Process one chunk, and queue the one that it completes unless there was an interrupt meanwhile."""
        self._expect(work)
        completed = await self._threads.advance(work.chunk)
        if interrupts != self._interrupts:
            return
        if self._dropping:
            self._dropping -= 1
            return
        for chunk, render in completed:
            self._sink.put_now(chunk, elastic=not self._progress.expects(chunk.pts))
            self._latencies.queued(chunk.pts, self._sink.clock.now(), self._sink.queued_ms)
            self._frames.offer(chunk.pts, render, urgent=self._closing > 0)
            self._closing = max(0, self._closing - 1)

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
            self._sink.cut_pause(max(IDLE_MS, self._latencies.frame_ms + IDLE_MS / 2))
            self._dropping = self._look_ahead
