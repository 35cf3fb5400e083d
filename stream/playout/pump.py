"""The playout pump: pulls the playout queue by the session's clock and hands each tick of 20 ms to every sink.

Audio and video of one tick are handed out in the same step of the event loop, so matching audio and frames leave at
the same instant. A sink that is slow bounds its own backlog (`TickSink.release` must not wait), so that none slows the
others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from stream.clock import SessionClock, samples
from stream.media import AudioChunk, VideoFrame
from stream.playout.playout import TICK_SAMPLES, Playout, PlayoutStats, Tick

_MAX_CATCH_UP = samples(500)  # after a longer stall (a suspended machine) missed ticks are skipped


class TickSink(Protocol):
    """Takes the ticks of a pump."""

    def release(self, tick: Tick) -> None:
        """Take one tick; called on the event loop, must not wait."""

    def stop(self) -> None:
        """End: no more ticks will come."""


class PlayoutPump:
    """Drives one `Playout` by one `SessionClock` for any number of sinks.

    Make it, run `run()` as a task, put matched pairs in, add sinks.
    """

    real_time = True
    """Ticks are released by the clock, whether something is ready or not."""

    def __init__(self, playout: Playout, clock: SessionClock) -> None:
        """Nothing runs yet."""
        self.clock = clock
        self.next_time = 0
        """Time of the next tick, samples at 16 kHz."""
        self._playout = playout
        self._observers: list[Callable[[Tick], None]] = []
        self._sinks: set[TickSink] = set()
        self._matte_users: set[object] = set()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Release a tick every 20 ms until cancelled; then stops every sink."""
        self.next_time = self._tick_after(self.clock.now())
        try:
            while True:
                await self.clock.sleep_until(self.next_time)
                if self.clock.now() - self.next_time > _MAX_CATCH_UP:
                    self.next_time = self._tick_after(self.clock.now())
                tick = self._playout.pull(self.next_time)
                for sink in tuple(self._sinks):
                    sink.release(tick)
                for observe in self._observers:
                    observe(tick)
                self._room.set()
                self.next_time += TICK_SAMPLES
        finally:
            for sink in tuple(self._sinks):
                sink.stop()

    def add(self, sink: TickSink, *, matte: bool = False) -> None:
        """Release ticks to a sink from now on; with `matte` it needs frames that carry their `cutout`."""
        self._sinks.add(sink)
        if matte:
            self.request_matte(sink)

    def remove(self, sink: TickSink) -> None:
        """Release no more ticks to a sink."""
        self._sinks.discard(sink)
        self.release_matte(sink)

    def observe(self, function: Callable[[Tick], None]) -> None:
        """Call a function with every tick, after the sinks have it."""
        self._observers.append(function)

    def request_matte(self, user: object) -> None:
        """Note that a subscriber needs frames that carry their `cutout`, until `release_matte`."""
        self._matte_users.add(user)

    def release_matte(self, user: object) -> None:
        """Note that a subscriber needs the `cutout` no longer; no effect if none did."""
        self._matte_users.discard(user)

    @property
    def matte_wanted(self) -> bool:
        """Whether any user or sink needs the matte beside the frame; may be read from any thread."""
        return bool(self._matte_users)

    @property
    def queued_ms(self) -> float:
        """Sound that was put and is not released yet."""
        return self._playout.queued_ms

    @property
    def shown(self) -> VideoFrame | None:
        """The frame on the screen, or None before the first."""
        return self._playout.last_frame

    @property
    def shown_pts(self) -> int | None:
        """`pts` of the frame on the screen, or None before the first."""
        return None if self.shown is None else self.shown.pts

    def has_room(self) -> bool:
        """Whether one more pair can be put now."""
        return self._playout.has_room()

    def put_now(self, chunk: AudioChunk, frame: VideoFrame | None = None, *, elastic: bool = True) -> None:
        """Queue audio, for which there must be room, with its frame or without; see `Playout.put`."""
        accepted = self._playout.put(chunk, frame, self.clock.now(), elastic=elastic)
        assert accepted, "put_now without room"

    def attach(self, frame: VideoFrame, *, late: bool = False) -> bool:
        """Attach a frame to a queued chunk; see `Playout.attach`."""
        return self._playout.attach(frame, late=late)

    def first_unrendered(self, ahead_ms: float, stride: int = 1) -> int | None:
        """Return the pts of the next chunk to render a frame for; see `Playout.first_unrendered`."""
        return self._playout.first_unrendered(ahead_ms, stride)

    def hold(self, ahead_ms: float) -> None:
        """Keep enough audio queued for frames that take so long; see `Playout.hold`."""
        self._playout.hold(ahead_ms)

    async def put(self, chunk: AudioChunk, frame: VideoFrame | None) -> None:
        """Queue a matched pair, waiting while the queue is full."""
        while not self.has_room():
            self._room.clear()
            await self._room.wait()
        self.put_now(chunk, frame)

    def clear(self) -> None:
        """Interrupt: drop what has not left; silence follows within 20 ms."""
        self._playout.clear()
        self._room.set()

    def cut_pause(self, keep_ms: float) -> None:
        """Shorten the pause at the end of the queue; see `Playout.cut_pause`."""
        self._playout.cut_pause(keep_ms)

    def stats(self) -> PlayoutStats:
        """Return the playout's counters and level."""
        return self._playout.stats()

    @staticmethod
    def _tick_after(now: int) -> int:
        return -(-now // TICK_SAMPLES) * TICK_SAMPLES
