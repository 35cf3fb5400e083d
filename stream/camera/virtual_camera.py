"""A camera device that other programs open, filled from a playback's ticks.

The frame of tick T is sent at T + delay, the instant at which the virtual microphone plays T's
sound; the two are joined by the session's clock alone. In between the camera repeats its
last frame, so that its rate is steady even where the renderer's is not.

A frame is composed ahead of its time and sent, which converts its colours, in one worker thread.
The event loop never waits for either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from stream.camera.drivers import PACKAGE, CameraError, find_camera, why_no_camera
from stream.camera.schedule import Schedule
from stream.camera.stats import CameraMeter, CameraStats
from stream.clock import SessionClock, samples
from stream.framing.canvas import Canvas
from stream.media import FPS, SAMPLE_RATE, ByteArray, VideoFrame
from stream.playout.playout import Tick

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_COMPOSE_ROOM = samples(15)  # no frame is composed ahead with less time than this to the next one
_REOPEN = samples(2000)


class Device(Protocol):
    """What is used of `pyvirtualcam.Camera`."""

    @property
    def device(self) -> str:
        """Its name in other programs, or its file."""

    def send(self, frame: ByteArray) -> None:
        """Show a frame, RGB uint8 `[H, W, 3]`."""

    def close(self) -> None:
        """Release the device."""


class VirtualCamera:
    """A `TickSink`: add it to a `PlayoutPump` (`matte=canvas.needs_cutout`), call `open`, run `run()` as a task.

    It outlives the playback: after `stop` the last frame is repeated until another playback's ticks come.
    """

    def __init__(
        self,
        clock: SessionClock,
        canvas: Canvas,
        *,
        delay_ms: float,
        fps: int = FPS,
        device: str | None = None,
        backend: str | None = None,
        opener: Callable[..., Device] | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            clock: the one that ticks are stamped by.
            canvas: composes the frames.
            delay_ms: from a tick to its frame.
            fps: least rate, kept by repeating frames.
            device: file or name of the camera; None for the first.
            backend: pyvirtualcam's name of a driver; None for any.
            opener: called as `pyvirtualcam.Camera` is, which is the default.
            executor: runs one thing at a time; a thread of its own by default.
        """
        self.canvas = canvas
        self.frozen = False
        """Whether to repeat the last frame and drop new ones."""
        self.problem: str | None = None
        """Why the device can't be used at present; None while it can."""
        self._clock, self._fps = clock, fps
        self._schedule = Schedule(SAMPLE_RATE // fps, delay_ms)
        self._wanted, self._backend, self._opener = device, backend, opener
        self._executor = executor or ThreadPoolExecutor(1, "camera")
        self._device: Device | None = None
        self._closing: asyncio.Future[None] | None = None
        self._composed: tuple[VideoFrame, ByteArray] | None = None
        self._picture = canvas.card()
        self._news = asyncio.Event()
        self._reopen_at = 0
        self._meter = CameraMeter()

    @property
    def device(self) -> str:
        """Name or file of the open camera."""
        return "" if self._device is None else self._device.device

    @property
    def delay_ms(self) -> float:
        """From a tick to its frame."""
        return self._schedule.delay_ms

    def set_delay(self, delay_ms: float) -> None:
        """Send frames this long after their ticks, from the next one on."""
        self._schedule.delay_ms = delay_ms

    def stats(self) -> CameraStats:
        """Return the counters; those of time are as of now."""
        stats = self._meter.stats(self._clock.now())
        return replace(stats, dropped=stats.dropped + self._schedule.dropped)

    def open(self) -> None:
        """Open the device; may take a second.

        Raises:
            CameraError: if that fails; says what to install or to choose.
        """
        opener = self._opener or _pyvirtualcam()
        given = {} if self._backend is None else {"backend": self._backend}
        try:
            wanted = find_camera(self._wanted)
            self._device = opener(self.canvas.width, self.canvas.height, self._fps, device=wanted, **given)
        except Exception as error:  # drivers raise various types
            raise CameraError(why_no_camera(str(error), self._wanted)) from error

    def release(self, tick: Tick) -> None:
        """Take one tick; its frame, if it has one, is due at its time plus `delay_ms`."""
        self._schedule.put(tick)
        self._news.set()

    def stop(self) -> None:
        """Send what was released; the last frame is repeated after it."""

    async def run(self) -> None:
        """Send frames until cancelled, then close the device; a device that was lost is reopened when it is back."""
        try:
            while True:
                if self._device is None and not await self._reopen():
                    await self._clock.sleep_until(self._clock.now() + SAMPLE_RATE // self._fps)
                    continue
                now = self._clock.now()
                if self.frozen:
                    self._schedule.discard(now)
                self._schedule.overtake(now)
                due, frame = self._schedule.next(now, frozen=self.frozen)
                if now >= due:
                    await self._send(due, frame)
                elif not await self._compose_ahead(due - now, frame):
                    await self._wait(due)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the device, after what is being sent; the camera can't be used again. Safe twice.

        A driver may block: it does so in the worker thread, and continues there if this is cancelled.
        """
        if self._closing is None:
            self._closing = asyncio.get_running_loop().run_in_executor(self._executor, self._close_device)
            self._executor.shutdown(wait=False)
        await asyncio.shield(self._closing)

    async def _compose_ahead(self, left: int, frame: VideoFrame | None) -> bool:
        """Compose the first frame that waits, if nothing else has to be sent before that is done."""
        first = self._schedule.first
        if first is None or self.frozen or (frame is not first and left < _COMPOSE_ROOM):
            return False
        if self._composed is not None and self._composed[0] is first:
            return False
        self._composed = first, await self._work(self.canvas.compose, first)
        return True

    async def _wait(self, due: int) -> None:
        """Wait until `due`, or until a tick may have changed what is next."""
        self._news.clear()
        waits = [asyncio.ensure_future(w) for w in (self._clock.sleep_until(due), self._news.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _send(self, due: int, frame: VideoFrame | None) -> None:
        self._schedule.take(due, self._clock.now(), frame)
        if frame is not None:
            if self._composed is None or self._composed[0] is not frame:
                self._composed = frame, await self._work(self.canvas.compose, frame)
            self._picture = self._composed[1]
        try:
            left = await self._work(self._send_now, self._picture)
        except Exception as error:  # the device was unplugged, or its driver unloaded
            self._lose(error, frame is not None)
            return
        if frame is None:
            self._meter.repeated(left)
        else:
            self._meter.sent(due, left)

    def _send_now(self, picture: ByteArray) -> int:
        assert self._device is not None
        try:
            self._device.send(picture)
        except Exception:
            self._close_device()
            raise
        return self._clock.now()

    def _lose(self, error: Exception, is_new: bool) -> None:
        self.problem = f"the camera is gone ({error}); waiting for it to come back"
        _log.warning("%s", self.problem)
        self._reopen_at = self._clock.now() + _REOPEN
        self._meter.dropped(is_new)

    async def _reopen(self) -> bool:
        now = self._clock.now()
        self._meter.dropped(self._schedule.discard(now))
        if now < self._reopen_at:
            return False
        self._reopen_at = now + _REOPEN
        try:
            await self._work(self.open)
        except CameraError as error:
            self.problem = str(error)
            return False
        self.problem = None
        _log.info("the camera is open: %s", self.device)
        return True

    def _close_device(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            try:
                device.close()
            except Exception:  # the device is gone already
                _log.debug("closing the camera", exc_info=True)

    async def _work(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _pyvirtualcam() -> Callable[..., Device]:
    try:
        from pyvirtualcam import Camera  # not needed to import this module
    except ImportError as error:
        raise CameraError(f"{PACKAGE} ({error})") from error
    return Camera
