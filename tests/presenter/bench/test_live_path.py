"""The benchmark of the live path measures what it reports; its figures are no test."""

from __future__ import annotations

import pytest

from presenter.bench.live_path import run_bench
from presenter.bench.stopwatch import Stopwatch
from presenter.config import load_config
from presenter.errors import ConfigError


@pytest.mark.slow
def test_every_stage_is_told_beside_float32() -> None:
    report = run_bench(load_config("cpu"), 2.0)
    assert list(report["stages_ms"]) == ["syncformer", "planes", "generator", "compose", "yuv", "vp8"]
    for times in (*report["stages_ms"].values(), report["live"]["render_ms"], report["live"]["encode_vp8_ms"]):
        assert 0 < times["min"] <= times["p50"] <= times["p95"]
    for way in ("live", "live_float32"):
        cost = report[way]["core_seconds_per_second"]
        assert cost > 0
        assert sum(report[way]["by_fifth"]) / 5 == pytest.approx(cost, rel=0.1)
    assert report["side_by_side_ms"]["ours"]["p50"] == report["stages_ms"]["generator"]["p50"]
    assert report["backend"] in report["generator_ms"]
    assert report["look_ahead_ms"] == 80


def test_too_short_a_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        run_bench(load_config("cpu"), 0.5)


def test_a_stopwatch_counts_processor_time_and_leaves_out_the_first() -> None:
    watch = Stopwatch()
    assert watch(sum, range(1_000_000)) == sum(range(1_000_000))
    watch(int)
    assert watch.times[0] > watch.times[1] >= 0
    assert watch.summary(skip=1)["min"] == watch.times[1]
