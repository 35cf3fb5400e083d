"""How the lower face goes with the lips' opening where heads are filmed still, and what a network's motion lacks of it.

Of most filmed people, head pose and jaw can't be told apart: a pose that is fitted to the upper face takes part of the
jaw's fall for a nod, and what is left is a mouth that opens upwards over a chin that stays. Lips relative to each other
are right. So only what goes with their opening is corrected, linearly, from clips of people who hardly move their head.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.mesh import NUM_VERTICES
from models.motion_basis import mouth_rows
from models.training.motion_data import Array, MotionClip


def opening_slopes(displacement: Array) -> Array:
    """How far each vertex goes per opening of the lips `[478, 3]`: least squares over `[T, 478, 3]`."""
    (opening,) = mouth_rows(displacement.reshape(len(displacement), -1))[:1]
    opening = opening - opening.mean()
    slopes = np.tensordot(opening, displacement - displacement.mean(0), 1) / np.square(opening).sum()
    return np.asarray(slopes, np.float32)


def fit_jaw(clips: Iterable[MotionClip], emitted: Array) -> Array:
    """What to add to a motion per opening of the lips `[478 * 3]`; opening and width stay as they are.

    Args:
        clips: Of people whose heads are still; each speaker counts alike.
        emitted: What the network emits for speech `[T, 478, 3]`.

    Raises:
        ValueError: If there is no clip.
    """
    by_speaker: dict[str, list[Array]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip.displacement)
    if not by_speaker:
        raise ValueError("fit_jaw: expected at least one clip, got none")
    filmed = np.mean([opening_slopes(np.concatenate(parts)) for parts in by_speaker.values()], 0)
    jaw = filmed - opening_slopes(emitted)
    jaw[:, 0] = 0  # sideways, people differ
    return np.asarray(jaw.reshape(NUM_VERTICES * 3), np.float32)
