"""The choice of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from models.training.distill_curve import note


def test_only_a_better_step_is_the_best_and_all_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    steps = [(250, 0.5, 0.4), (500, 0.6, 0.4), (750, 0.55, 0.44), (1000, 0.56, 0.45)]
    best = [note(path, step, {"aperture_r": [a, 0, 1], "width_r": [w, 0, 1]}) for step, a, w in steps]
    assert best == [True, True, False, True]
    assert [entry["step"] for entry in json.loads(path.read_text())] == [250, 500, 750, 1000]
