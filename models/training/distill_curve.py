"""The curve of a training run on the validation speakers, and the choice of its best checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from models.syncformer import StyleSyncFormer

Figures = dict[str, list[float]]  # of `with_intervals`: mean, low, high
Judge = Callable[[StyleSyncFormer], Figures]


def merit(figures: Figures) -> float:
    """What checkpoints are chosen by: opening and width at lag 0, the mean over validation speakers."""
    return figures["aperture_r"][0] + figures["width_r"][0]


def note(path: Path, step: int, figures: Figures) -> bool:
    """Add a step to the curve at `path`; returns whether it is the best one so far."""
    curve = json.loads(path.read_text()) if path.exists() else []
    best = all(merit(figures) > merit(earlier["figures"]) for earlier in curve)
    path.write_text(json.dumps([*curve, {"step": step, "figures": figures}]))
    return best
