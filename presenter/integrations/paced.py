"""What the adapters share: a talking head that a bot feeds and the clock empties."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from presenter.talking_head import TalkingHead
from stream.media import FPS, VOICE_RATE, Int16Array, VideoFrame

PERIOD = 1 / FPS
"""Seconds that one picture is shown."""
LEAD = 0.2
"""How far ahead of the clock speech is taken, in seconds: what the bot's own output queue may hold."""

MarkT = TypeVar("MarkT")


@dataclass(frozen=True, slots=True, eq=False)
class Shown(Generic[MarkT]):
    """One picture, the sound that goes with it, and what the bot put in behind that sound."""

    frame: VideoFrame | None
    """None if painting was left out to catch up."""
    voice: Int16Array
    """int16 `[N]`, 48 kHz mono, N up to 1920; empty while idle. The padding of an utterance's last chunk is taken off."""
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
        self.size = head.size
        self._head = head
        self._pairs = aiter(head)
        self._marks: deque[tuple[int, MarkT]] = deque()
        self._ends: deque[int] = deque()
        self._utterance = 0
        self._next = 0.0
        self._spoke = False
        self._quiet = asyncio.Event()
        self._forget()

    @property
    def speaking(self) -> bool:
        """Whether speech was pushed that is not taken yet."""
        return not self._quiet.is_set()

    async def quiet(self) -> None:
        """Wait until everything that was pushed is taken."""
        await self._quiet.wait()

    def push(self, pcm: Int16Array, rate: int) -> None:
        """Say this next: int16 `[N]` or `[N, C]` at `rate` Hz.

        Raises:
            StreamError: If the audio can't be used; nothing of it is said.
        """
        self._head.push(pcm, rate, str(self._utterance))
        if len(pcm):
            self._given += Fraction(len(pcm) * VOICE_RATE, rate)
            self._open = True
            self._quiet.clear()

    def end(self) -> None:
        """End the utterance, so that its last samples are said too; nothing happens where none has begun."""
        if self._open:
            self._head.end(str(self._utterance))
            self._given = Fraction(-int(-self._given // 1))
            self._ends.append(int(self._given))
            self._begin()

    def mark(self, item: MarkT) -> None:
        """Let `item` come out behind what was pushed so far."""
        self._marks.append((-int(-self._given // 1), item))

    async def due(self) -> None:
        """Wait until the next picture should be taken: at 25 per second, speech up to `LEAD` early."""
        early = LEAD if self._spoke else 0.0
        await asyncio.sleep(max(0.0, self._next - early - asyncio.get_running_loop().time()))

    async def take(self) -> Shown[MarkT]:
        """The next picture, now."""
        try:
            pair = await anext(self._pairs)
        except BaseException:
            self._forget()
            raise
        now = asyncio.get_running_loop().time()
        # Late by less than a picture is caught up, or 25 per second would never be reached; later, time has moved on.
        self._next = (self._next if now - self._next < PERIOD else now) + PERIOD
        self._spoke = pair.speech
        voice = pair.chunk.voice if pair.speech else pair.chunk.voice[:0]
        if pair.ended is None:
            self._taken += len(voice)
        else:
            end = self._ends.popleft()
            voice = voice[: max(0, end - self._taken)]
            self._taken = end
        if self._taken >= self._given:
            self._quiet.set()
        return Shown(pair.frame, voice, self._passed())

    async def interrupt(self) -> list[MarkT]:
        """Say nothing of what was not taken yet; gives back the marks that will not come out."""
        lost = [item for _, item in self._marks]
        self._forget()
        await self._head.interrupt()
        return lost

    def _passed(self) -> list[MarkT]:
        passed: list[MarkT] = []
        while self._marks and self._marks[0][0] <= self._taken:
            passed.append(self._marks.popleft()[1])
        return passed

    def _begin(self) -> None:
        self._open = False
        self._utterance += 1

    def _forget(self) -> None:
        """Start the account afresh: samples at 48 kHz that were given and taken, and where utterances end."""
        self._given = Fraction(0)
        self._taken = 0
        self._ends.clear()
        self._marks.clear()
        self._quiet.set()
        self._begin()
