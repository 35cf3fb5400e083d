"""One pump, several sinks: same instant for sound and picture, paced by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from stream.clock import SessionClock, samples
from stream.media import CHUNK_SAMPLES
from stream.playout.playout import Playout, Tick
from stream.playout.pump import PlayoutPump
from tests.stream.playing import feed, numbered, playing


class Recorder:
    """A sink that keeps its ticks and when they came."""

    def __init__(self, pump: PlayoutPump) -> None:
        self.ticks: list[Tick] = []
        self.came_ns: list[int] = []
        self.stopped = False
        self._clock = pump.clock
        pump.add(self)

    def release(self, tick: Tick) -> None:
        self.ticks.append(tick)
        self.came_ns.append(self._clock.elapsed_ns())

    def stop(self) -> None:
        self.stopped = True

    async def until(self, condition: Callable[[Tick], bool]) -> Tick:
        """Wait for a tick of this kind, among those to come."""
        seen = len(self.ticks)
        while not any(condition(tick) for tick in self.ticks[seen:]):  # noqa: ASYNC110  ticks only grow
            await asyncio.sleep(0.005)
        return next(tick for tick in self.ticks[seen:] if condition(tick))


def test_a_tick_carries_matching_sound_and_picture_in_real_time(run: Callable) -> None:
    async def scenario() -> Recorder:
        async with playing(target_ms=80) as pump:
            recorder = Recorder(pump)
            await feed(pump, 24)
            await asyncio.sleep(0.2)
            return recorder

    recorder = run(scenario())
    assert set(np.diff([tick.time for tick in recorder.ticks])) == {320}
    shown = [tick for tick in recorder.ticks if tick.frame is not None and tick.audio.any()]
    assert [int(tick.frame.rgb[0, 0, 0]) + 1 for tick in shown] == [int(tick.audio[0]) for tick in shown]  # type: ignore[union-attr]
    assert len(shown) >= 20
    late_ms = [came / 1e6 - tick.time / 16 for tick, came in zip(recorder.ticks, recorder.came_ns, strict=True)]
    assert min(late_ms) >= 0
    assert np.median(late_ms) < 20


def test_a_sink_can_want_the_matte(run: Callable) -> None:
    async def scenario() -> None:
        async with playing() as pump:
            plain, camera = Recorder(pump), Recorder(pump)
            assert not pump.matte_wanted
            pump.add(camera, matte=True)
            assert pump.matte_wanted
            pump.request_matte("a user")
            pump.remove(camera)
            pump.remove(plain)
            assert pump.matte_wanted, "a user still does"
            pump.release_matte("a user")
            assert not pump.matte_wanted

    run(scenario())


def test_a_full_queue_makes_the_source_wait_and_loses_nothing(run: Callable) -> None:
    async def scenario() -> tuple[list[int], float]:
        async with playing(target_ms=40, max_ms=120) as pump:
            recorder = Recorder(pump)
            start = pump.clock.elapsed_ns()
            for k in range(20):
                await pump.put(*numbered(k))
            took = (pump.clock.elapsed_ns() - start) / 1e9
            await recorder.until(lambda tick: tick.source_pts == 19 * CHUNK_SAMPLES + 320)
            return [int(tick.audio[0]) for tick in recorder.ticks if tick.source_pts is not None], took

    values, took = run(scenario())
    assert values == [k // 2 + 1 for k in range(40)]
    assert took == pytest.approx(0.68, abs=0.4), "paced by play, not by the source"


def test_an_interrupt_is_heard_within_a_tick(run: Callable) -> None:
    async def scenario() -> float:
        async with playing(target_ms=40) as pump:
            recorder = Recorder(pump)
            for k in range(20):
                await pump.put(*numbered(k))
            await recorder.until(lambda tick: bool(tick.audio.any()))
            pump.clear()
            at = pump.clock.elapsed_ns()
            await recorder.until(lambda tick: not tick.audio.any())
            return (pump.clock.elapsed_ns() - at) / 1e6

    assert run(scenario()) < 200


def test_a_stopped_machine_skips_the_past_instead_of_playing_it(run: Callable) -> None:
    class Jumping(SessionClock):
        jump_ns = 0

        def elapsed_ns(self) -> int:
            return super().elapsed_ns() + self.jump_ns

    async def scenario() -> tuple[int, int]:
        clock = Jumping()
        pump = PlayoutPump(Playout(), clock)
        recorder = Recorder(pump)
        task = asyncio.create_task(pump.run())
        await recorder.until(lambda _: True)
        clock.jump_ns = 10_000_000_000
        jumped = len(recorder.ticks)
        await recorder.until(lambda tick: clock.now() - tick.time < samples(60))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert recorder.stopped
        return len(recorder.ticks) - jumped, clock.now()

    released, now = run(scenario())
    assert released < 10
    assert now > samples(10_000)
