"""The One Euro filter: calm where a value rests, quick where it moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats


class OneEuro:
    """Smooths values that arrive at irregular times.

    A low-pass whose cut-off rises with speed: jitter is seen when things are slow, lag when they are fast.

    Args:
        min_cutoff: At rest, Hz. Lower is calmer.
        beta: How much the cut-off rises, Hz per unit and second. Higher lags less.
        speed_cutoff: For the speed itself, Hz.

    Source: Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012.
    """

    def __init__(self, min_cutoff: float, beta: float, speed_cutoff: float = 1.0) -> None:
        self._min_cutoff = min_cutoff
        self._beta = beta
        self._speed_cutoff = speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Reset: drop all values."""
        self._value: Floats | None = None
        self._speed: Floats | None = None
        self._time = 0.0

    def filter(self, value: Floats, time_s: float) -> Floats:
        """The smoothed value `[N]` at a time, later than the one before."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value, np.zeros_like(value)
        else:
            elapsed = max(time_s - self._time, 1e-3)
            speed = (value - self._value) / elapsed
            self._speed = self._speed + _share(self._speed_cutoff, elapsed) * (speed - self._speed)
            cutoff = self._min_cutoff + self._beta * np.abs(self._speed)
            self._value = self._value + _share(cutoff, elapsed) * (value - self._value)
        self._time = time_s
        return self._value


def _share(cutoff: NDArray[np.floating[Any]] | float, elapsed: float) -> NDArray[np.floating[Any]] | float:
    """How much of a new value a low-pass of first order takes over."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * elapsed))
