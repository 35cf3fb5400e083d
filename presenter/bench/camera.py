"""Benchmark of a meeting's path: the delay of audio and video, their offset, and its drift.

The sound takes the whole path: a player plays beeps into a null sink of a private PulseAudio server; its monitor is the
microphone; the output goes into another null sink, whose monitor is recorded as a meeting would. In place of a
camera's driver it uses a backend of `pyvirtualcam` that notes when each frame arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyvirtualcam

from presenter.bench.beeps import beeps
from presenter.bench.frame_ids import FrameIdOverlay, read_mark
from presenter.bench.pulse_server import PulseServer, private_server
from presenter.config import AppConfig, CameraConfig
from presenter.meeting.meeting import Meeting
from presenter.meeting.setup import open_meeting
from presenter.runtime.frame_renderer import FrameRenderer
from stream.media import PLAYOUT_RATE, PLAYOUT_RATIO, ByteArray

_BACKEND = "presenter-bench"
_SETTLE_S = 10.0  # at first, while clocks are learned, nothing is measured
_EDGE = 10  # beeps, at either end, from which the drift is computed


class SeenCamera:
    """A backend of `pyvirtualcam` without a driver: notes when which marked frame is sent for the first time."""

    seen: dict[int, float]
    """`pts` of frames, and the second of `time.monotonic` at which each was sent."""

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: object) -> None:
        """Accept everything."""
        self._shape = height, width, 3
        type(self).seen = {}

    def device(self) -> str:
        """Its name."""
        return "bench"

    def native_fourcc(self) -> int | None:
        """Any format does."""
        return None

    def send(self, picture: ByteArray) -> None:
        """Note a frame, uint8 `[H * W * 3]`."""
        now = time.monotonic()
        self.seen.setdefault(read_mark(picture.reshape(self._shape)), now)

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class Listener:
    """A process that records a source (`presenter.bench.listener`)."""

    times: list[float] = field(default_factory=list)
    """When beeps began, seconds of `time.monotonic`; filled in when it stops recording."""

    @contextlib.asynccontextmanager
    async def listening(self, source: str) -> AsyncIterator[None]:
        """Record a source during the block."""
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "presenter.bench.listener", source]
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        try:
            yield
        finally:
            out, _ = await process.communicate(b"")  # closes its standard input
            self.times += json.loads(out)


def run_camera_bench(config: AppConfig, seconds: float = 60.0) -> dict[str, Any]:
    """Measure on this machine, with the presenter `default`.

    Args:
        config: networks and device; of the camera's settings only `size`, `background`, `webcam` and `mouth` are used.
        seconds: how long.

    Returns:
        Delay, skew, drift, frames per second and processor seconds per second (with a virtual camera that costs
        nothing); milliseconds where not stated otherwise.

    Raises:
        DeviceError: if PulseAudio can't be started here.
    """
    pyvirtualcam.register_backend(_BACKEND, SeenCamera)
    try:
        with private_server() as server:
            return asyncio.run(_measure(config, seconds, server))
    finally:
        del pyvirtualcam.camera.BACKENDS[_BACKEND]


async def _measure(config: AppConfig, seconds: float, server: PulseServer) -> dict[str, Any]:
    camera = replace(
        CameraConfig(microphone="talk.monitor", voice="vmic"),
        **{key: getattr(config.camera, key) for key in ("size", "background", "webcam", "mouth")},
    )
    marks: list[FrameIdOverlay] = []

    def mark(renderer: FrameRenderer) -> FrameRenderer:
        marks.append(FrameIdOverlay(renderer))
        return marks[-1]

    said, heard = Listener(), Listener()
    async with (
        open_meeting(replace(config, camera=camera), "default", backend=_BACKEND, wrap=mark) as meeting,
        said.listening("talk.monitor"),
        heard.listening("vmic.monitor"),
    ):
        running = asyncio.create_task(meeting.run())
        lasts_s = round(seconds + _SETTLE_S)
        server.play("talk", beeps(lasts_s))
        began, spent = time.monotonic(), time.process_time()
        await asyncio.sleep(lasts_s + 1.0)
        cores = (time.process_time() - spent) / (time.monotonic() - began)
        report = _of_status(meeting) | {"cores": round(cores, 3)}
        meeting.leave()
        await running
    return _of_times(said.times, heard.times, marks[0].beeps.found, SeenCamera.seen) | report


def _of_status(meeting: Meeting) -> dict[str, Any]:
    status = meeting.status()
    return {
        "told": {"delay_ms": status.delay_ms, "skew_ms": status.skew_ms, "drift_ppm": status.drift_ppm},
        "new_pictures_per_s": status.fps,
        "dropped": status.dropped,
    }


def _of_times(said: list[float], heard: list[float], beeps_at: list[int], seen: dict[int, float]) -> dict[str, Any]:
    """Compare when beeps were played, when they were recorded, and when the frame of their chunk was sent."""
    pts = np.array(sorted(seen))
    delays, skews = [], []
    for place in beeps_at:
        picture = pts[np.argmin(np.abs(pts * PLAYOUT_RATIO - place))]
        shown = seen[int(picture)] + (place - int(picture) * PLAYOUT_RATIO) / PLAYOUT_RATE
        began = _nearest(heard, shown)
        skews.append(1000 * (began - shown))
        delays.append(1000 * (began - max((one for one in said if one < began), default=began)))
    first = round(_SETTLE_S)
    absolute = np.abs(skews[first:])
    return {
        "beeps": len(absolute),
        "delay_ms": _summary(delays[first:]),
        "skew_ms": _summary(skews[first:]) | {"abs_p95": float(np.percentile(absolute, 95))},
        "drift_ms": float(np.median(skews[-_EDGE:]) - np.median(skews[first : first + _EDGE])),
    }


def _nearest(times: list[float], to: float) -> float:
    return min(times, key=lambda time_: abs(time_ - to))


def _summary(values: list[float]) -> dict[str, float]:
    p5, p50, p95 = np.percentile(values, [5, 50, 95])
    return {"p5": float(p5), "p50": float(p50), "p95": float(p95)}
