"""The session's clock against hand-made time."""

import asyncio

import pytest

from stream.clock import SessionClock, ms, samples


class FakeTime:
    def __init__(self) -> None:
        self.monotonic = 5_000_000_000
        self.wall = 1_700_000_000_000_000_000

    def advance(self, ns: int) -> None:
        self.monotonic += ns


def test_samples_and_milliseconds_are_inverse() -> None:
    assert samples(40) == 640
    assert ms(640) == 40.0
    assert samples(ms(321)) == 321


@pytest.mark.parametrize(
    ("elapsed_ns", "expected"),
    [(0, 0), (62_499, 0), (62_500, 1), (40_000_000, 640), (3_600_000_000_000, 57_600_000)],
)
def test_time_is_counted_in_whole_samples(elapsed_ns: int, expected: int) -> None:
    time = FakeTime()
    clock = SessionClock(lambda: time.monotonic, lambda: time.wall)
    time.advance(elapsed_ns)
    assert clock.now() == expected


def test_ntp_follows_the_monotonic_clock_even_when_the_wall_clock_steps() -> None:
    time = FakeTime()
    clock = SessionClock(lambda: time.monotonic, lambda: time.wall)
    time.advance(1_500_000_000)
    time.wall += 3_600_000_000_000
    ntp = clock.ntp(clock.elapsed_ns())
    assert ntp >> 32 == 1_700_000_000 + 2_208_988_800 + 1
    assert ntp & 0xFFFFFFFF == 1 << 31
    assert clock.unix_ms() == 1_700_000_001_500


def test_ntp_resolves_a_microsecond_over_hours() -> None:
    clock = SessionClock(lambda: 0, lambda: 0)
    hour = 3_600_000_000_000
    step = clock.ntp(hour + 1_000) - clock.ntp(hour)
    assert abs(step / (1 << 32) - 1e-6) < 1e-9


def test_sleep_until_waits_for_the_future_and_yields_for_the_past() -> None:
    async def scenario() -> tuple[int, int]:
        clock = SessionClock()
        await clock.sleep_until(samples(30))
        after_future = clock.now()
        await clock.sleep_until(0)
        return after_future, clock.now()

    future, past = asyncio.run(scenario())
    assert samples(30) - 16 <= future < samples(130)
    assert past - future < samples(100)
