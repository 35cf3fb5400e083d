"""The loop that renders frames for audio that is queued: as many as are ready in time, at a steady rate."""

from __future__ import annotations

import asyncio

from presenter.runtime.frame_renderer import RenderFrame
from presenter.runtime.latencies import Latencies
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.sink import Sink
from stream.clock import ms, samples

FULL_RATE_MS = 38.0
"""Up to this time for a frame, 25 a second are rendered; up to twice as much, every second one, and so on: fewer frames
at a steady rate look better than more frames at an uneven one."""
MARGIN_MS = 3.0
"""A frame has to be ready this long before it is due."""

_FROZEN = samples(400)  # after so long without a frame, one that is late is better than none


def stride_for(frame_ms: float, stride: int) -> int:
    """Return the stride, in chunks per rendered frame, given the present one.

    It falls only with a margin (hysteresis), so that it does not oscillate.
    """
    while frame_ms > stride * FULL_RATE_MS:
        stride += 1
    while stride > 1 and frame_ms < 0.85 * (stride - 1) * FULL_RATE_MS:
        stride -= 1
    return stride


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
        self.stride = 1
        """Chunks per rendered frame."""
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
        for passed in [known for known in self._offered if known < pts and known not in self._urgent]:
            del self._offered[passed]
            self._drop()
        self._wake.set()

    def clear(self) -> None:
        """Interrupt: show nothing of what was offered, nor what is being rendered."""
        self._offered = {}
        self._urgent.clear()

    async def run(self) -> None:
        """Render until cancelled."""
        while True:
            if (chosen := self._choose()) is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            pts, late = chosen
            offered = self._offered
            begun = self._sink.clock.now()
            frame = await self._threads.render(offered.pop(pts))
            self._urgent.discard(pts)
            now = self._sink.clock.now()
            self._note(ms(now - begun))
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

    def _note(self, took_ms: float) -> None:
        self._latencies.rendered(took_ms)
        self._metrics.render_seconds.observe(took_ms / 1000)
        if self._sink.real_time:
            self.stride = stride_for(self._latencies.frame_ms, self.stride)
            self._sink.hold(self._latencies.frame_ms + MARGIN_MS)

    def _choose(self) -> tuple[int, bool] | None:
        """Return the pts of the frame to render next and whether it may be shown late, or None."""
        if self._urgent:
            return min(self._urgent), True
        if not self._sink.real_time:
            pts = self._sink.first_unrendered(0.0)
            return None if pts not in self._offered else (pts, False)
        ahead_ms = self._latencies.frame_ms + MARGIN_MS if self._latencies.frame_ms else 0.0
        pts = self._sink.first_unrendered(ahead_ms, self.stride)
        if pts in self._offered:
            return pts, False
        if self._offered and self._sink.clock.now() - self._last > _FROZEN:
            return max(self._offered), True
        return None
