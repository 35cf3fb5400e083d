"""Delayed sound output: what a session plays, on a device that other programs use as a microphone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from stream.clock import SessionClock
from stream.media import PLAYOUT_RATE
from stream.playout.playout import Tick
from stream.sound.delayed_player import DelayedPlayer, OutputStats
from stream.sound.device_stream import BLOCKS_PER_S, DeviceStream

_MARGIN_MS = 15.0  # the resampler's reach, and an event loop that is late with a tick
_LOOK_S = 0.5  # after so long the device's latency is measured
_CHANGED_MS = 10.0  # a latency that differs by so much is another one


class DelayedOutput:
    """A `TickSink` that plays ticks on a device, `delay_ms` after their time.

    The delay is what the device needs: its latency, one block and a margin.
    """

    def __init__(self, device: str | int | None, clock: SessionClock) -> None:
        """Open nothing yet.

        Args:
            device: as `stream.sound.devices.find_output` takes it.
            clock: the one that ticks are stamped by.
        """
        self._clock = clock
        self._device = DeviceStream("output", device, self._fill, dtype="int16")
        self._player = DelayedPlayer(0.0)
        self._on_delay: Callable[[float], None] = lambda delay_ms: None
        self._rate = PLAYOUT_RATE

    @property
    def name(self) -> str:
        """The device's name as users see it."""
        return self._device.device.name

    @property
    def delay_ms(self) -> float:
        """From a tick to its sound at the device; send its frame as late."""
        return self._player.delay_ms

    def observe_delay(self, function: Callable[[float], None]) -> None:
        """Call a function with `delay_ms` now, and on the event loop whenever it changes; there can be one."""
        self._on_delay = function
        function(self.delay_ms)

    def stats(self) -> OutputStats:
        """Return the output's timing error and counters."""
        return self._player.stats()

    async def open(self) -> None:
        """Open the device and learn its latency.

        Raises:
            DeviceError: if there is no such device, or it can't be opened.
        """
        await self._device.open()
        await asyncio.sleep(_LOOK_S)
        self._fit()

    async def run(self) -> None:
        """Keep the device open until cancelled; one that is reopened with another latency gets another delay."""
        # Callbacks are irregular while a device starts; an estimate made from them would last for a minute.
        self._player = DelayedPlayer(self._player.delay_ms, self._rate)
        keeping = asyncio.ensure_future(self._device.run())
        try:
            while not keeping.done():
                await asyncio.wait({keeping}, timeout=_LOOK_S)
                self._fit()
            keeping.result()
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def close(self) -> None:
        """Close the device."""
        await self._device.close()

    def release(self, tick: Tick) -> None:
        """Take one tick."""
        self._player.release(tick)

    def stop(self) -> None:
        """Note that no more ticks will come."""
        self._player.stop()

    def _fit(self) -> None:
        if self._device.rate != self._rate:
            self._rate = self._device.rate
            self._player = DelayedPlayer(self._player.delay_ms, self._rate)
        needed_ms = 1000 * (self._device.latency_s + 1 / BLOCKS_PER_S) + _MARGIN_MS
        if abs(needed_ms - self._player.delay_ms) > _CHANGED_MS:
            self._player.set_delay(needed_ms)
            self._on_delay(needed_ms)

    def _fill(self, block: npt.NDArray[Any], ahead_s: float) -> None:
        heard_at_s = self._clock.elapsed_ns() / 1e9 + ahead_s
        block[:] = self._player.fill(len(block), heard_at_s)[:, None]
