"""The benchmark of many viewers measures what it reports; its figures are no test."""

from __future__ import annotations

import pytest

from presenter.bench.viewers import run_viewers
from presenter.errors import ConfigError


@pytest.mark.slow
def test_viewers_in_another_process_are_served_by_one_encoder() -> None:
    report = run_viewers(3, 2.0)
    print(report)
    assert report["viewers"] == 3
    assert 0 < report["encodes_per_frame"] <= 1.1, "not one per viewer"
    assert report["frames"] > 10
    assert report["packets"] > 3 * report["frames"], "a voice and a picture for each"
    assert report["cpu_share"] > 0


@pytest.mark.parametrize(("viewers", "seconds"), [(0, 5.0), (5, 0.5)])
def test_nobody_and_no_time_are_refused(viewers: int, seconds: float) -> None:
    with pytest.raises(ConfigError, match="at least 1 viewer"):
        run_viewers(viewers, seconds)
