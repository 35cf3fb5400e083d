"""The loop that renders frames for audio that is queued: as many as are ready in time, at a steady rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from presenter.runtime.frame_renderer import RenderFrame
from presenter.runtime.latencies import Latencies
from presenter.runtime.render_thread import RenderThreads
from presenter.runtime.sink import Sink
from stream.clock import ms, samples
from stream.media import VideoFrame

FULL_RATE_MS = 38.0
"""Up to this time for a frame, 25 a second are rendered; up to twice as much, every second one, and so on: fewer frames
at a steady rate look better than as many as happen to fit."""
MARGIN_MS = 3.0
"""A frame has to be ready this long before its turn."""

_FROZEN = samples(400)  # after so long without a frame, one that is late is better than none


def stride_for(frame_ms: float, stride: int) -> int:
    """Return for every how many chunks a frame is rendered, given that until now it was every `stride`.

    It falls only where there is room to spare, so that it does not change back and forth.
    """
    while frame_ms > stride * FULL_RATE_MS:
        stride += 1
    while stride > 1 and frame_ms < 0.85 * (stride - 1) * FULL_RATE_MS:
        stride -= 1
    return stride


class FrameLoop:
    """Renders frames beside the audio, which never waits for them.

    The next frame is that of the first chunk whose turn is late enough. In real time the others are dropped.
    """

    def __init__(
        self, threads: RenderThreads, sink: Sink, latencies: Latencies, on_frame: Callable[[VideoFrame], None]
    ) -> None:
        """Render nothing yet.

        Args:
            threads: render.
            sink: where frames go; it says which one is wanted next.
            latencies: told how long frames take.
            on_frame: called with each frame that will be shown.
        """
        self.dropped = 0
        """Frames that were not rendered, or came too late."""
        self.stride = 1
        """For every how many chunks a frame is rendered."""
        self._threads = threads
        self._sink = sink
        self._latencies = latencies
        self._on_frame = on_frame
        self._offered: dict[int, RenderFrame] = {}
        self._urgent: set[int] = set()
        self._wake = asyncio.Event()
        self._last = 0  # session time of the last frame

    def offer(self, pts: int, render: RenderFrame, *, urgent: bool = False) -> None:
        """Take what renders the frame of a chunk that was queued; an urgent one is rendered in any case."""
        self._offered[pts] = render
        if urgent:
            self._urgent.add(pts)
        self._wake.set()

    def released(self, pts: int) -> None:
        """Note that the chunk at `pts` plays: no frame before it is rendered any more."""
        for passed in [known for known in self._offered if known < pts and known not in self._urgent]:
            del self._offered[passed]
            self.dropped += 1
        self._wake.set()

    def wake(self) -> None:
        """Look again at what is due."""
        self._wake.set()

    def clear(self) -> None:
        """Interrupt: render nothing of what was offered."""
        self._offered.clear()
        self._urgent.clear()

    async def run(self) -> None:
        """Render until cancelled."""
        while True:
            if (chosen := self._choose()) is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            pts, late = chosen
            begun = self._sink.clock.now()
            frame = await self._threads.render(self._offered.pop(pts))
            self._urgent.discard(pts)
            now = self._sink.clock.now()
            self._note(ms(now - begun))
            if self._sink.attach(frame, late=late):
                self._last = now
                self._on_frame(frame)
            else:
                self.dropped += 1

    def _note(self, took_ms: float) -> None:
        self._latencies.rendered(took_ms)
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
