"""A noise gate: sound quieter than speech is attenuated, and speech passes bit for bit."""

from __future__ import annotations

import numpy as np

from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, PLAYOUT_RATIO, PLAYOUT_SAMPLES, SAMPLE_RATE, AudioChunk, FloatArray

_STEP = SAMPLE_RATE // 200  # the level is measured per 5 ms
_STEPS = CHUNK_SAMPLES // _STEP
_ATTACK = _STEP
_PLAYOUT_AT = ((np.arange(PLAYOUT_SAMPLES) - (PLAYOUT_RATIO - 1)) / PLAYOUT_RATIO).astype(np.float32)


def with_gain(chunk: AudioChunk, gain: FloatArray, before: float) -> AudioChunk:
    """Return the chunk with a gain on both of its sounds; where the gain is 1 they stay bit for bit.

    Args:
        chunk: what is to be changed.
        gain: float32 `[640]`, 0..1.
        before: the gain of the sample before the chunk.
    """
    if before == 1.0 and bool((gain == 1.0).all()):
        return chunk
    curve = np.concatenate([np.array([before], np.float32), gain])
    fine = np.interp(_PLAYOUT_AT, np.arange(-1, CHUNK_SAMPLES), curve)
    audio = np.rint(chunk.audio * fine).astype(np.int16)
    return AudioChunk(chunk.pcm * gain, audio, chunk.pts)


class NoiseGate:
    """Follows one stream of chunks; pure function of the samples, no clock, no delay.

    It opens from the start of the chunk in which the threshold is reached, up to 40 ms before that, so that the
    onset of a word is not cut. It closes after `hold_ms` below `threshold_db - hysteresis_db`.
    """

    def __init__(
        self,
        threshold_db: float = -45.0,
        *,
        hysteresis_db: float = 6.0,
        hold_ms: int = 200,
        release_ms: int = 100,
        floor_db: float = -60.0,
    ) -> None:
        """Start closed.

        Args:
            threshold_db: power of 5 ms that opens the gate, in dBFS.
            hysteresis_db: by how much quieter speech may become before the gate closes.
            hold_ms: how long it stays open after that.
            release_ms: how long it takes to close; it opens in 5 ms.
            floor_db: gain of the closed gate; `-math.inf` for silence.

        Raises:
            StreamError: if a value is out of range.
        """
        if not -100.0 <= threshold_db <= 0.0:
            raise StreamError(f"threshold_db: expected -100..0, got {threshold_db}")
        if hysteresis_db < 0.0 or hold_ms < 0 or release_ms < 5 or floor_db > 0.0:
            raise StreamError(
                "noise gate: expected hysteresis_db >= 0, hold_ms >= 0, release_ms >= 5 and floor_db <= 0, "
                f"got {hysteresis_db}, {hold_ms}, {release_ms} and {floor_db}"
            )
        self._opens_at = 10.0 ** (threshold_db / 10.0)
        self._closes_at = 10.0 ** ((threshold_db - hysteresis_db) / 10.0)
        self._hold = hold_ms * SAMPLE_RATE // 1000
        self._release = release_ms * SAMPLE_RATE // 1000
        self._floor = 10.0 ** (floor_db / 20.0)
        self.reset()

    @property
    def is_open(self) -> bool:
        """Whether the last chunk ended with the gate open, or held open."""
        return self._open

    def reset(self) -> None:
        """Reset to the initial state."""
        self._open = False
        self._quiet = 0
        self._gain = self._floor

    def push(self, chunk: AudioChunk) -> AudioChunk:
        """Advance by one chunk (40 ms) and return what passes."""
        before = self._gain
        gain = np.concatenate([self._ramp(wanted) for wanted in self._states(chunk.pcm)])
        return with_gain(chunk, gain, before)

    def _states(self, pcm: FloatArray) -> list[bool]:
        """Return for each 5 ms whether the gate is to be open."""
        powers = np.mean(np.square(pcm.reshape(_STEPS, _STEP), dtype=np.float64), axis=1)
        states: list[bool] = []
        for power in powers:
            if power >= self._opens_at and not self._open:
                self._open = True
                states = [True] * len(states)
            self._quiet = 0 if power >= self._closes_at else self._quiet + _STEP
            self._open = self._open and self._quiet <= self._hold
            states.append(self._open)
        return states

    def _ramp(self, opens: bool) -> FloatArray:
        """Return the gain of 5 ms, from its present value towards its target."""
        ahead = np.arange(1, _STEP + 1)
        if opens:
            gain = np.minimum(1.0, self._gain + ahead * ((1.0 - self._floor) / _ATTACK))
        else:
            gain = np.maximum(self._floor, self._gain - ahead * ((1.0 - self._floor) / self._release))
        self._gain = float(gain[-1])
        if self._gain > 1.0 - 1e-9:  # the sum of the steps is 1 but for rounding
            gain[-1] = self._gain = 1.0
        return gain.astype(np.float32)
