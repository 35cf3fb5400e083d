"""Shared by the adapters: a talking head that takes a bot's speech and returns frames at 25 per second."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Generic, TypeVar

import numpy as np

from presenter.runtime.talking_head import TalkingHead
from stream.media import FPS, PLAYOUT_RATE, Int16Array, VideoFrame

PERIOD = 1 / FPS
"""Duration of one frame, in seconds."""
LEAD = 0.2
"""How far ahead of the clock speech is returned, in seconds: what the bot's own output queue may hold."""

MarkT = TypeVar("MarkT")
OriginT = TypeVar("OriginT")

_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Shown(Generic[MarkT, OriginT]):
    """One frame, the audio that goes with it, and the marks behind that audio."""

    frame: VideoFrame
    audio: Int16Array
    """int16 `[N]`, 48 kHz mono, N up to 1920; empty while idle. The silence that fills the last chunk is cut off."""
    marks: list[MarkT]
    """Marks up to the end of `audio`, in order."""
    origin: OriginT | None
    """Passed with the audio that holds the first sample of `audio`; None while idle."""


class PacedHead(Generic[MarkT, OriginT]):
    """A talking head that counts the samples pushed and taken.

    Items at a position in the speech (its end, its words) are added by `mark` and returned by `take` right after
    the audio that was pushed before them, or not at all if that audio is interrupted.

    Args:
        head: Owned by the caller, who closes it.
    """

    def __init__(self, head: TalkingHead) -> None:
        self._head = head
        self._given = Fraction(0)  # samples at 48 kHz that were pushed since the last interruption
        self._taken = 0  # and how many of them came out
        self._ends: deque[int] = deque()  # where utterances end that are not taken yet
        self._marks: deque[tuple[int, MarkT]] = deque()
        self._origins: deque[tuple[int, OriginT | None]] = deque()  # and from which sample on each one holds
        self._rest = b""  # an incomplete sample that the next bytes complete
        self._rest_format = (0, 0)  # its rate and channels
        self._utterance = 0
        self._rate: int | None = None  # of the utterance that is open
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._next = 0.0
        self._spoke = False

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        return self._head.size

    @property
    def speaking(self) -> bool:
        """Whether speech was pushed that is not taken yet."""
        return not self._quiet.is_set()

    async def quiet(self) -> None:
        """Wait until everything that was pushed is taken."""
        await self._quiet.wait()

    def push_bytes(self, data: bytes, rate: int, channels: int, origin: OriginT | None = None) -> None:
        """Queue speech: int16 little-endian, interleaved, cut anywhere, also within a sample.

        Raises:
            StreamError: If the audio is not supported; none of it is queued.
        """
        data = self._rest + data if self._rest_format == (rate, channels) else data
        whole = len(data) - len(data) % (_SAMPLE_BYTES * channels)
        self._rest, self._rest_format = b"", (rate, channels)
        self.push(np.frombuffer(data, "<i2", whole // _SAMPLE_BYTES).reshape(-1, channels), rate, origin)
        self._rest = data[whole:]

    def push(self, pcm: Int16Array, rate: int, origin: OriginT | None = None) -> None:
        """Queue speech: int16 `[N]` or `[N, C]` at `rate` Hz, which may change.

        Args:
            pcm: The samples.
            rate: In Hz.
            origin: Returned by `take` with these samples, such as the bot's name for this speech.

        Raises:
            StreamError: If the audio is not supported; none of it is queued.
        """
        if rate != self._rate:
            self.end()
        self._head.push(pcm, rate, str(self._utterance))
        if len(pcm):
            if not self._origins or self._origins[-1][1] != origin:
                self._origins.append((ceil(self._given), origin))
            self._rate = rate
            self._given += Fraction(len(pcm) * PLAYOUT_RATE, rate)
            self._quiet.clear()

    def end(self) -> None:
        """End the utterance, so that its last samples are played too; no effect if none has begun."""
        if self._rate is not None:
            self._head.end(str(self._utterance))
            self._given = Fraction(ceil(self._given))
            self._ends.append(int(self._given))
            self._close_utterance()

    def mark(self, item: MarkT) -> None:
        """Let `take` return `item` behind the audio that was pushed so far."""
        self._marks.append((ceil(self._given), item))

    async def due(self) -> None:
        """Wait until the next frame should be taken: at 25 per second, speech up to `LEAD` early."""
        early = LEAD if self._spoke else 0.0
        await asyncio.sleep(max(0.0, self._next - early - asyncio.get_running_loop().time()))

    async def take(self) -> Shown[MarkT, OriginT]:
        """The next frame, now.

        Raises:
            StopAsyncIteration: If the head was closed.
        """
        try:
            pair = await anext(self._head)
        except BaseException:
            self._forget()  # no more will be played, so `quiet` must not wait for it
            raise
        now = asyncio.get_running_loop().time()
        # A delay below one frame is made up for, or 25 per second would never be reached; a longer one is not.
        self._next = (self._next if now - self._next < PERIOD else now) + PERIOD
        self._spoke = pair.speech
        begin = self._taken
        audio = self._account(pair.chunk.audio if pair.speech else pair.chunk.audio[:0])
        return Shown(pair.frame, audio, self._passed(), self._origin(begin) if len(audio) else None)

    async def interrupt(self) -> list[MarkT]:
        """Drop what was not taken yet; returns the marks that were dropped."""
        lost = self._forget()
        await self._head.interrupt()
        return lost

    def _account(self, audio: Int16Array) -> Int16Array:
        """Cut off the silence that fills the last chunk of an utterance, and count the rest."""
        end = self._ends[0] if self._ends else ceil(self._given)
        audio = audio[: end - self._taken]
        self._taken += len(audio)
        if self._ends and self._taken == end:
            self._ends.popleft()
        if self._taken >= self._given:
            self._quiet.set()
        return audio

    def _passed(self) -> list[MarkT]:
        passed: list[MarkT] = []
        while self._marks and self._marks[0][0] <= self._taken:
            passed.append(self._marks.popleft()[1])
        return passed

    def _origin(self, sample: int) -> OriginT | None:
        while len(self._origins) > 1 and self._origins[1][0] <= sample:
            self._origins.popleft()
        return self._origins[0][1] if self._origins else None

    def _close_utterance(self) -> None:
        self._rate = None
        self._rest = b""
        self._utterance += 1

    def _forget(self) -> list[MarkT]:
        lost = [item for _, item in self._marks]
        self._given, self._taken = Fraction(0), 0
        self._ends.clear()
        self._marks.clear()
        self._origins.clear()
        self._quiet.set()
        self._close_utterance()
        return lost
