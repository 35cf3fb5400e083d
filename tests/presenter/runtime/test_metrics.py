"""What the counters look like to Prometheus."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from presenter.runtime.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    text = metrics.exposition().body.decode()
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples]
    return {sample.name + sample.labels.get("le", ""): sample.value for sample in found}


def test_latencies_are_in_seconds_and_bounds_count_as_inside() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.0101, 5.0):
        metrics.render_seconds.observe(seconds)
    found = samples(metrics)
    assert found["presenter_render_seconds_bucket0.01"] == 1
    assert found["presenter_render_seconds_bucket0.02"] == 2
    assert found["presenter_render_seconds_bucket1.0"] == 2
    assert found["presenter_render_seconds_bucket+Inf"] == 3
    assert found["presenter_render_seconds_sum"] == pytest.approx(5.0201)


def test_two_applications_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.frames.inc()
    assert samples(one)["presenter_frames_total"] == 1
    assert samples(other)["presenter_frames_total"] == 0


def test_the_process_and_the_garbage_collector_are_reported() -> None:
    found = samples(Metrics())
    assert found["process_resident_memory_bytes"] > 1e6
    assert "python_gc_collections_total" in found


def test_what_has_a_unit_is_in_seconds() -> None:
    names = samples(Metrics())
    assert not [name for name in names if "_ms" in name or "milli" in name]
    assert {"presenter_sound_lost_seconds_total", "presenter_ready_seconds_count"} <= names.keys()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("text/html,*/*;q=0.8", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, kind: str) -> None:
    assert Metrics().exposition(accept).content_type.startswith(kind)
