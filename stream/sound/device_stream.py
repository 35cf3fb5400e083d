"""One sound device, kept open: an unplugged device is reported once and reopened when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, Literal

import numpy.typing as npt

from stream.errors import DeviceError
from stream.sound import portaudio, pulse
from stream.sound.devices import AudioDevice, Kind, find_again, find_input, find_output, route, word

logger = logging.getLogger(__name__)

Callback = Callable[[npt.NDArray[Any], float], None]

BLOCKS_PER_S = 100
_LATENCY_S = 0.02
_CHECK_S = 0.25
_STALLED_CHECKS = 4
_FIRST_CHECKS = 20  # an idle PulseAudio sink and its monitor take up to 2 s to start
_PULSE_CHECKS = 4
_RETRY_S = 2.0
_RESTART_RETRIES = 5  # a scan for new devices interrupts other streams: then only every 10 s
_MAX_AHEAD_S = 1.0


class DeviceStream:
    """A stream of blocks of 10 ms from or to one device.

    `open` fails if there is no such device; afterwards `run` does not fail, and reopens a device that was lost.
    """

    def __init__(
        self,
        kind: Kind,
        spec: str | int | None,
        callback: Callback,
        *,
        on_change: Callable[[str], None] | None = None,
        dtype: Literal["float32", "int16"] = "float32",
    ) -> None:
        """Do nothing yet.

        Args:
            kind: input or output.
            spec: which device, as `stream.sound.devices.find_input` takes it.
            callback: called in PortAudio's thread with a block `[N, C]`, C of 1 or 2, to read before it returns
                (input) or to fill (output), and with the seconds until an output's first sample is played (0 for
                an input).
            on_change: called on the event loop with a message for the user when the device is lost or back.
            dtype: type of the samples.
        """
        self._kind: Kind = kind
        self._spec = spec
        self._callback = callback
        self._on_change = on_change
        self._dtype = dtype
        self._stream: Any = None
        self._device: AudioDevice | None = None
        self._pulse_index: int | None = None
        self._restarts = 0
        self._blocks = 0
        self._openings = 0
        self._ended = False
        self._closed = False
        self._failure: Exception | None = None
        self._ahead: deque[float] = deque(maxlen=BLOCKS_PER_S)
        self._open_latency_s = _LATENCY_S

    @property
    def is_open(self) -> bool:
        """Whether the device is open."""
        return self._stream is not None

    @property
    def device(self) -> AudioDevice:
        """The device that is used, or was last.

        Raises:
            DeviceError: before `open`.
        """
        if self._device is None:
            raise DeviceError(f"{word(self._kind)} {self._spec!r}: not opened yet")
        return self._device

    @property
    def rate(self) -> int:
        """Samples per second, the device's own; it may be another one after a loss."""
        return self.device.default_rate

    @property
    def channels(self) -> int:
        """Channels of each block: 1 or 2."""
        return min(2, self.device.channels)

    @property
    def opening(self) -> int:
        """How often the device was opened: samples after a change do not continue those before."""
        return self._openings

    @property
    def latency_s(self) -> float:
        """Seconds from an output's callback to the sound, median of the last second; of an input, as it claims."""
        ahead = list(self._ahead)
        return median(ahead) if ahead and self._kind == "output" else self._open_latency_s

    async def open(self) -> None:
        """Open the device.

        Raises:
            DeviceError: if there is no such device, or it can't be opened.
        """
        self._device = await asyncio.to_thread(find_input if self._kind == "input" else find_output, self._spec)
        try:
            await asyncio.to_thread(self._open, self._device)
        except DeviceError as error:
            name = self._device.name
            raise DeviceError(
                f"{word(self._kind)} {name!r} can't be opened ({error}); another program may hold it"
            ) from None

    async def run(self) -> None:
        """Keep the device open until `close` or cancellation."""
        try:
            while not self._closed:
                await self._until_lost()
                if not self._closed:
                    await self._recover()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the device; `run` returns."""
        self._closed = True
        await asyncio.to_thread(self._shut)

    # ---- watching ----

    async def _until_lost(self) -> None:
        blocks, still, checks = 0, 0, 0
        while not self._closed and self._stream is not None:
            await asyncio.sleep(_CHECK_S)
            checks += 1
            # Blocks are counted, not timed: a suspended machine or a blocked loop is no loss of the device.
            still = 0 if self._blocks != blocks else still + 1
            blocks = self._blocks
            stalled = still >= _STALLED_CHECKS and checks >= _FIRST_CHECKS
            if self._ended or stalled or self._restarts != portaudio.restarts():
                return
            if checks % _PULSE_CHECKS == 0 and await asyncio.to_thread(self._is_elsewhere):
                return

    def _is_elsewhere(self) -> bool:
        """Whether PulseAudio moved the stream to another device because its own is gone; it reports no error."""
        return self._pulse_index is not None and self._pulse_now(self.device) != self._pulse_index

    async def _recover(self) -> None:
        await asyncio.to_thread(self._shut)
        attempts = 0
        while not self._closed:
            if await asyncio.to_thread(self._reopen, attempts):
                break
            if attempts == 0:
                self._tell_gone()
            attempts += 1
            await asyncio.sleep(_RETRY_S)
        if attempts and not self._closed:
            self._say(f"The {word(self._kind)} {self.device.name!r} is back.", logging.INFO)

    def _tell_gone(self) -> None:
        if self._failure is not None:
            logger.error("the callback of %s failed", self.device.name, exc_info=self._failure)
            self._failure = None
        name = self.device.name
        self._say(f"The {word(self._kind)} {name!r} is gone; plug it in again, it will be used at once.")

    def _say(self, message: str, level: int = logging.WARNING) -> None:
        logger.log(level, message)
        if self._on_change is not None:
            self._on_change(message)

    # ---- in a worker thread ----

    def _reopen(self, attempts: int) -> bool:
        with portaudio.lock, contextlib.suppress(DeviceError):
            with contextlib.suppress(DeviceError):
                self._open(self._find_again())
                return True
            if self.device.pulse_name is not None and pulse.is_available() and "pulse" in _names():
                return False  # PulseAudio is reachable: a restart would show nothing new
            if portaudio.others_open() and attempts % _RESTART_RETRIES:
                return False
            portaudio.restart()
            self._open(self._find_again())
            return True
        return False

    def _find_again(self) -> AudioDevice:
        if self._spec is None:
            return find_input(None) if self._kind == "input" else find_output(None)
        return find_again(self.device)

    def _open(self, device: AudioDevice) -> None:
        with portaudio.lock:
            if self._closed:
                return
            number, environment = route(device)
            self._pulse_index = self._pulse_now(device)
            self._blocks, self._ended = 0, False
            self._ahead.clear()
            self._device = device
            self._openings += 1
            stream = portaudio.open_stream(
                "InputStream" if self._kind == "input" else "OutputStream",
                environment,
                device=number,
                channels=self.channels,
                samplerate=self.rate,
                dtype=self._dtype,
                blocksize=self.rate // BLOCKS_PER_S,
                latency=_LATENCY_S,
                callback=self._input if self._kind == "input" else self._output,
                finished_callback=self._finished,
            )
            self._open_latency_s = float(stream.latency)
            self._restarts = portaudio.restarts()
            self._stream = stream

    def _pulse_now(self, device: AudioDevice) -> int | None:
        if device.pulse_name is None:
            return None
        return pulse.index_of("sources" if self._kind == "input" else "sinks", device.pulse_name)

    def _shut(self) -> None:
        with portaudio.lock:
            stream, self._stream = self._stream, None
            if stream is not None:
                portaudio.close_stream(stream)

    # ---- in PortAudio's thread ----

    def _input(self, block: npt.NDArray[Any], count: int, times: Any, status: Any) -> None:
        self._call(block, 0.0)

    def _output(self, block: npt.NDArray[Any], count: int, times: Any, status: Any) -> None:
        ahead_s = times.outputBufferDacTime - times.currentTime
        if 0.0 < ahead_s < _MAX_AHEAD_S:
            self._ahead.append(ahead_s)
        else:  # the first blocks, and some interfaces, lack one of the times
            ahead_s = self._open_latency_s
        self._call(block, ahead_s)

    def _call(self, block: npt.NDArray[Any], ahead_s: float) -> None:
        self._blocks += 1
        try:
            self._callback(block, ahead_s)
        except Exception as error:
            self._failure = error
            raise

    def _finished(self) -> None:
        self._ended = True


def _names() -> list[str]:
    return [row["name"] for row in portaudio.library().query_devices()]
