"""Counting of closures in a train of syllables."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")  # of the extra [train]
pytest.importorskip("soundfile")

from models.training.motion_languages import inner_closures  # noqa: E402


def test_only_closures_between_openings_count() -> None:
    opening = np.array([0, 0, 0.1, 0.2, 0.01, 0.1, 0.0, 0.0, 0.2, 0.1, 0, 0], np.float32)
    assert inner_closures(opening) == 2
    assert inner_closures(np.zeros(5, np.float32)) == 0
