"""Counters and latency histograms of the running server, in Prometheus' text format."""

from bisect import bisect_left
from dataclasses import dataclass, field

LATENCY_BUCKETS_MS = (10, 20, 30, 40, 60, 80, 100, 120, 150, 200, 300, 500, 1000)


@dataclass(slots=True)
class Histogram:
    """Counts of values per bucket; a value equal to an upper bound belongs to that bucket."""

    bounds: tuple[int, ...] = LATENCY_BUCKETS_MS
    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_MS) + 1))
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count one value, in the unit of `bounds`."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        """Return the exposition lines, with cumulative buckets as the format asks."""
        out, seen = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            out.append(f'{name}_bucket{{le="{bound}"}} {seen}')
        return [*out, f"{name}_sum {self.total:.3f}", f"{name}_count {seen}"]


@dataclass(slots=True, kw_only=True)
class Metrics:
    """What one server process counts; every session adds to the same object, on the event loop only."""

    sessions_active: int = 0
    sessions_total: int = 0
    sessions_refused_total: int = 0
    frames_total: int = 0
    frames_skipped_total: int = 0
    frames_dropped_total: int = 0
    interrupts_total: int = 0
    sound_filled_ms_total: float = 0.0
    sound_lost_ms_total: float = 0.0
    render_ms: Histogram = field(default_factory=Histogram)
    ready_ms: Histogram = field(default_factory=Histogram)

    def exposition(self) -> str:
        """Return the body of `GET /metrics`."""
        lines: list[str] = []
        for name, kind, help_text, value in (
            ("sessions_active", "gauge", "Sessions that hold a renderer now.", self.sessions_active),
            ("sessions_total", "counter", "Sessions opened.", self.sessions_total),
            (
                "sessions_refused_total",
                "counter",
                "Sessions refused because the server was full.",
                self.sessions_refused_total,
            ),
            ("frames_total", "counter", "Frames rendered.", self.frames_total),
            ("frames_skipped_total", "counter", "Frames not rendered, to catch up.", self.frames_skipped_total),
            (
                "frames_dropped_total",
                "counter",
                "Frames that an encoder did not fetch in time.",
                self.frames_dropped_total,
            ),
            ("interrupts_total", "counter", "Times that a presenter was interrupted.", self.interrupts_total),
            (
                "sound_filled_ms_total",
                "counter",
                "Silence in place of microphone packets that the network lost or delayed, in ms.",
                self.sound_filled_ms_total,
            ),
            (
                "sound_lost_ms_total",
                "counter",
                "Sound lost in the server because rendering or sending was too slow, in ms.",
                self.sound_lost_ms_total,
            ),
        ):
            lines += _head(name, kind, help_text) + [f"presenter_{name} {value}"]
        for name, help_text, histogram in (
            ("render_ms", "Computing one 40 ms chunk, in ms.", self.render_ms),
            (
                "ready_ms",
                "From the arrival of a chunk's last sample to its frame being ready, look-ahead included, in ms.",
                self.ready_ms,
            ),
        ):
            lines += _head(name, "histogram", help_text) + histogram.lines(f"presenter_{name}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP presenter_{name} {help_text}", f"# TYPE presenter_{name} {kind}"]
