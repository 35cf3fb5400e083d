"""The loop that renders frames for audio that is queued: as many as are ready in time, at a steady rate."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from presenter.runtime.frame_renderer import RenderFrame
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.quality_ladder import QualityLadder
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.sink import Sink
from stream.clock import ms, samples

MARGIN_MS = 3.0
"""A frame has to be ready this long before it is due."""

_FROZEN = samples(400)  # after so long without a frame, one that is late is better than none


class _Choice(NamedTuple):
    """The frame to render next."""

    pts: int
    late: bool = False
    """Whether it may be shown late."""
    keep_mouth: bool = False


class FrameLoop:
    """Renders frames beside the audio, which never waits for them.

    The next frame is that of the first chunk due late enough. In real time the others are dropped.
    """

    def __init__(self, threads: RenderThreads, sink: Sink, latencies: Latencies, metrics: Metrics) -> None:
        """Render nothing yet.

        Args:
            threads: render.
            sink: where frames go; it chooses the next one to render.
            latencies: notes how long frames take.
            metrics: the server's counters.
        """
        self.shown = self.dropped = 0
        """Frames that were rendered in time, and that were not."""
        self.ladder = QualityLadder()
        """Which frames are rendered when they take too long."""
        self.watched = True
        """Whether anybody sees the frames; without a viewer none is rendered."""
        self._threads = threads
        self._sink = sink
        self._latencies = latencies
        self._metrics = metrics
        self._offered: dict[int, RenderFrame] = {}
        self._urgent: set[int] = set()
        self._wake = asyncio.Event()
        self._last = 0  # session time of the last frame

    def offer(self, pts: int, render: RenderFrame, *, urgent: bool = False) -> None:
        """Add the render function of a chunk that was queued; an urgent one is rendered in any case."""
        self._offered[pts] = render
        if urgent:
            self._urgent.add(pts)
        self._wake.set()

    def released(self, pts: int) -> None:
        """Note that the chunk at `pts` plays: no frame before it is rendered any more."""
        keep = self._urgent if self.watched else ()
        for passed in [known for known in self._offered if known < pts and known not in keep]:
            del self._offered[passed]
            self._urgent.discard(passed)
            if self.watched:
                self._drop()
        self._wake.set()

    def note_watched(self, watched: bool) -> None:
        """Note whether anybody sees the frames."""
        self.watched = watched
        self._wake.set()

    def clear(self) -> None:
        """Interrupt: show nothing of what was offered, nor what is being rendered."""
        self._offered = {}
        self._urgent.clear()

    async def run(self) -> None:
        """Render until cancelled."""
        while True:
            chosen = self._choose() if self.watched else None
            if chosen is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            pts, late, keep_mouth = chosen
            offered = self._offered
            begun = self._sink.clock.now()
            frame = await self._threads.render(offered.pop(pts), keep_mouth=keep_mouth)
            self._urgent.discard(pts)
            now = self._sink.clock.now()
            self._note(ms(now - begun), ms(now), keep_mouth)
            if offered is self._offered and self._sink.attach(frame, late=late):
                self._last = now
                self._show(frame.pts, now)
            else:
                self._drop()

    def _show(self, pts: int, now: int) -> None:
        self.shown += 1
        self._metrics.frames.inc()
        ready_ms = self._latencies.ready(pts, now)
        if ready_ms is not None:
            self._metrics.ready_seconds.observe(ready_ms / 1000)

    def _drop(self) -> None:
        self.dropped += 1
        self._metrics.frames_skipped.inc()

    def _note(self, took_ms: float, now_ms: float, keep_mouth: bool) -> None:
        if keep_mouth:
            self.ladder.note_between(took_ms, now_ms)
        else:
            self._latencies.rendered(took_ms)
            self._metrics.render_seconds.observe(took_ms / 1000)
        if self._sink.real_time:
            frame_ms = self._latencies.frame_ms
            rung = self.ladder.decide(frame_ms, now_ms)
            self._sink.hold(frame_ms + MARGIN_MS + rung.moves_between * self.ladder.between_ms)

    def _choose(self) -> _Choice | None:
        """Return the frame to render next, or None."""
        if self._urgent:
            return _Choice(min(self._urgent), late=True)
        if not self._sink.real_time:
            pts = self._sink.first_unrendered(0.0)
            return None if pts not in self._offered else _Choice(pts)
        frame_ms, rung = self._latencies.frame_ms, self.ladder.rung
        ahead_ms = frame_ms + MARGIN_MS if frame_ms else 0.0
        pts = self._sink.first_unrendered(ahead_ms, rung.stride)
        if rung.moves_between and (between := self._between(pts, ahead_ms)) is not None:
            return between
        if pts in self._offered:
            return _Choice(pts)
        if self._offered and self._sink.clock.now() - self._last > _FROZEN:
            return _Choice(max(self._offered), late=True)
        return None

    def _between(self, next_pts: int | None, ahead_ms: float) -> _Choice | None:
        """The next frame that keeps the mouth, if it delays no whole one beyond its time."""
        stride, between_ms = self.ladder.rung.stride, self.ladder.between_ms
        pts = self._sink.first_unrendered(between_ms + MARGIN_MS)
        if pts not in self._offered or pts == next_pts:
            return None
        if next_pts is not None:
            in_time = self._sink.first_unrendered(ahead_ms + between_ms, stride) == next_pts
            if pts > next_pts or not in_time:
                return None
        return _Choice(pts, keep_mouth=True)
