"""The thread that a session's renderer lives in: one thing at a time, and another presenter steps in between two."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from models.head_motion import HeadMotion
from models.matting import MattingError
from presenter.runtime.renderer import Renderer
from stream.media import AudioChunk, VideoFrame

Pairs = Sequence[tuple[AudioChunk, VideoFrame | None]]


async def make_in_thread(make: Callable[[], Renderer]) -> tuple[Renderer, ThreadPoolExecutor]:
    """Make a renderer in a new thread, the one that will use it; if that fails, the thread is given back."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, make), executor
    except BaseException:
        executor.shutdown(wait=False)
        raise


class RenderThread:
    """Runs a renderer in the one thread that may use it."""

    def __init__(self, renderer: Renderer, executor: ThreadPoolExecutor) -> None:
        """Start nothing.

        Args:
            renderer: used by the executor's thread only, from now until `close`.
            executor: one thread, the one that made the renderer; shut down by `close`.
        """
        self.latency_samples = renderer.latency_samples
        """The renderer's look-ahead, in samples at 16 kHz."""
        self._renderer = renderer
        self._executor = executor
        self._cutting = asyncio.Lock()
        self._no_matte: MattingError | None = None  # it can't be had, and trying takes seconds

    async def push(self, chunk: AudioChunk, *, paint: bool) -> Pairs:
        """Hear a chunk; returns the one that it completes, with its picture if that is painted."""
        return await self._run(self._push, chunk, paint)

    def _push(self, chunk: AudioChunk, paint: bool) -> Pairs:
        if paint:
            return self._renderer.push(chunk)
        return [(heard, None) for heard in self._renderer.skip(chunk)]

    async def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Stop in the middle of a word; see `Renderer.interrupt`."""
        return await self._run(lambda: self._renderer.interrupt(shown_pts, pts))

    async def cut_out(self) -> None:
        """Show the presenter without its background as well.

        Raises:
            MattingError: if the presenter has no matte and none can be made.
        """
        async with self._cutting:
            if self._no_matte is not None:
                raise self._no_matte
            try:
                await asyncio.to_thread(setattr, self._renderer, "matte", True)
            except MattingError as error:
                self._no_matte = error
                raise

    def leave_background(self) -> None:
        """Show the presenter with its background only, from the next picture on."""
        self._renderer.matte = False

    def follow(self, motion: HeadMotion) -> None:
        """Move the head and the eyelids by a motion, from the next picture on."""
        self._renderer.motion = motion

    async def show(self, renderer: Renderer) -> None:
        """Go on with another presenter, without losing a word; the one before is closed.

        Args:
            renderer: made by the same engine; closed if it can't be shown.

        Raises:
            MattingError: if the presenter is shown without its background and this one has no matte; nothing changes.
        """
        async with self._cutting:
            try:
                if self._renderer.matte:
                    await asyncio.to_thread(setattr, renderer, "matte", True)
            except BaseException:
                renderer.close()
                raise
            self._no_matte = None
            await self._run(self._replace, renderer)

    def _replace(self, renderer: Renderer) -> None:
        before, self._renderer = self._renderer, renderer
        renderer.take_over(before)
        before.close()

    async def close(self) -> None:
        """Give the renderer back and end the thread."""
        try:
            await self._run(lambda: self._renderer.close())
        finally:
            del self._renderer  # tens of megabytes, which a session's references to itself would keep
            self._executor.shutdown(wait=False)

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
