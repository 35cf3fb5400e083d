"""The cushion's size follows holes and their absence."""

from __future__ import annotations

from stream.clock import samples
from stream.cushion import Cushion


def observe(cushion: Cushion, seconds: float, level_ms: float) -> None:
    for _ in range(round(seconds * 50)):
        cushion.observe(level_ms)


def test_it_grows_by_a_chunk_at_each_hole_up_to_its_limit() -> None:
    cushion = Cushion(80, 200)
    seen = []
    for k in range(5):
        cushion.starve(samples(1000) * k)
        cushion.start()
        seen.append(cushion.target_ms)
    assert seen == [120, 160, 200, 200, 200]


def test_it_shrinks_slowly_without_holes() -> None:
    cushion = Cushion(80, 400)
    cushion.starve(0)
    cushion.start()
    observe(cushion, 10, 100)
    assert cushion.target_ms == 100
    observe(cushion, 30, 100)
    assert cushion.target_ms == 80


def test_a_pause_of_the_source_is_not_a_hole() -> None:
    cushion = Cushion(80, 400)
    cushion.starve(0)
    assert not cushion.is_full(80, 0, samples(100)), "a hole: more is wanted"
    assert cushion.is_full(80, 0, samples(600)), "a pause: the old target"
    assert cushion.target_ms == 80


def test_waiting_counts_like_sound() -> None:
    cushion = Cushion(80, 400)
    assert not cushion.is_full(40, 79, 0)
    assert cushion.is_full(40, 80, 0)


def test_slack_is_what_was_never_needed_and_is_taken_once() -> None:
    cushion = Cushion(80, 400)
    observe(cushion, 1.9, 300)
    assert cushion.slack_ms == 0, "one window first"
    observe(cushion, 0.06, 150)
    observe(cushion, 0.06, 300)
    assert cushion.slack_ms == 70
    cushion.take(40)
    assert cushion.slack_ms == 30


def test_it_is_thin_when_the_level_fell_below_its_usual_swing() -> None:
    cushion = Cushion(80, 400)
    assert not cushion.is_thin, "nothing is known yet"
    observe(cushion, 2, 20)
    assert not cushion.is_thin, "a chunk and a tick below the target are usual"
    observe(cushion, 2, 0)
    assert cushion.is_thin
    cushion.start()
    assert not cushion.is_thin
    for k in range(3):
        cushion.starve(k)
    cushion.start()
    observe(cushion, 2, 100)
    assert cushion.is_thin, "a grown target wants more"
