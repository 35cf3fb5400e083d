"""The benchmark of the live face swap says what each stage of a picture costs."""

from presenter.bench.swap import run_swap_bench
from presenter.config import load_config


def test_each_stage_of_a_picture_is_timed() -> None:
    report = run_swap_bench(load_config("tiny"), 0.4)
    assert list(report) == ["640x480", "720p"]
    for figures in report.values():
        stages = [figures[name] for name in ("track", "swap", "frame and label")]
        assert all(0 < stage["min"] <= stage["p50"] <= stage["p95"] for stage in stages)
        assert figures["sum of p50"] == sum(stage["p50"] for stage in stages)
    assert report["640x480"]["swap"]["p50"] < report["720p"]["swap"]["p50"], "a larger face costs more"
