"""The threads of a session's renderer: audio in one, frames in the other; presenters are switched between frames."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from models.head_motion import HeadMotion
from models.identity import SpeakingStyle
from models.matting import MattingError
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from presenter.runtime.framing import Framing
from stream.framing.canvas import Canvas
from stream.media import AudioChunk, VideoFrame

P = ParamSpec("P")
R = TypeVar("R", bound=FrameRenderer)
T = TypeVar("T")


async def make_in_thread(make: Callable[[], R]) -> tuple[R, ThreadPoolExecutor]:
    """Make a renderer in a new thread, the one that will use it; if that fails, the thread is ended."""
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, make), executor
    except BaseException:
        executor.shutdown(wait=False)
        raise


class RenderThreads:
    """Runs a renderer in two threads: one for audio, one for frames, so that audio does not wait for a frame."""

    def __init__(
        self, renderer: FrameRenderer, executor: ThreadPoolExecutor, audio_executor: ThreadPoolExecutor | None = None
    ) -> None:
        """Start nothing.

        Args:
            renderer: used by these threads only, from now until `close`.
            executor: one thread, the one that made the renderer: it renders frames. Shut down by `close`.
            audio_executor: one thread, for audio; a new one when None. Shut down by `close`.
        """
        self.latency_samples = renderer.latency_samples
        """The renderer's look-ahead, in samples at 16 kHz."""
        self._renderer = renderer
        self._frames = executor
        self._audio = audio_executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="audio")
        self._rendering = asyncio.Lock()  # held while a frame is rendered or the renderer is replaced
        self._matting = asyncio.Lock()
        self._no_matte: MattingError | None = None  # it can't be made, and trying takes seconds
        self._matte_wanted = False
        self._canvas: Canvas | None = None

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the presenter's own frames."""
        return self._renderer.size

    async def advance(self, chunk: AudioChunk) -> Sequence[tuple[AudioChunk, RenderFrame]]:
        """Process a chunk of audio; see `FrameRenderer.advance`."""
        return await self._run(self._audio, lambda: self._renderer.advance(chunk))

    async def render(self, render: RenderFrame, *, keep_mouth: bool = False) -> VideoFrame:
        """Render a frame; see `RenderFrame`."""
        async with self._rendering:
            return await self._run(self._frames, self._render, render, keep_mouth=keep_mouth)

    def _render(self, render: RenderFrame, *, keep_mouth: bool) -> VideoFrame:
        frame, canvas = render(keep_mouth=keep_mouth), self._canvas
        if canvas is None:
            return frame
        return canvas.reframe(frame, cutout=self._matte_wanted and frame.cutout is not None)

    async def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Interrupt; see `FrameRenderer.interrupt`."""
        return await self._run(self._audio, lambda: self._renderer.interrupt(shown_pts, pts))

    async def add_matte(self) -> None:
        """Let frames carry their `cutout`.

        Raises:
            MattingError: if the presenter has no matte and none can be made.
        """
        await self._cut_out()
        self._matte_wanted = True

    async def _cut_out(self) -> None:
        async with self._matting:
            if self._no_matte is not None:
                raise self._no_matte
            try:
                await asyncio.to_thread(self._renderer.add_matte)
            except MattingError as error:
                self._no_matte = error
                raise

    def remove_matte(self) -> None:
        """Let frames carry no `cutout`, from the next one on."""
        self._matte_wanted = False
        if self._canvas is None or not self._canvas.needs_cutout:
            self._renderer.remove_matte()

    async def show_as(self, framing: Framing) -> None:
        """Show frames in some way, from the next one on.

        Raises:
            MattingError: if the background is to be replaced, and there is no matte and none can be made.
        """
        canvas = framing.canvas(self._renderer.size)
        if canvas is not None and canvas.needs_cutout:
            await self._cut_out()
        self._canvas = canvas
        if not self._matte_wanted:
            self.remove_matte()

    def follow(self, motion: HeadMotion) -> None:
        """Move the head and the eyelids by a motion, from the next frame on."""
        self._renderer.motion = motion

    def use_style(self, style: SpeakingStyle | None) -> None:
        """Move the mouth in another speaking style, from the next chunk on."""
        self._renderer.speaking_style = style

    async def show(self, renderer: FrameRenderer) -> None:
        """Continue with another presenter without a gap in the audio; the one before is closed.

        Args:
            renderer: made by the same engine; closed if it can't be shown.

        Raises:
            MattingError: if the presenter is shown without its background and this one has no matte; nothing changes.
        """
        async with self._matting:
            try:
                if self._renderer.matte:
                    await asyncio.to_thread(renderer.add_matte)
            except BaseException:
                renderer.close()
                raise
            self._no_matte = None
            async with self._rendering:
                await self._run(self._audio, self._replace, renderer)

    def _replace(self, renderer: FrameRenderer) -> None:
        before, self._renderer = self._renderer, renderer
        renderer.take_over(before)
        before.close()

    async def close(self) -> None:
        """Release the renderer and end the threads."""
        try:
            await self._run(self._audio, lambda: None)  # after jobs of a cancelled task
            await self._run(self._frames, lambda: self._renderer.close())
        finally:
            del self._renderer  # tens of megabytes, which a session's references to itself would keep
            self._audio.shutdown(wait=False)
            self._frames.shutdown(wait=False)

    async def _run(
        self, executor: ThreadPoolExecutor, function: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, partial(function, *arguments, **named))
