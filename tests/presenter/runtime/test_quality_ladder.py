"""The quality ladder by tables: costs in, rungs out."""

from __future__ import annotations

import pytest

from presenter.runtime.quality_ladder import QualityLadder, Rung, stride_for


def test_the_rate_changes_with_hysteresis() -> None:
    assert stride_for(17, 1) == 1
    assert stride_for(40, 1) == 2
    assert stride_for(36, 2) == 2, "not back at once"
    assert stride_for(30, 2) == 1
    assert stride_for(300, 1) == 8


@pytest.mark.parametrize(
    ("frame_ms", "between_ms", "rung", "quality"),
    [
        (14, 3, Rung(1, False), "good"),
        (38, 3, Rung(1, False), "good"),
        (45, 9, Rung(2, True), "reduced"),
        (60, 9, Rung(2, False), "reduced"),  # 69 of 76 ms: not without a margin
        (60, 4, Rung(2, True), "reduced"),
        (80, 8, Rung(3, True), "reduced"),
        (45, 39, Rung(2, False), "reduced"),  # the head alone takes too long
        (300, 60, Rung(8, False), "reduced"),
    ],
)
def test_what_is_rendered_for_a_cost(frame_ms: float, between_ms: float, rung: Rung, quality: str) -> None:
    ladder = QualityLadder()
    ladder.note_between(between_ms, 0)
    assert ladder.decide(frame_ms, 0) == rung == ladder.rung
    assert rung.quality == quality


def test_rungs_do_not_oscillate() -> None:
    """A cost that wavers about a limit by a tenth changes the rung once."""
    ladder = QualityLadder()
    rungs = []
    for number in range(200):
        ladder.note_between(6, 40 * number)
        rungs.append(ladder.decide(38.5 + 3.5 * (-1) ** number, 40 * number))
    assert sum(one != other for one, other in zip(rungs, rungs[1:], strict=False)) <= 1
    assert rungs[-1] == Rung(2, True)


def test_a_slow_moment_is_forgotten() -> None:
    """Heads stop while moving them takes too long, and that is tried again."""
    ladder = QualityLadder()
    assert ladder.decide(42, 0) == Rung(2, True), "nothing is known of the cost yet"
    ladder.note_between(120, 100)
    assert ladder.decide(42, 200) == Rung(2, False)
    assert ladder.decide(42, 5000) == Rung(2, False)
    assert ladder.decide(42, 5200) == Rung(2, True)
