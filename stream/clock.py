"""The session's clock: one epoch, monotonic time, and its mapping to NTP.

Code that releases or stamps media reads no other clock; playout rules take the time as an argument, in samples at
16 kHz since the epoch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stream.media import SAMPLE_RATE

_NTP_UNIX_OFFSET_S = 2_208_988_800  # 1900-01-01 to 1970-01-01
_NS = 1_000_000_000


def ms(samples: int) -> float:
    """Convert samples at 16 kHz to milliseconds."""
    return samples * 1000 / SAMPLE_RATE


def samples(milliseconds: float) -> int:
    """Convert milliseconds to samples at 16 kHz."""
    return round(milliseconds * SAMPLE_RATE / 1000)


def ntp(unix_ns: int) -> int:
    """Convert nanoseconds since 1970 to seconds since 1900 in 32.32 (RFC 5905 section 6)."""
    return ((_NTP_UNIX_OFFSET_S * _NS + unix_ns) << 32) // _NS


class SessionClock:
    """Counts samples at 16 kHz since it was made.

    The wall clock is read once, at the epoch; afterwards NTP times follow the monotonic clock, so
    that a step of the wall clock can't desynchronise audio and video.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Set the epoch to now. The two functions are arguments so that tests need no waiting."""
        self._monotonic_ns = monotonic_ns
        self._epoch_ns = monotonic_ns()
        self._epoch_wall_ns = wall_ns()

    def elapsed_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return self._monotonic_ns() - self._epoch_ns

    def now(self) -> int:
        """Samples at 16 kHz since the epoch, rounded down."""
        return self.elapsed_ns() * SAMPLE_RATE // _NS

    def ntp(self, elapsed_ns: int) -> int:
        """Return the 64-bit NTP time of an instant of this clock, as sender reports carry it (RFC 3550 section 4)."""
        return ntp(self._epoch_wall_ns + elapsed_ns)

    def unix_ms(self) -> float:
        """Return now in milliseconds since 1970, on the clock that stamps what is sent."""
        return (self._epoch_wall_ns + self.elapsed_ns()) / 1e6

    async def sleep_until(self, time_samples: int) -> None:
        """Sleep until the clock reads `time_samples`; yields to the loop at least once."""
        late_ns = self.elapsed_ns() - time_samples * _NS // SAMPLE_RATE
        await asyncio.sleep(max(0.0, -late_ns / _NS))
