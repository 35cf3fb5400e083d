"""A bounded queue of encoded frames to one viewer, who may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiortc.mediastreams import MediaStreamError

from stream.rtc.encoders import EncodedFrame


class EncodedFrameQueue:
    """A bounded queue of frames to one reader; every frame that it returns can be decoded.

    Frames depend on those before them, back to a keyframe. So when the oldest is dropped, those
    that depend on it are dropped as well, and no frame is accepted until the next keyframe. That is requested
    when the reader is waiting for it: one that hangs costs the others no bits.
    """

    def __init__(self, capacity: int, ask_keyframe: Callable[[], None]) -> None:
        """Begin empty, without anything that frames could depend on."""
        self.dropped = 0
        """Frames that the reader did not get, from its first one on."""
        self._capacity = capacity
        self._ask_keyframe = ask_keyframe
        self._frames: deque[EncodedFrame] = deque()
        self._changed = asyncio.Event()
        self._begun = self._unbroken = False
        self._closed = False

    def put(self, frame: EncodedFrame) -> None:
        """Add a frame, if it can be decoded."""
        if len(self._frames) == self._capacity:
            self._drop_oldest()
        self._unbroken |= frame.keyframe
        if self._unbroken:
            self._begun = True
            self._frames.append(frame)
            self._changed.set()
        else:
            self.dropped += self._begun

    def close(self) -> None:
        """End: `get` raises once the queue is empty."""
        self._closed = True
        self._changed.set()

    async def get(self) -> EncodedFrame:
        """Wait for the next frame.

        Raises:
            MediaStreamError: when the queue was closed.
        """
        while not self._frames:
            if self._closed:
                raise MediaStreamError
            if not self._unbroken:
                self._ask_keyframe()
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()

    def _drop_oldest(self) -> None:
        before = len(self._frames)
        self._frames.popleft()
        while self._frames and not self._frames[0].keyframe:
            self._frames.popleft()
        self.dropped += before - len(self._frames)
        self._unbroken = bool(self._frames)
