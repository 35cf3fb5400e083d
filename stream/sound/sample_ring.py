"""Ring buffer of the last few seconds of sound, addressed by session time."""

from __future__ import annotations

import numpy as np

from stream.media import FloatArray, Int16Array


class SampleRing:
    """Holds samples by their position on an unbounded timeline; what was never put is silence. Not thread-safe."""

    def __init__(self, capacity: int, fade: int) -> None:
        """Hold the last `capacity` samples; at the edges of a gap, `fade` of them are faded."""
        self.end = 0
        """Position after the newest sample."""
        self._capacity = capacity
        # Twice the room: what is held stays in one piece and is moved once per `capacity` samples.
        self._room: FloatArray = np.zeros(2 * capacity, np.float32)
        self._used = 0
        self._rise: FloatArray = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._used

    def put(self, position: int, pcm: Int16Array) -> None:
        """Add samples, int16 `[N]`, N below the capacity; those in the past are ignored, unless time starts again."""
        gap = position - self.end
        if self._used and -self._capacity <= gap < 0:
            return
        fresh = pcm.astype(np.float32)
        if not self._used or abs(gap) > self._capacity:
            self._used, self.end, gap = 0, position, 0
            self._fade(fresh)
        elif gap:
            self._fade(self._room[: self._used][::-1])
            self._append(np.zeros(gap, np.float32))
            self._fade(fresh)
        self._append(fresh)

    def cut(self, first: int, last: int) -> FloatArray:
        """Copy the samples from position `first` up to `last`, float32 on a 16-bit scale."""
        piece = np.zeros(last - first, np.float32)
        start = self.end - self._used
        low, high = max(first, start), min(last, self.end)
        if low < high:
            piece[low - first : high - first] = self._room[low - start : high - start]
        return piece

    def resize(self, capacity: int) -> None:
        """Hold another number of samples from now on; keeps the newest."""
        kept = self._room[max(0, self._used - capacity) : self._used]
        self._capacity = capacity
        self._room = np.zeros(2 * capacity, np.float32)
        self._room[: len(kept)] = kept
        self._used = len(kept)

    def _append(self, samples: FloatArray) -> None:
        if self._used + len(samples) > len(self._room):
            kept = self._capacity - len(samples)
            self._room[:kept] = self._room[self._used - kept : self._used].copy()
            self._used = kept
        self._room[self._used : self._used + len(samples)] = samples
        self._used += len(samples)
        self.end += len(samples)

    def _fade(self, samples: FloatArray) -> None:
        """Fade the beginning in, in place."""
        count = min(len(samples), len(self._rise))
        samples[:count] *= self._rise[:count]
