"""Processor time of calls and its percentiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


class Stopwatch:
    """Processor time of the calls, of all threads of this process, ms."""

    def __init__(self) -> None:
        """Nothing was called yet."""
        self.times: list[float] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function; returns what it returns."""
        started = time.process_time()
        result = function(*arguments, **options)
        self.times.append(1000 * (time.process_time() - started))
        return result

    def summary(self, skip: int) -> dict[str, float]:
        """Smallest, median and 95th percentile, without the first `skip`."""
        kept = self.times[skip:]
        return {"min": min(kept), "p50": float(np.median(kept)), "p95": float(np.percentile(kept, 95))}
