"""A virtual camera behind a fake driver: what is shown when, by a simulated clock, and the errors' advice."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvirtualcam.camera

from stream.camera.drivers import (
    LINUX,
    MACOS,
    PERMISSION,
    WINDOWS,
    CameraError,
    find_camera,
    list_cameras,
    why_no_camera,
)
from stream.camera.virtual_camera import VirtualCamera
from stream.clock import SessionClock, samples
from stream.framing.canvas import Canvas
from stream.media import VideoFrame
from stream.playout.playout import TICK_SAMPLES, Tick
from tests import simulated
from tests.simulated import SimulatedExecutor, SimulatedLoop

DRIVER = "presenter test driver"
SIZE = (64, 64)


class Driver:
    """Keeps what it was sent and when; may be gone."""

    clock: SessionClock
    shown: list[tuple[float, int]]
    """Milliseconds, and the value of the picture's middle."""
    gone = False
    closed = 0
    opened = 0
    send_ms = 0.0

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: Any) -> None:
        if Driver.gone:
            raise RuntimeError("no such device")
        Driver.opened += 1
        self._shape = (height, width, 3)

    def send(self, frame: np.ndarray) -> None:
        if Driver.gone:
            raise RuntimeError("unplugged")
        assert frame.ndim == 1
        assert frame.dtype == np.uint8
        Driver.shown.append((Driver.clock.elapsed_ns() / 1e6, int(frame.reshape(self._shape)[40, 32, 0])))

    def close(self) -> None:
        Driver.closed += 1

    def device(self) -> str:
        return "Test Camera"

    def native_fourcc(self) -> int | None:
        return None


@pytest.fixture(autouse=True)
def driver() -> Iterator[type[Driver]]:
    pyvirtualcam.register_backend(DRIVER, Driver)
    Driver.shown, Driver.gone, Driver.closed, Driver.opened = [], False, 0, 0
    yield Driver
    del pyvirtualcam.camera.BACKENDS[DRIVER]


def simulate(scenario: Callable[[SessionClock], Coroutine[Any, Any, Any]]) -> Any:
    def with_clock(loop: SimulatedLoop) -> Coroutine[Any, Any, Any]:
        Driver.clock = loop.clock()
        return scenario(Driver.clock)

    return simulated.simulate(with_clock)


def picture(value: int) -> VideoFrame:
    return VideoFrame(np.full((64, 64, 3), value, np.uint8), 0)


def camera(clock: SessionClock, **options: Any) -> VirtualCamera:
    options = {"delay_ms": 100, "executor": SimulatedExecutor()} | options
    return VirtualCamera(clock, Canvas(SIZE), backend=DRIVER, **options)


async def tick(
    clock: SessionClock, sink: VirtualCamera, pictures: dict[int, int], count: int, jitter_ms: float = 0
) -> None:
    """Release `count` ticks as a playback does, up to `jitter_ms` late; tick k carries the picture `pictures[k]`."""
    rng = np.random.default_rng(0)
    start = -(-clock.now() // TICK_SAMPLES)
    for k in range(count):
        time = (start + k) * TICK_SAMPLES
        await clock.sleep_until(time + samples(rng.uniform(0, jitter_ms)))
        frame = picture(pictures[k]) if k in pictures else None
        sink.release(Tick(time, np.zeros(960, np.int16), None, frame))


def play(
    pictures: dict[int, int],
    count: int,
    *,
    jitter_ms: float = 0,
    before: Callable[[VirtualCamera], None] | None = None,
    **options: Any,
) -> VirtualCamera:
    async def scenario(clock: SessionClock) -> VirtualCamera:
        sink = camera(clock, **options)
        sink.open()
        task = asyncio.create_task(sink.run())
        await tick(clock, sink, pictures, count, jitter_ms)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink

    return simulate(scenario)


def first_times() -> dict[int, float]:
    times: dict[int, float] = {}
    for time, value in Driver.shown:
        times.setdefault(value, time)
    return times


@pytest.mark.parametrize("delay_ms", [0, 100, 237.5])
def test_a_picture_is_sent_its_delay_after_its_tick(delay_ms: float) -> None:
    sink = play({2 * k: 100 + k for k in range(50)}, 140, delay_ms=delay_ms, jitter_ms=0 if delay_ms == 0 else 12)
    times = first_times()
    assert [times[100 + k] - 40 * k for k in range(50)] == pytest.approx([delay_ms] * 50, abs=0.1)
    assert (sink.stats().sent, sink.stats().dropped) == (50, 0)
    assert sink.stats().late_ms < 0.1
    assert Driver.closed == 1


def test_the_rate_is_steady_at_half_the_pictures() -> None:
    sink = play({4 * k: 100 + k for k in range(50)}, 200, jitter_ms=12)
    gaps = np.diff([time for time, _ in Driver.shown])[2:]  # the first picture sets the beat
    assert gaps.min() > 39.8
    assert gaps.max() < 40.2
    assert sink.stats().fps == pytest.approx(25, abs=0.6)
    assert sink.stats().repeated == pytest.approx(sink.stats().sent, abs=4)


@pytest.mark.parametrize("delay_ms", [0, 40, 100])
def test_irregular_pictures_come_at_their_time_and_the_gaps_are_filled(delay_ms: float) -> None:
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.choice([1, 2, 3, 4, 9], 60))
    play({int(k): 100 + n for n, k in enumerate(at)}, int(at[-1]) + 20, delay_ms=delay_ms)
    times = first_times()
    assert [times[100 + n] for n in range(60)] == pytest.approx([20.0 * k + delay_ms for k in at], abs=0.1)
    gaps = np.diff([time for time, _ in Driver.shown])
    assert gaps.max() <= 60.1


def test_a_card_is_shown_before_the_first_picture_and_without_any_tick() -> None:
    async def scenario(clock: SessionClock) -> VirtualCamera:
        sink = VirtualCamera(clock, Canvas(SIZE, "#0a0000"), delay_ms=100, backend=DRIVER, executor=SimulatedExecutor())
        sink.open()
        task = asyncio.create_task(sink.run())
        await clock.sleep_until(samples(3000))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink

    simulate(scenario)
    assert {value for _, value in Driver.shown} == {10}
    assert len(Driver.shown) == pytest.approx(75, abs=1)


def test_frozen_it_repeats_one_picture_and_goes_on_with_the_present() -> None:
    async def scenario(clock: SessionClock) -> VirtualCamera:
        sink = camera(clock)
        sink.open()
        task = asyncio.create_task(sink.run())
        ticking = asyncio.create_task(tick(clock, sink, {2 * k: 50 + k for k in range(100)}, 200))
        await clock.sleep_until(samples(1010))
        sink.frozen = True
        await clock.sleep_until(samples(2010))
        sink.frozen = False
        await ticking
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink

    sink = simulate(scenario)
    still = [value for time, value in Driver.shown if 1010 < time < 2010]
    assert len(set(still)) == 1
    assert len(still) == pytest.approx(25, abs=1)
    after = next(value for time, value in Driver.shown if time > 2060)
    assert after - 50 == pytest.approx((2060 - 100) / 40, abs=1.5), "not what it missed"
    assert sink.stats().dropped == 0


def test_overtaken_pictures_are_dropped_and_counted_and_a_late_one_goes_at_once() -> None:
    async def scenario(clock: SessionClock) -> VirtualCamera:
        sink = camera(clock, delay_ms=20)
        sink.open()
        task = asyncio.create_task(sink.run())
        await clock.sleep_until(samples(1000))
        for k in range(5):  # a stalled loop releases what is due in one go
            sink.release(Tick(samples(700 + 40 * k), np.zeros(960, np.int16), None, picture(200 + k)))
        await clock.sleep_until(samples(1020))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink

    sink = simulate(scenario)
    assert first_times()[204] == pytest.approx(1000, abs=0.1)
    assert not {200, 201, 202, 203} & set(first_times())
    assert sink.stats().dropped == 4
    assert sink.stats().late_ms == pytest.approx(1000 - 880, abs=0.2)


def test_the_delay_can_change_while_it_runs() -> None:
    async def scenario(clock: SessionClock) -> None:
        sink = camera(clock, delay_ms=100)
        sink.open()
        task = asyncio.create_task(sink.run())
        ticking = asyncio.create_task(tick(clock, sink, {2 * k: 100 + k for k in range(50)}, 120))
        await clock.sleep_until(samples(1005))
        sink.set_delay(180)
        await ticking
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulate(scenario)
    times = first_times()
    assert times[110] == pytest.approx(500, abs=0.1)
    assert times[140] == pytest.approx(1780, abs=0.1)


def test_a_device_that_goes_is_waited_for() -> None:
    async def scenario(clock: SessionClock) -> tuple[VirtualCamera, str | None]:
        sink = camera(clock)
        sink.open()
        task = asyncio.create_task(sink.run())
        ticking = asyncio.create_task(tick(clock, sink, {2 * k: 50 + k for k in range(200)}, 400))
        await clock.sleep_until(samples(1005))
        Driver.gone = True
        await clock.sleep_until(samples(4005))
        problem = sink.problem
        Driver.gone = False
        await ticking
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink, problem

    sink, problem = simulate(scenario)
    assert problem is not None
    assert "camera" in problem
    assert sink.problem is None
    times = [time for time, _ in Driver.shown]
    assert Driver.opened == Driver.closed == 2
    assert 3000 < np.diff(times).max() < 5100
    assert [value for _, value in Driver.shown][-1] == pytest.approx(50 + (8000 - 100) / 40, abs=2)
    assert sink.stats().dropped > 50


def test_a_playback_that_ends_leaves_its_last_picture(run: Callable) -> None:
    """With a thread and the real clock: it runs, waits for nothing, and closes once."""

    async def scenario() -> VirtualCamera:
        Driver.clock = SessionClock()
        sink = VirtualCamera(Driver.clock, Canvas(SIZE), delay_ms=60, backend=DRIVER)
        sink.open()
        task = asyncio.create_task(sink.run())
        await tick(Driver.clock, sink, {2 * k: 100 + k for k in range(10)}, 30)
        sink.stop()
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sink

    sink = run(scenario())
    assert Driver.shown[-1][1] == 109
    assert Driver.closed == 1
    assert sink.stats().sent + sink.stats().dropped == 10


def test_a_driver_that_is_slow_to_close_does_not_stop_the_loop(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver closes once the event loop has gone on, which it can't while it waits for the driver."""
    went_on, waited = threading.Event(), []
    monkeypatch.setattr(Driver, "close", lambda self: waited.append(went_on.wait(5)))

    async def scenario() -> None:
        Driver.clock = SessionClock()
        sink = VirtualCamera(Driver.clock, Canvas(SIZE), delay_ms=0, backend=DRIVER)
        sink.open()
        asyncio.get_running_loop().call_later(0.05, went_on.set)
        await asyncio.gather(sink.close(), sink.close())

    run(scenario())
    assert waited == [True]


def test_this_machine_says_what_its_driver_lacks() -> None:
    if list_cameras():
        pytest.skip("this machine has video devices")
    if sys.platform != "linux":
        pytest.skip("needs no driver of Linux")
    with pytest.raises(CameraError, match="sudo modprobe v4l2loopback") as error:
        VirtualCamera(SessionClock(), Canvas(SIZE), delay_ms=100, backend="v4l2loopback").open()
    assert "No v4l2 loopback device found" in str(error.value), "the driver's own words as well"


def test_a_missing_package_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(CameraError, match="pip install pyvirtualcam"):
        VirtualCamera(SessionClock(), Canvas(SIZE), delay_ms=100).open()


def test_every_system_has_its_commands() -> None:
    assert "sudo apt install v4l2loopback-dkms" in LINUX
    assert 'sudo modprobe v4l2loopback devices=1 card_label="Presenter" exclusive_caps=1' in LINUX
    assert "/etc/modules-load.d" in LINUX
    assert "/etc/modprobe.d" in LINUX
    for system, advice in (("Linux", LINUX), ("Darwin", MACOS), ("Windows", WINDOWS)):
        assert advice in why_no_camera("no device found", None, system, Path("/nowhere"))
    assert "brew install --cask obs" in MACOS
    assert "winget install OBSProject.OBSStudio" in WINDOWS
    assert "not on Plan9" in why_no_camera("nothing", None, "Plan9")


def test_the_guide_gives_the_same_commands() -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "meetings.md").read_text()
    for advice in (LINUX, MACOS, WINDOWS, PERMISSION):
        lines = [line.strip().split("  ")[-1] for line in advice.splitlines() if line.startswith("  ")]
        commands = [line.removeprefix("Debian, Ubuntu:").strip() for line in lines if "RPM" not in line]
        assert commands
        assert [command for command in commands if command not in guide] == []


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for number, name in ((10, "Presenter"), (2, "Integrated Camera")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(name + "\n")
    return tmp_path


def test_devices_are_listed_and_found_by_name(sysfs: Path) -> None:
    found = [(camera.device, camera.name) for camera in list_cameras("Linux", sysfs)]
    assert found == [("/dev/video2", "Integrated Camera"), ("/dev/video10", "Presenter")]
    assert find_camera("Presenter", "Linux", sysfs) == "/dev/video10"
    assert find_camera("/dev/video3", "Linux", sysfs) == "/dev/video3"
    assert find_camera(None, "Linux", sysfs) is None


def test_advice_fits_the_reason(sysfs: Path) -> None:
    unknown = why_no_camera("Device /dev/video7 does not exist.", "/dev/video7", "Linux", sysfs)
    assert "/dev/video10 (Presenter)" in unknown
    assert "apt" not in unknown
    assert PERMISSION in why_no_camera("due to missing permissions. Did you", "/dev/video10", "Linux", sysfs)
    busy = why_no_camera("Device or resource busy", None, "Linux", sysfs)
    assert "another program" in busy
    assert "modprobe -r v4l2loopback" in busy
    assert "OBS Virtual Camera" in why_no_camera("not found", "Webcam", "Darwin", sysfs)
