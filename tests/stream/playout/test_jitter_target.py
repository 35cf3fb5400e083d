"""The target follows underruns and their absence."""

from __future__ import annotations

from stream.clock import samples
from stream.playout.jitter_target import JitterTarget


def observe(jitter_target: JitterTarget, seconds: float, level_ms: float) -> None:
    for _ in range(round(seconds * 50)):
        jitter_target.observe(level_ms)


def test_it_grows_by_a_chunk_at_each_underrun_up_to_its_limit() -> None:
    jitter_target = JitterTarget(80, 200)
    seen = []
    for k in range(5):
        jitter_target.starve(samples(1000) * k)
        jitter_target.start()
        seen.append(jitter_target.target_ms)
    assert seen == [120, 160, 200, 200, 200]


def test_it_shrinks_slowly_without_underruns() -> None:
    jitter_target = JitterTarget(80, 400)
    jitter_target.starve(0)
    jitter_target.start()
    observe(jitter_target, 10, 100)
    assert jitter_target.target_ms == 100
    observe(jitter_target, 30, 100)
    assert jitter_target.target_ms == 80


def test_a_pause_of_the_source_is_not_an_underrun() -> None:
    jitter_target = JitterTarget(80, 400)
    jitter_target.starve(0)
    jitter_target.refill(samples(100))
    assert not jitter_target.is_reached(80, 0), "an underrun: more is wanted"
    jitter_target.refill(samples(600))
    assert jitter_target.is_reached(80, 0), "a pause: the old target"
    assert jitter_target.target_ms == 80


def test_asking_changes_nothing() -> None:
    jitter_target = JitterTarget(80, 400)
    jitter_target.starve(0)
    before = vars(jitter_target).copy()
    jitter_target.is_reached(200, 200)
    assert (jitter_target.target_ms, jitter_target.slack_ms, jitter_target.is_thin) == (120, 0, False)
    assert vars(jitter_target) == before


def test_waiting_counts_like_sound() -> None:
    jitter_target = JitterTarget(80, 400)
    assert not jitter_target.is_reached(40, 79)
    assert jitter_target.is_reached(40, 80)


def test_slack_is_what_was_never_needed_and_is_taken_once() -> None:
    jitter_target = JitterTarget(80, 400)
    observe(jitter_target, 1.9, 300)
    assert jitter_target.slack_ms == 0, "one window first"
    observe(jitter_target, 0.06, 150)
    observe(jitter_target, 0.06, 300)
    assert jitter_target.slack_ms == 70
    jitter_target.take(40)
    assert jitter_target.slack_ms == 30


def test_it_is_thin_when_the_level_fell_below_its_usual_swing() -> None:
    jitter_target = JitterTarget(80, 400)
    assert not jitter_target.is_thin, "nothing is known yet"
    observe(jitter_target, 2, 20)
    assert not jitter_target.is_thin, "a chunk and a tick below the target are usual"
    observe(jitter_target, 2, 0)
    assert jitter_target.is_thin
    jitter_target.start()
    assert not jitter_target.is_thin
    for k in range(3):
        jitter_target.starve(k)
    jitter_target.start()
    observe(jitter_target, 2, 100)
    assert jitter_target.is_thin, "a grown target wants more"
