"""Fractional resampler: windowed-sinc interpolation at any position between samples, for any ratio.

A ratio of 1 at whole positions gives the samples themselves, so that a device without drift costs no
quality. Stateless: the caller keeps the position. Source: J. O. Smith, "Digital Audio Resampling" (CCRMA),
a table of one filter per fraction of a sample, and linear interpolation between neighbours in the table.
"""

from __future__ import annotations

import math

import numpy as np

from stream.media import FloatArray

_PHASES = 512
_HALF_TAPS = 16  # at a ratio of up to 1; 0.33 ms at 48 kHz
_KAISER_BETA = 8.0  # images 80 dB down, flat to 0.42 of the rate with these taps


class FractionalResampler:
    """Interpolates a stream around one nominal ratio."""

    def __init__(self, step: float = 1.0) -> None:
        """Build the table.

        Args:
            step: nominal input samples per output sample. Above 1 (the output has the lower rate) what the output
                can't hold is filtered out, with proportionally more taps.
        """
        self.reach = math.ceil(_HALF_TAPS * max(1.0, step))
        """Input samples needed before and after a position, the one at or before it included before."""
        cutoff = min(1.0, 1.0 / step)
        taps = np.arange(1 - self.reach, self.reach + 1)
        distance = taps[None, :] - np.arange(_PHASES + 1)[:, None] / _PHASES
        window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1.0 - (distance / self.reach) ** 2, 0.0, None)))
        table = np.sinc(cutoff * distance) * window
        # Every row sums to one: a constant stays constant at any fraction.
        table /= table.sum(axis=1, keepdims=True)
        self._filters = table[:-1].astype(np.float32)
        self._slopes = np.diff(table, axis=0).astype(np.float32)

    def pull(self, samples: FloatArray, position: float, step: float, count: int) -> FloatArray:
        """Interpolate at `position`, `position + step`, ..., `count` times.

        Args:
            samples: float32 `[N]`; must reach from `floor(position) - reach + 1` to `floor(last) + reach`.
            position: index into `samples`.
            step: input samples per output sample, near the nominal one.
            count: how many to make.

        Returns:
            float32 `[count]`, on the scale of `samples`.
        """
        at = position + step * np.arange(count)
        base = at.astype(np.intp)
        phase = (at - base) * _PHASES
        row = phase.astype(np.intp)
        weight = (phase - row).astype(np.float32)
        near = np.lib.stride_tricks.sliding_window_view(samples, 2 * self.reach)[base - (self.reach - 1)]
        made = np.einsum("nt,nt->n", near, self._filters[row])
        made += weight * np.einsum("nt,nt->n", near, self._slopes[row])
        return made
