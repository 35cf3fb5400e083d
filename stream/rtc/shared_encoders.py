"""Encode once, send to many: one encoder, fed by the playback, for all viewers that share a codec.

A feed encodes in a worker thread, one frame after the other, and hands what comes out to each of
its viewers in the same step of the event loop. It lives while it has viewers: nothing is encoded
when nobody watches. A feed that can't keep up gives up the oldest frames *before* they are encoded,
so what viewers get is always one unbroken stream.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from stream.clock import samples
from stream.media import Int16Array, VideoFrame
from stream.playout.playout import Tick
from stream.rtc.encoders import AudioEncoder, EncodedFrame, VideoEncoder

logger = logging.getLogger(__name__)

KEYFRAME_INTERVAL = samples(300)
"""Requests for keyframes are answered at most this often, in samples at 16 kHz."""
_VOICE_BACKLOG_TICKS = 30  # 600 ms: more than a catch-up after a stall hands out at once
_FACE_BACKLOG_FRAMES = 2


class Viewer(Protocol):
    """Who gets what a feed has encoded."""

    def put(self, frame: EncodedFrame) -> None:
        """Take a frame; called on the event loop, must not wait."""

    def miss(self) -> None:
        """Note that a frame was given up before it was encoded."""

    def stop(self) -> None:
        """End: nothing more will come."""


class Watcher(Viewer, Protocol):
    """A viewer of pictures, who can take so many bits per second."""

    bitrate: int


@dataclass(frozen=True, slots=True)
class EncodingStats:
    """Counters of one encoder."""

    frames: int = 0
    keyframes: int = 0
    """Those of `frames` that need no other; of a voice, all."""


class KeyframeRequests:
    """Merges the requests of all viewers; knows no clock but the time of the frames."""

    def __init__(self) -> None:
        """Begin without a request."""
        self._asked = self._covered = self._answered = 0
        self._last: int | None = None

    def ask(self) -> None:
        """Ask for a keyframe: of the frames to come, not of one that is being encoded."""
        self._asked += 1

    def begin(self, time: int) -> bool:
        """Return whether the frame at `time` (samples at 16 kHz), about to be encoded, has to be a keyframe."""
        self._covered = self._asked
        rested = self._last is None or time - self._last >= KEYFRAME_INTERVAL
        return self._asked > self._answered and rested

    def made(self, time: int) -> None:
        """Note that the frame that began last has become a keyframe, asked for or not."""
        self._answered = self._covered
        self._last = time


def shared_bitrate(bitrates: Iterable[int]) -> int:
    """Return the rate that suits all viewers but the worst tenth, in the unit of the argument (not empty)."""
    ordered = sorted(bitrates)
    return ordered[len(ordered) // 10]


T = TypeVar("T")
V = TypeVar("V", bound=Viewer)


class SharedEncoder(ABC, Generic[T, V]):
    """One encoder at work for its viewers."""

    def __init__(self, backlog: int, on_empty: Callable[[], None]) -> None:
        """Wait for viewers.

        Args:
            backlog: how many items may wait for the encoder.
            on_empty: called when the last viewer has left; the feed has ended then.
        """
        self.stats = EncodingStats()
        """What was encoded so far."""
        self._on_empty = on_empty
        self._viewers: set[V] = set()
        self._waiting: deque[tuple[int, T]] = deque()
        self._backlog = backlog
        self._newest_time = -1
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def release(self, tick: Tick) -> None:
        """Take one tick from the playback."""

    @abstractmethod
    def _job(self, time: int, item: T) -> Callable[[], EncodedFrame | None]:
        """Return what the worker thread has to do; called on the event loop."""

    def join(self, viewer: V) -> None:
        """Hand frames to a viewer from now on."""
        self._viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, viewer: V) -> None:
        """Hand no more frames to a viewer; the feed ends with the last one."""
        if viewer not in self._viewers:
            return
        self._viewers.remove(viewer)
        if not self._viewers:
            if self._task is not None:
                self._task.cancel()
            self._on_empty()

    def stop(self) -> None:
        """End all viewers, and so the feed."""
        for viewer in tuple(self._viewers):
            viewer.stop()

    def _offer(self, time: int, item: T) -> None:
        """Queue an item, unless something newer was queued already: time only grows."""
        if time <= self._newest_time:
            return
        self._newest_time = time
        if len(self._waiting) == self._backlog:
            self._waiting.popleft()
            for viewer in self._viewers:
                viewer.miss()
        self._waiting.append((time, item))
        self._changed.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while not self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
                frame = await loop.run_in_executor(None, self._job(*self._waiting.popleft()))
                if frame is not None:
                    self._hand_out(frame)
        except Exception:
            logger.exception("an encoder failed; its viewers get nothing more")
            self.stop()

    def _hand_out(self, frame: EncodedFrame) -> None:
        self.stats = EncodingStats(self.stats.frames + 1, self.stats.keyframes + frame.keyframe)
        for viewer in tuple(self._viewers):
            viewer.put(frame)


class SharedAudioEncoder(SharedEncoder[Int16Array, Viewer]):
    """The session's voice in one codec."""

    def __init__(self, encoder: AudioEncoder, on_empty: Callable[[], None]) -> None:
        """Wait for viewers."""
        super().__init__(_VOICE_BACKLOG_TICKS, on_empty)
        self._encoder = encoder

    def release(self, tick: Tick) -> None:
        """Take one tick from the playback."""
        self._offer(tick.time, tick.voice)

    def _job(self, time: int, item: Int16Array) -> Callable[[], EncodedFrame | None]:
        return lambda: self._encoder.encode(time, item)


class SharedVideoEncoder(SharedEncoder[VideoFrame, Watcher]):
    """The session's picture in one codec, with or without its matte."""

    def __init__(self, encoder: VideoEncoder, on_empty: Callable[[], None]) -> None:
        """Wait for viewers."""
        super().__init__(_FACE_BACKLOG_FRAMES, on_empty)
        self._encoder = encoder
        self._requests = KeyframeRequests()

    def release(self, tick: Tick) -> None:
        """Take one tick from the playback."""
        if tick.frame is not None:
            self.show(tick.frame, tick.time)

    def show(self, frame: VideoFrame, time: int) -> None:
        """Encode a frame for `time` (samples at 16 kHz), unless a newer one was shown."""
        self._offer(time, frame)

    def ask_keyframe(self) -> None:
        """Let all viewers start anew soon: one of them has just come, or has lost something."""
        self._requests.ask()

    def _job(self, time: int, item: VideoFrame) -> Callable[[], EncodedFrame | None]:
        keyframe = self._requests.begin(time)
        bitrate = shared_bitrate(viewer.bitrate for viewer in self._viewers)
        return lambda: self._encoder.encode(time, item, keyframe=keyframe, bitrate=bitrate)

    def _hand_out(self, frame: EncodedFrame) -> None:
        if frame.keyframe:
            self._requests.made(frame.time)
        super()._hand_out(frame)
