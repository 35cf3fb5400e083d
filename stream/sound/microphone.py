"""A microphone of this machine: its samples, resampled to the session's clock, as chunks."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, PLAYOUT_RATE, AudioChunk, FloatArray
from stream.pcm.chunk_queue import ChunkQueue
from stream.pcm.chunker import LEAD_IN_MS, Chunker
from stream.pcm.downmix import Downmix
from stream.pcm.gate import NoiseGate, with_gain
from stream.sound.device_stream import DeviceStream
from stream.sound.devices import AudioDevice

FLOOR_DBFS = -120.0
"""The level of silence."""
_NS = 1_000_000_000
_FADE = 80  # samples at 16 kHz: 5 ms, so that muting doesn't click


class Corrector(Protocol):
    """Resamples what a device captures to the session's clock; `stream.pcm.drift.DriftCorrector` is one."""

    @property
    def ppm(self) -> float:
        """How much faster than its nominal rate the device runs."""

    def push(self, pcm: FloatArray, now_s: float) -> FloatArray:
        """Add float32 `[N]` that came at `now_s`; returns float32 `[M]`."""


@dataclass(frozen=True, slots=True)
class MicrophoneStats:
    """Levels and losses of the microphone."""

    peak_dbfs: float = FLOOR_DBFS
    """Peak of the last 40 ms, also while muted."""
    rms_dbfs: float = FLOOR_DBFS
    """Power of the last 40 ms, also while muted."""
    lost_ms: float = 0.0
    """Sound dropped because the reader was further behind than the bound."""
    drift_ppm: float = 0.0
    """How much faster than the session's clock the device runs."""
    gone: bool = False
    """Whether the device is unplugged."""


class Microphone:
    """Chunks of one sound device, read by one consumer."""

    def __init__(
        self,
        device: str | int | None,
        clock: SessionClock,
        gate: NoiseGate | None = None,
        *,
        corrector: Callable[[int], Corrector] | None = None,
        backlog_ms: int = 400,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """Do nothing yet.

        Args:
            device: as `stream.sound.devices.find_input` takes it.
            clock: tells when a block has arrived.
            gate: attenuates noise between words.
            corrector: makes one for a rate in Hz, anew whenever the device was opened; None to use the device's
                clock as the session's.
            backlog_ms: how much is kept for a slow reader; beyond that the oldest is dropped.
            on_change: called with a message for the user when the device is lost or back.
        """
        self.muted = False
        """Set it at any time: chunks become silence, and time continues."""
        self._clock = clock
        self._gate = gate
        self._make_corrector = corrector
        self._corrector: Corrector | None = None
        self._device = DeviceStream("input", device, self._heard, on_change=on_change)
        self._downmix = Downmix(PLAYOUT_RATE)
        self._chunker = Chunker(lead_in_ms=LEAD_IN_MS)
        self._queue = ChunkQueue(backlog_ms)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._opening: object = None
        self._was_muted = False
        self._peak = self._power = 0.0

    @property
    def device(self) -> AudioDevice:
        """The device in use, or the last one.

        Raises:
            DeviceError: before `open`.
        """
        return self._device.device

    @property
    def latency_ms(self) -> float:
        """From a sound to the block that contains it, as far as the system reports."""
        return 1000 * self._device.latency_s

    @property
    def stats(self) -> MicrophoneStats:
        """The levels and counters now."""
        gone = self._running is not None and not self._device.is_open
        peak, power = (0.0, 0.0) if gone else (self._peak, self._power)
        drift_ppm = self._corrector.ppm if self._corrector else 0.0
        return MicrophoneStats(_db(peak * peak), _db(power), self._queue.dropped_ms, drift_ppm, gone)

    async def open(self) -> None:
        """Open the device and begin to capture.

        Raises:
            DeviceError: if there is no such device, or it can't be opened.
        """
        self._loop = asyncio.get_running_loop()
        await self._device.open()
        self._running = self._loop.create_task(self._device.run())

    def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks as they complete, until `close`; none arrive while the device is gone."""
        return self._queue.chunks()

    async def close(self) -> None:
        """Stop capturing and close the device; `chunks` finishes after what is queued."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        await self._device.close()
        self._queue.end()

    def _heard(self, block: npt.NDArray[Any], _ahead_s: float) -> None:
        """Take a block over from PortAudio's thread."""
        now_s = self._clock.elapsed_ns() / _NS
        mono = self._downmix.push(block)  # a copy: PortAudio writes to the block again
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, mono, self._device.rate, self._device.opening, now_s)

    def _take(self, mono: FloatArray, rate: int, opening: object, now_s: float) -> None:
        if self._queue.ended:
            return
        if opening != self._opening:  # opened for the first time or again, perhaps at another rate
            self._opening = opening
            self._put(self._chunker.flush())
            self._corrector = self._make_corrector(rate) if self._make_corrector else None
        if self._corrector is not None:
            mono = self._corrector.push(mono, now_s)
        self._put(self._chunker.push(mono, rate))

    def _put(self, chunks: list[AudioChunk]) -> None:
        for chunk in chunks:
            self._peak = float(np.abs(chunk.pcm).max())
            self._power = float(np.mean(np.square(chunk.pcm, dtype=np.float64)))
            heard = self._mute(chunk)
            self._queue.put([self._gate.push(heard) if self._gate else heard])

    def _mute(self, chunk: AudioChunk) -> AudioChunk:
        before, after = float(not self._was_muted), float(not self.muted)
        self._was_muted = self.muted
        gain = np.full(CHUNK_SAMPLES, after, np.float32)
        gain[:_FADE] = np.linspace(before, after, _FADE + 1, dtype=np.float32)[1:]
        return with_gain(chunk, gain, before)


def _db(power: float) -> float:
    return max(FLOOR_DBFS, 10.0 * math.log10(power)) if power > 0.0 else FLOOR_DBFS
