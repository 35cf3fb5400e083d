"""Stereo to mono without cancellation: where one channel is the inverse of the other, it is inverted first."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt

from stream.media import FloatArray

_BLOCK_S = 0.01
_MEMORY = 0.9  # of the level and the correlation, per block: a time constant of 100 ms
_OPPOSED, _AGREED = -0.7, -0.3  # correlation below which the second channel is inverted, and above which no longer
_SILENT = 1e-8  # mean square below which nothing is decided
_SCALE = {"u8": 1 / 128, "s16": 1 / 32768, "s32": 1 / 2147483648, "flt": 1.0, "dbl": 1.0}


class Downmix:
    """Stateful and causal; pushing a stream in pieces gives the same as pushing it whole."""

    def __init__(self, rate: int) -> None:
        """Begin with channels that agree; `rate` in Hz."""
        self._size = max(1, round(rate * _BLOCK_S))
        self._filled = 0
        self._product = self._power = 0.0  # of the block that is being filled
        self._correlation = self._level = 0.0  # of those before it
        self._sign = self._target = 1.0
        """What the second channel is multiplied by at the beginning and at the end of the block."""

    def push(self, table: npt.NDArray[np.generic]) -> FloatArray:
        """Return the mean of the channels `[N]` of float `[N, C]`."""
        if table.shape[1] != 2:
            return table.astype(np.float32, copy=False).mean(axis=1)
        left, right = np.ascontiguousarray(table.T, np.float32)
        mono = np.empty_like(left)
        start = 0
        while start < len(left):
            end = min(len(left), start + self._size - self._filled)
            mono[start:end] = self._mix(left[start:end], right[start:end])
            start = end
        return mono

    def _mix(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """Mix samples of one block, and decide about the next when it is full."""
        ramp = np.arange(self._filled + 1, self._filled + len(left) + 1, dtype=np.float32) / self._size
        gain = self._sign + (self._target - self._sign) * ramp
        self._product += float(np.sum(left * right, dtype=np.float64))
        self._power += float(np.sum(left * left, dtype=np.float64) + np.sum(right * right, dtype=np.float64)) / 2
        self._filled += len(left)
        if self._filled == self._size:
            self._decide()
        return ((left + gain * right) / 2).astype(np.float32, copy=False)

    def _decide(self) -> None:
        self._correlation = _MEMORY * self._correlation + self._product
        self._level = _MEMORY * self._level + self._power
        self._filled, self._product, self._power = 0, 0.0, 0.0
        self._sign = self._target
        if self._level > _SILENT * self._size:
            similarity = self._correlation / self._level
            if similarity < _OPPOSED:
                self._target = -1.0
            elif similarity > _AGREED:
                self._target = 1.0


def as_table(frame: av.AudioFrame) -> FloatArray:
    """Return a frame of any sample format that libav can show as an array, as float32 `[N, C]`, -1..1."""
    kind = frame.format.name.removesuffix("p")
    samples = frame.to_ndarray().astype(np.float32)
    if kind == "u8":
        samples -= 128
    channels = len(frame.layout.channels)
    planar = samples if frame.format.is_planar else samples.reshape(-1, channels).T
    return np.ascontiguousarray(planar.T * np.float32(_SCALE[kind]))
