"""A device that is disconnected and reconnected, with a real sound server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from stream.errors import DeviceError
from stream.sound import device_stream, portaudio
from stream.sound.device_stream import DeviceStream
from stream.sound.devices import AudioDevice


class Heard:
    """What an input stream delivered."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []
        self.messages: list[str] = []

    def take(self, block: np.ndarray, _ahead_s: float) -> None:
        self.blocks.append(block.copy())

    async def more(self, count: int = 20) -> None:
        """Wait for that many more blocks."""
        wanted = len(self.blocks) + count
        await until(lambda: len(self.blocks) >= wanted)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  set from another thread
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(stream: DeviceStream) -> AsyncIterator[DeviceStream]:
    await stream.open()
    task = asyncio.create_task(stream.run())
    try:
        yield stream
    finally:
        await stream.close()
        await asyncio.wait_for(task, 5)
    assert not stream.is_open


def silent(block: np.ndarray, _ahead_s: float) -> None:
    block[:] = 0


def test_a_source_that_goes_is_told_once_and_used_when_it_is_back(
    pulse: Any, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PulseAudio moves the stream to another source without a word: it must not be listened to."""
    monkeypatch.setattr(device_stream, "_RETRY_S", 0.2)

    async def scenario() -> None:
        pulse.play_tone("talk", 300, 15)  # the monitor of an idle sink gives its first block after 2 s
        heard = Heard()
        async with running(DeviceStream("input", "talk", heard.take, on_change=heard.messages.append)) as stream:
            await heard.more()
            assert heard.blocks[-1].shape == (480, 2)
            pulse.unplug("talk")
            await until(lambda: bool(heard.messages))
            assert not stream.is_open
            await asyncio.sleep(0.7)  # attempts fail meanwhile
            assert len(heard.messages) == 1
            pulse.plug("talk")
            await until(lambda: len(heard.messages) == 2)
            await heard.more()
        gone = "The microphone 'Monitor of Null Output' is gone; plug it in again, it will be used at once."
        assert heard.messages == [gone, "The microphone 'Monitor of Null Output' is back."]

    run(scenario())


def test_a_server_that_starts_anew_is_found_again(pulse: Any, run: Callable, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        messages: list[str] = []
        async with running(DeviceStream("output", "vmic", silent, on_change=messages.append)) as stream:
            await until(lambda: stream.latency_s > 0)
            pulse.stop()
            await until(lambda: len(messages) == 1)
            pulse.start()
            await until(lambda: len(messages) == 2)
            assert stream.is_open

    with caplog.at_level(logging.INFO):
        run(scenario())
    told = [record.message for record in caplog.records if record.name == "stream.sound.device_stream"]
    assert told == [
        "The sound output 'Null Output' is gone; plug it in again, it will be used at once.",
        "The sound output 'Null Output' is back.",
    ]


def test_after_a_restart_of_portaudio_a_stream_goes_on_without_a_word(pulse: Any, run: Callable) -> None:
    async def scenario() -> None:
        pulse.play_tone("talk", 300, 15)  # the monitor of an idle sink gives its first block after 2 s
        heard = Heard()
        async with (
            running(DeviceStream("input", "talk", heard.take, on_change=heard.messages.append)) as microphone,
            running(DeviceStream("output", "vmic", silent, on_change=heard.messages.append)) as output,
        ):
            await heard.more()
            openings = microphone.opening, output.opening
            await asyncio.to_thread(portaudio.restart)
            await until(lambda: microphone.opening > openings[0] and output.opening > openings[1])
            await heard.more()
            assert microphone.is_open
            assert output.is_open
        assert heard.messages == []

    run(scenario())


@pytest.mark.parametrize(("rate", "dtype"), [(44_100, "float32"), (16_000, "int16")])
def test_an_output_runs_at_the_rate_of_its_device(pulse: Any, run: Callable, rate: int, dtype: Any) -> None:
    pulse.plug("other", rate=rate)

    async def scenario() -> None:
        calls: list[tuple[tuple[int, ...], np.dtype, float]] = []

        def fill(block: np.ndarray, ahead_s: float) -> None:
            calls.append((block.shape, block.dtype, ahead_s))
            block[:] = 0

        async with running(DeviceStream("output", "other", fill, dtype=dtype)) as stream:
            await until(lambda: len(calls) > 30)
            assert (stream.rate, stream.channels) == (rate, 2)
            assert {call[:2] for call in calls} == {((rate // 100, 2), np.dtype(dtype))}
            assert all(0 < call[2] < 1 for call in calls)
            assert 0 < stream.latency_s < 1

    run(scenario())


def test_a_wrong_device_fails_at_the_opening(pulse: Any, run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = DeviceStream("input", "talk", silent)
    with pytest.raises(DeviceError, match="there is none named 'kitchen'"):
        run(DeviceStream("output", "kitchen", silent).open())
    with pytest.raises(DeviceError, match="'talk': not opened yet"):
        _ = stream.rate

    def refuse(*arguments: Any, **options: Any) -> None:
        raise DeviceError("Device unavailable")

    monkeypatch.setattr(portaudio, "open_stream", refuse)
    wanted = r"microphone 'Monitor of Null Output' can't be opened \(Device unavailable\); another program may hold it"
    with pytest.raises(DeviceError, match=wanted):
        run(stream.open())
    assert not stream.is_open


def test_cancelling_closes_the_device(pulse: Any, run: Callable) -> None:
    async def scenario() -> None:
        stream = DeviceStream("output", "vmic", silent)
        await stream.open()
        task = asyncio.create_task(stream.run())
        await asyncio.sleep(0.1)
        assert portaudio.others_open()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not portaudio.others_open()

    run(scenario())


@pytest.mark.parametrize(("others", "restarted"), [(False, [0, 1, 2, 3, 4, 5, 6]), (True, [0, 5])])
def test_new_devices_are_looked_for_less_often_while_another_stream_runs(
    monkeypatch: pytest.MonkeyPatch, others: bool, restarted: list[int]
) -> None:
    stream = DeviceStream("input", "Headset", silent)
    stream._device = AudioDevice("Headset", "input", 3, 1, 48_000, False, "Core Audio")
    restarts: list[int] = []

    def gone(device: AudioDevice) -> AudioDevice:
        raise DeviceError("is not there")

    monkeypatch.setattr(device_stream, "find_again", gone)
    monkeypatch.setattr(portaudio, "others_open", lambda: others)
    for attempt in range(7):
        monkeypatch.setattr(portaudio, "restart", lambda attempt=attempt: restarts.append(attempt))
        assert not stream._reopen(attempt)
    assert restarts == restarted
