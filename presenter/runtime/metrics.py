"""Counters and latency histograms of one application, in the Prometheus text format or OpenMetrics.

Names and units follow https://prometheus.io/docs/practices/naming/: seconds, `_total` for counters.
"""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

LATENCY_BUCKETS_S = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Upper bounds; a value equal to one belongs to its bucket."""


class Exposition(NamedTuple):
    """The body of `GET /metrics` and its content type."""

    body: bytes
    content_type: str


class Metrics:
    """What one application counts, in a registry of its own; every session adds to the same object.

    `metrics.frames.inc()`, `metrics.render_seconds.observe(0.021)`. The process and the garbage collector are
    reported too.
    """

    def __init__(self) -> None:
        """Start every count at zero."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.sessions_active = Gauge(
            "presenter_sessions_active", "Sessions that hold a renderer now.", registry=self.registry
        )
        self.sessions_limit = Gauge(
            "presenter_sessions_limit", "Sessions that may be open at a time.", registry=self.registry
        )
        self.sessions = self._counter("sessions", "Sessions opened.")
        self.sessions_refused = self._counter("sessions_refused", "Sessions refused because the server was full.")
        self.frames = self._counter("frames", "Frames rendered.")
        self.frames_skipped = self._counter("frames_skipped", "Frames not rendered, to catch up.")
        self.frames_dropped = self._counter("frames_dropped", "Frames that an encoder did not fetch in time.")
        self.interrupts = self._counter("interrupts", "Times that a presenter was interrupted.")
        self.sound_filled_seconds = self._counter(
            "sound_filled_seconds", "Silence in place of microphone packets that the network lost or delayed."
        )
        self.underruns = self._counter("underruns", "Times that sound ran out while it was played.")
        self.sound_lost_seconds = self._counter(
            "sound_lost_seconds", "Sound lost in the server because rendering or sending was too slow."
        )
        self.render_seconds = self._latency("render_seconds", "Computing one 40 ms chunk.")
        self.ready_seconds = self._latency(
            "ready_seconds", "From the arrival of a chunk's last sample to its frame being ready, look-ahead included."
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"presenter_{name}", text, registry=self.registry)

    def _latency(self, name: str, text: str) -> Histogram:
        return Histogram(f"presenter_{name}", text, buckets=LATENCY_BUCKETS_S, registry=self.registry)

    def exposition(self, accept: str = "") -> Exposition:
        """Return what `GET /metrics` answers to a request with this Accept header."""
        encode, content_type = choose_encoder(accept)
        return Exposition(encode(self.registry), content_type)
