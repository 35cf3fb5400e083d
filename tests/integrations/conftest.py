"""A talking head that paints nothing: the same order of pairs as the real one, in no time and with known pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from stream.chunker import Chunker
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame, silence


@dataclass(frozen=True, slots=True)
class Pair:
    chunk: AudioChunk
    frame: VideoFrame | None
    speech: bool
    ended: str | None


class ScriptedHead:
    """Semantics of TalkingHead; `[0, 0]` of a picture holds its number, the rest is 200 in speech and 50 in idle."""

    size = (48, 64)
    LOOK_AHEAD = 2

    def __init__(self):
        self._chunker = Chunker()
        self._todo = []
        self._line = [(silence(0), None, False)] * self.LOOK_AHEAD
        self._current = None
        self._taken_ms = 0.0
        self.painted = 0
        self.closed = 0

    @classmethod
    async def open(cls, presenter="default", config=None):
        return cls()

    def push(self, pcm, rate, utterance=None):
        if utterance != self._current:
            self.end(self._current)
            self._current = utterance
            self._taken_ms = 0.0
        self._todo += [(chunk, None) for chunk in self._chunker.push(pcm, rate)]

    def end(self, utterance=None):
        self._todo += [(chunk, None) for chunk in self._chunker.flush()]
        if self._todo:
            self._todo[-1] = (self._todo[-1][0], self._current)

    async def interrupt(self):
        self._todo, self._line = [], []
        self._chunker = Chunker()
        self._current = None
        return self._taken_ms

    async def aclose(self):
        self.closed += 1

    def __aiter__(self):
        return self

    async def __anext__(self):
        while len(self._line) <= self.LOOK_AHEAD:
            self._line.append((*self._todo.pop(0), True) if self._todo else (silence(0), None, False))
        chunk, ended, speech = self._line.pop(0)
        self._taken_ms += 40.0 * speech
        picture = np.full((*self.size, 3), 200 if speech else 50, np.uint8)
        picture[0, 0] = self.painted % 256
        self.painted += 1
        return Pair(chunk, VideoFrame(picture, self.painted * CHUNK_SAMPLES), speech, ended)


@pytest.fixture
def scripted():
    return ScriptedHead


@pytest.fixture
def speech():
    """A function of seconds, rate and seed: int16 `[N]` of noise that is nowhere quiet, so that each sample shows."""

    def noise(seconds, rate, seed=0):
        level = np.random.default_rng(seed).uniform(0.1, 0.5, round(seconds * rate))
        return (level * 2**15).astype(np.int16)

    return noise
