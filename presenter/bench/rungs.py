"""What each rung of the quality ladder costs, and the rungs that were considered and left out."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from models.compositor import FrameCompositor
from models.head_motion import AT_REST, IdleMotion
from models.mesh import NUM_VERTICES

_ROUNDS = 60
_WARM_UP = 5
_OPENING = 0.02  # inter-ocular distances; the cost does not depend on it


def rung_costs(compositor: FrameCompositor) -> dict[str, float]:
    """Processor time of 40 ms of pictures on each rung: medians, ms of one core.

    Args:
        compositor: of any presenter; used by no other thread meanwhile.
    """
    mouths = np.random.default_rng(0).normal(0, _OPENING, (8, NUM_VERTICES, 3)).astype(np.float32)
    idle, mouth = IdleMotion(), compositor.mouth(mouths[0])
    whole = _cost(lambda number: compositor.frame(mouths[number % len(mouths)], *idle.at(number)))
    between = _cost(lambda number: compositor.compose(mouth, *idle.at(number)))
    still = _cost(lambda number: compositor.frame(mouths[number % len(mouths)], AT_REST))
    return {
        "full": whole,
        "every second mouth, moving head": (whole + between) / 2,
        "every third mouth, moving head": (whole + 2 * between) / 3,
        "every second frame": whole / 2,
        "every third frame": whole / 3,
        "still head, every mouth (not used)": still,
    }


def _cost(render: Callable[[int], object]) -> float:
    times = []
    for number in range(_WARM_UP + _ROUNDS):
        started = time.process_time()
        render(number)
        times.append(1000 * (time.process_time() - started))
    return float(np.median(times[_WARM_UP:]))
