"""The benchmark of a server measures what it reports; its figures are no test."""

from __future__ import annotations

import pytest

from presenter.bench.sessions import run_sessions_bench
from presenter.errors import ConfigError


@pytest.mark.slow
def test_speaking_sessions_are_watched_and_measured() -> None:
    report = run_sessions_bench(1, 4)
    assert 0 < report["start_s"] < 60
    assert 0 < report["new_session_s"] < 30
    assert 0 < report["first_frame_s"] < 30
    assert report["mb_per_session"] > 0
    spoken = report["1 speaking"]
    assert len(spoken["frames_per_second"]) == 1
    assert spoken["frames_per_second"][0] > 1
    assert spoken["loud_share"][0] > 0.5
    assert spoken["core_seconds_per_second_each"] > 0


@pytest.mark.parametrize(("sessions", "seconds"), [(0, 10), (1, 1)])
def test_impossible_numbers_are_refused(sessions: int, seconds: float) -> None:
    with pytest.raises(ConfigError, match="at least"):
        run_sessions_bench(sessions, seconds)
