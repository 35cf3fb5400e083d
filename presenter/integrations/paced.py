"""What the adapters share: a talking head that a bot feeds and the clock empties."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Generic, TypeVar

from presenter.runtime.talking_head import TalkingHead
from stream.media import FPS, VOICE_RATE, Int16Array, VideoFrame

PERIOD = 1 / FPS
"""Seconds that one picture is shown."""
LEAD = 0.2
"""How far ahead of the clock speech is taken, in seconds: what the bot's own output queue may hold."""

MarkT = TypeVar("MarkT")


@dataclass(frozen=True, slots=True, eq=False)
class Shown(Generic[MarkT]):
    """One picture, the sound that goes with it, and what the bot put in behind that sound."""

    frame: VideoFrame
    voice: Int16Array
    """int16 `[N]`, 48 kHz mono, N up to 1920; empty while idle. The silence that fills the last chunk is cut off."""
    marks: list[MarkT]
    """What was marked up to the end of `voice`, in order."""


class PacedHead(Generic[MarkT]):
    """A talking head, with an account of what the bot gave and of what was taken.

    Whatever must stay in step with the speech (its end, its words) goes in with `mark` and comes out of `take` right
    after the sound that was pushed before it, or not at all if that sound is interrupted.

    Args:
        head: Owned by the caller, who closes it.
    """

    def __init__(self, head: TalkingHead) -> None:
        self._head = head
        self._given = Fraction(0)  # samples at 48 kHz that were pushed since the last interruption
        self._taken = 0  # and how many of them came out
        self._ends: deque[int] = deque()  # where utterances end that are not taken yet
        self._marks: deque[tuple[int, MarkT]] = deque()
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

    def push(self, pcm: Int16Array, rate: int) -> None:
        """Say this next: int16 `[N]` or `[N, C]` at `rate` Hz, which may change.

        Raises:
            StreamError: If the audio can't be used; nothing of it is said.
        """
        if rate != self._rate:
            self.end()
        self._head.push(pcm, rate, str(self._utterance))
        if len(pcm):
            self._rate = rate
            self._given += Fraction(len(pcm) * VOICE_RATE, rate)
            self._quiet.clear()

    def end(self) -> None:
        """End the utterance, so that its last samples are said too; nothing happens where none has begun."""
        if self._rate is not None:
            self._head.end(str(self._utterance))
            self._given = Fraction(ceil(self._given))
            self._ends.append(int(self._given))
            self._close_utterance()

    def mark(self, item: MarkT) -> None:
        """Let `item` come out behind what was pushed so far."""
        self._marks.append((ceil(self._given), item))

    async def due(self) -> None:
        """Wait until the next picture should be taken: at 25 per second, speech up to `LEAD` early."""
        early = LEAD if self._spoke else 0.0
        await asyncio.sleep(max(0.0, self._next - early - asyncio.get_running_loop().time()))

    async def take(self) -> Shown[MarkT]:
        """The next picture, now.

        Raises:
            StopAsyncIteration: If the head was closed.
        """
        try:
            pair = await anext(self._head)
        except BaseException:
            self._forget()  # it will say no more, and nobody shall wait for that
            raise
        now = asyncio.get_running_loop().time()
        # Late by less than a picture is caught up, or 25 per second would never be reached; later, time has moved on.
        self._next = (self._next if now - self._next < PERIOD else now) + PERIOD
        self._spoke = pair.speech
        voice = self._account(pair.chunk.voice if pair.speech else pair.chunk.voice[:0])
        return Shown(pair.frame, voice, self._passed())

    async def interrupt(self) -> list[MarkT]:
        """Say nothing of what was not taken yet; gives back the marks that will not come out."""
        lost = self._forget()
        await self._head.interrupt()
        return lost

    def _account(self, voice: Int16Array) -> Int16Array:
        """Cut off what fills the last chunk of an utterance, and count the rest."""
        end = self._ends[0] if self._ends else ceil(self._given)
        voice = voice[: end - self._taken]
        self._taken += len(voice)
        if self._ends and self._taken == end:
            self._ends.popleft()
        if self._taken >= self._given:
            self._quiet.set()
        return voice

    def _passed(self) -> list[MarkT]:
        passed: list[MarkT] = []
        while self._marks and self._marks[0][0] <= self._taken:
            passed.append(self._marks.popleft()[1])
        return passed

    def _close_utterance(self) -> None:
        self._rate = None
        self._utterance += 1

    def _forget(self) -> list[MarkT]:
        lost = [item for _, item in self._marks]
        self._given, self._taken = Fraction(0), 0
        self._ends.clear()
        self._marks.clear()
        self._quiet.set()
        self._close_utterance()
        return lost
