"""Beeps: sounds whose onset can be located to one sample, to compare times by."""

from __future__ import annotations

import numpy as np

from stream.media import PLAYOUT_RATE, Int16Array

LOUD = 3000
"""Of int16: a beep reaches this at once, and what is between beeps never does."""

_APART = PLAYOUT_RATE // 10  # in which no second beep begins


def beeps(seconds: int, rate: int = PLAYOUT_RATE) -> Int16Array:
    """A beep each second, 40 ms long and half a second in, int16 `[seconds * rate]`: it begins where a chunk does."""
    audio = np.zeros(seconds * rate, np.int16)
    t = np.arange(rate // 25) / rate
    beep = (20_000 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16)
    for second in range(seconds):
        at = second * rate + 13 * rate // 25  # where a chunk begins
        audio[at : at + len(beep)] = beep
    return audio


class BeepDetector:
    """Finds where beeps begin in a stream of sound at 48 kHz."""

    def __init__(self) -> None:
        """Start without input."""
        self.found: list[int] = []
        """Places of the first loud samples, in samples at 48 kHz."""
        self._last = -_APART

    def push(self, sound: Int16Array, at: int) -> None:
        """Look at a piece of sound, which begins at place `at`, behind the piece before."""
        for loud in np.flatnonzero(np.abs(sound.astype(np.int32)) >= LOUD):
            place = at + int(loud)
            if place - self._last >= _APART:
                self.found.append(place)
            self._last = place
