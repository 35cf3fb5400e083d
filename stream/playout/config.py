"""Sizes of the playout queue."""

from __future__ import annotations

from dataclasses import dataclass

from stream.errors import StreamError
from stream.media import QUIET_DBFS
from stream.playout.jitter_target import JitterTarget


@dataclass(frozen=True, kw_only=True)
class PlayoutConfig:
    """Sizes of the queue.

    Raises:
        StreamError: if the sizes contradict each other.
    """

    target_ms: int = 80
    """Audio held before play starts or resumes: against uneven rendering."""
    max_target_ms: int = 320
    """That amount grows up to this when rendering or network turn out more uneven than that."""
    max_ms: int = 1000
    """Bound of the queue; what does not fit is refused, not dropped."""
    live: bool = True
    """The source runs in real time: its pauses may be shortened and lengthened."""
    quiet_dbfs: float = QUIET_DBFS
    """A chunk below this level is a pause."""

    def __post_init__(self) -> None:
        """Check the order of the sizes."""
        if not 0 <= self.target_ms < self.max_ms:
            raise StreamError(f"target_ms: expected 0..{self.max_ms} (max_ms), got {self.target_ms}")

    def jitter_target(self) -> JitterTarget:
        """Return a new jitter target of these sizes."""
        limit_ms = min(self.max_target_ms, self.max_ms)
        return JitterTarget(self.target_ms, max(self.target_ms, limit_ms))
