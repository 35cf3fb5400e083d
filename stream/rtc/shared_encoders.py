"""Encode once, send to many: one encoder, a sink of the playout pump, for all subscribers that share a codec.

A shared encoder encodes in a worker thread, one frame after the other, and hands what comes out to each of its
subscribers in the same step of the event loop. It exists while it has subscribers: without one nothing is
encoded. One that can't keep up drops the oldest frames *before* they are encoded, so subscribers always get one
unbroken stream.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from stream.clock import samples
from stream.media import Int16Array, VideoFrame
from stream.playout.playout import Tick
from stream.rtc.encoders import AudioEncoder, EncodedFrame, VideoEncoder

logger = logging.getLogger(__name__)

KEYFRAME_INTERVAL = samples(300)
"""Requests for keyframes are answered at most this often, in samples at 16 kHz."""
_AUDIO_BACKLOG_TICKS = 30  # 600 ms: more than a catch-up after a stall hands out at once
_VIDEO_BACKLOG_FRAMES = 2


class Subscriber(Protocol):
    """Takes what a shared encoder has encoded."""

    def put(self, frame: EncodedFrame) -> None:
        """Take a frame; called on the event loop, must not wait."""

    def miss(self) -> None:
        """Note that a frame was dropped before it was encoded."""

    def stop(self) -> None:
        """End: nothing more will come."""


class VideoSubscriber(Subscriber, Protocol):
    """A subscriber of video, with the bitrate that it can receive."""

    bitrate: int


@dataclass(frozen=True, slots=True)
class EncodingStats:
    """Counters of one encoder."""

    frames: int = 0
    keyframes: int = 0
    """Those of `frames` that need no other; of sound, all."""


class KeyframeRequests:
    """Merges the requests of all subscribers; its only clock is the time of the frames."""

    def __init__(self) -> None:
        """Begin without a request."""
        self._asked = self._covered = self._answered = 0
        self._last: int | None = None

    def ask(self) -> None:
        """Request a keyframe: among the next frames, not the one that is being encoded."""
        self._asked += 1

    def begin(self, time: int) -> bool:
        """Return whether the frame at `time` (samples at 16 kHz), about to be encoded, has to be a keyframe."""
        self._covered = self._asked
        rested = self._last is None or time - self._last >= KEYFRAME_INTERVAL
        return self._asked > self._answered and rested

    def made(self, time: int) -> None:
        """Note that the frame that began last has become a keyframe, requested or not."""
        self._answered = self._covered
        self._last = time


def shared_bitrate(bitrates: Iterable[int]) -> int:
    """Return the rate that suits all subscribers but the worst tenth, in the unit of the argument (not empty)."""
    ordered = sorted(bitrates)
    return ordered[len(ordered) // 10]


T = TypeVar("T")
S = TypeVar("S", bound=Subscriber)


class SharedEncoder(ABC, Generic[T, S]):
    """One encoder at work for its subscribers."""

    def __init__(self, backlog: int, on_empty: Callable[[], None]) -> None:
        """Wait for subscribers.

        Args:
            backlog: how many items may wait for the encoder.
            on_empty: called when the last subscriber has left; the encoder has ended then.
        """
        self.stats = EncodingStats()
        """What was encoded so far."""
        self._on_empty = on_empty
        self._subscribers: set[S] = set()
        self._waiting: deque[tuple[int, T]] = deque()
        self._backlog = backlog
        self._newest_time = -1
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    def release(self, tick: Tick) -> None:
        """Take one tick of the pump."""

    @abstractmethod
    def _job(self, time: int, item: T) -> Callable[[], EncodedFrame | None]:
        """Return what the worker thread has to do; called on the event loop."""

    @abstractmethod
    def _free(self) -> None:
        """Release the codec's memory and threads now: references to this object may exist for minutes."""

    def subscribe(self, subscriber: S) -> None:
        """Hand frames to a subscriber from now on."""
        self._subscribers.add(subscriber)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def unsubscribe(self, subscriber: S) -> None:
        """Hand no more frames to a subscriber; the encoder ends with the last one."""
        if subscriber not in self._subscribers:
            return
        self._subscribers.remove(subscriber)
        if not self._subscribers:
            if self._task is not None:
                self._task.cancel()
            self._task = None
            self._waiting.clear()
            self._free()
            self._on_empty()

    def stop(self) -> None:
        """End all subscribers, and so the encoder."""
        for subscriber in tuple(self._subscribers):
            subscriber.stop()

    def _offer(self, time: int, item: T) -> None:
        """Queue an item, unless something newer was queued already: time only grows."""
        if time <= self._newest_time:
            return
        self._newest_time = time
        if len(self._waiting) == self._backlog:
            self._waiting.popleft()
            for subscriber in self._subscribers:
                subscriber.miss()
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
            logger.exception("an encoder failed; its subscribers get nothing more")
            self.stop()

    def _hand_out(self, frame: EncodedFrame) -> None:
        self.stats = EncodingStats(self.stats.frames + 1, self.stats.keyframes + frame.keyframe)
        for subscriber in tuple(self._subscribers):
            subscriber.put(frame)


class SharedAudioEncoder(SharedEncoder[Int16Array, Subscriber]):
    """The session's sound in one codec."""

    def __init__(self, encoder: AudioEncoder, on_empty: Callable[[], None]) -> None:
        """Wait for subscribers."""
        super().__init__(_AUDIO_BACKLOG_TICKS, on_empty)
        self._encoder = encoder

    def release(self, tick: Tick) -> None:
        """Take one tick of the pump."""
        self._offer(tick.time, tick.audio)

    def _free(self) -> None:
        del self._encoder

    def _job(self, time: int, item: Int16Array) -> Callable[[], EncodedFrame | None]:
        return partial(self._encoder.encode, time, item)


class SharedVideoEncoder(SharedEncoder[VideoFrame, VideoSubscriber]):
    """The session's video in one codec, with or without its matte."""

    def __init__(self, encoder: VideoEncoder, on_empty: Callable[[], None]) -> None:
        """Wait for subscribers."""
        super().__init__(_VIDEO_BACKLOG_FRAMES, on_empty)
        self._encoder = encoder
        self._requests = KeyframeRequests()

    def release(self, tick: Tick) -> None:
        """Take one tick of the pump."""
        if tick.frame is not None:
            self._offer(tick.time, tick.frame)

    def show_again(self, frame: VideoFrame, time: int) -> None:
        """Encode the frame on the screen once more, for `time` (samples at 16 kHz) or right after the newest one."""
        self._offer(max(time, self._newest_time + 1), frame)

    def ask_keyframe(self) -> None:
        """Request a keyframe: a subscriber has joined, or has lost a frame."""
        self._requests.ask()

    def _free(self) -> None:
        del self._encoder

    def _job(self, time: int, item: VideoFrame) -> Callable[[], EncodedFrame | None]:
        keyframe = self._requests.begin(time)
        bitrate = shared_bitrate(subscriber.bitrate for subscriber in self._subscribers)
        return partial(self._encoder.encode, time, item, keyframe=keyframe, bitrate=bitrate)

    def _hand_out(self, frame: EncodedFrame) -> None:
        if frame.keyframe:
            self._requests.made(frame.time)
        super()._hand_out(frame)
