"""Benchmark of a voice bot's path: the latency of speech and of interrupts, and the number of viewers.

A server runs in a process of its own; the bot and its viewer in this one, over loopback, as a real bot and a real
viewer would: the speech socket, WHEP, decoded audio and video.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket

from presenter.bench.browser import measure_browser
from presenter.bench.servers import running_server
from presenter.bench.viewers import run_viewers
from presenter.client.client import PresenterClient, connect
from presenter.errors import PresenterError
from stream.rtc.aiortc_internals import ReceiverInternals, patch_process_host_addresses
from stream.wire import Playback, SpeakEnded

RATE = 24_000
"""Of the bot's speech, as most services send it."""

_CLOCK_RATES = {"audio": 48_000, "video": 90_000}
_LOUD = 1500  # of int16: well above what silence decodes to


class Viewer:
    """A WHEP viewer that notes when loud audio packets and frames arrive, and their session times."""

    def __init__(self) -> None:
        """Connect to nothing yet."""
        patch_process_host_addresses()
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._resource = ""
        self._first_rtp: dict[str, int] = {}
        self._reports: dict[str, tuple[int, int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.loud: list[tuple[float, float]] = []
        """(arrival, session time) in seconds of every loud packet."""
        self.loud_ms = 0.0
        """How much of them was loud."""
        self.pictures: list[tuple[float, float]] = []
        """(arrival, session time) of every frame."""

    async def watch(self, base: str, session: str) -> None:
        """Connect to a session and wait for audio and video."""
        for kind in ("audio", "video"):
            self._watch_times(kind, self._pc.addTransceiver(kind, direction="recvonly").receiver)
        self._pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._read(track))))
        await self._pc.setLocalDescription(await self._pc.createOffer())
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"{base}/whep/{session}",
                data=self._pc.localDescription.sdp,
                headers={"Content-Type": "application/sdp"},
            ) as response,
        ):
            if response.status != 201:
                raise PresenterError(f"WHEP: expected 201, got {response.status}: {await response.text()}")
            await self._pc.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        async with asyncio.timeout(20):
            while not self.pictures or len(self._reports) < 2:  # noqa: ASYNC110  packets come when they come
                await asyncio.sleep(0.05)

    def _watch_times(self, kind: str, receiver: Any) -> None:
        def note_report(packet: AnyRtcpPacket) -> None:
            if isinstance(packet, RtcpSrPacket):
                self._reports[kind] = (packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)

        internals = ReceiverInternals(receiver)
        internals.observe_rtp(lambda packet: self._first_rtp.setdefault(kind, packet.timestamp))
        internals.observe_rtcp(note_report)

    async def _read(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                arrival = time.monotonic()
                if track.kind not in self._reports:
                    continue
                seen = (arrival, self._session_time(track.kind, frame))
                if track.kind == "video":
                    self.pictures.append(seen)
                elif isinstance(frame, av.AudioFrame):
                    loud = np.flatnonzero(np.abs(frame.to_ndarray()[0, ::2].astype(int)) > _LOUD)
                    if len(loud):
                        self.loud.append(seen)
                        self.loud_ms += 1000 * (loud[-1] - loud[0] + 1) / frame.sample_rate

    def _session_time(self, kind: str, frame: Any) -> float:
        """Seconds of the server's clock to which a frame belongs, by the latest sender report."""
        ntp, reported = self._reports[kind]
        rate = _CLOCK_RATES[kind]
        ticks = (self._first_rtp[kind] + round(frame.pts) - reported + (1 << 31)) % (1 << 32) - (1 << 31)
        return ntp / (1 << 32) + ticks / rate

    async def close(self) -> None:
        """Disconnect."""
        await self._pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def tone(seconds: float) -> bytes:
    """A loud tone with syllables, int16 at `RATE`."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (12_000 * np.sin(2 * np.pi * 200 * t) * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * t))).astype("<i2").tobytes()


async def _in_real_time(speech: bytes, piece_s: float = 0.02) -> AsyncIterator[bytes]:
    """Give speech in real time."""
    size = int(piece_s * RATE) * 2
    start = time.monotonic()
    for k, at in enumerate(range(0, len(speech), size)):
        await asyncio.sleep(max(0.0, start + (k + 1) * piece_s - time.monotonic()))
        yield speech[at : at + size]


async def _first_synced_ms(presenter: PresenterClient, viewer: Viewer, *, at_once: bool) -> float:
    """Milliseconds from the first byte of speech to the arrival of its first sound and of that sound's frame."""
    viewer.loud.clear()
    viewer.pictures.clear()
    speech = tone(0.8)
    sent = time.monotonic()
    await presenter.speak(speech if at_once else _in_real_time(speech), RATE)
    async for event in presenter:
        if isinstance(event, SpeakEnded):
            break
    await asyncio.sleep(0.4)
    heard, belongs = viewer.loud[0]
    seen = next(arrival for arrival, time_ in viewer.pictures if time_ >= belongs - 0.001)
    return 1000 * (max(heard, seen) - sent)


async def _silent_after_ms(presenter: PresenterClient, viewer: Viewer) -> dict[str, float]:
    """Milliseconds from the interrupt to the last sound that arrives, and the error of the reported position."""
    viewer.loud.clear()
    viewer.loud_ms = 0.0
    await presenter.speak(tone(4.0), RATE)
    async for event in presenter:
        if isinstance(event, Playback) and event.played_ms >= 1000:
            break
    asked = time.monotonic()
    interrupted = await presenter.interrupt()
    answered = time.monotonic()
    await asyncio.sleep(0.6)
    return {
        "answer_ms": 1000 * (answered - asked),
        "silent_ms": max(0.0, 1000 * (viewer.loud[-1][0] - asked)),
        "played_error_ms": interrupted.played_ms - viewer.loud_ms,
    }


def _summary(values: list[float]) -> dict[str, float]:
    return {"p50": float(np.median(values)), "p95": float(np.percentile(values, 95)), "max": max(values)}


async def _measure(base: str, rounds: int) -> dict[str, Any]:
    at_once, real_time, interrupts = [], [], []
    async with connect(base) as presenter:
        viewer = Viewer()
        try:
            await viewer.watch(base, presenter.session)
            await asyncio.sleep(1.5)
            for _ in range(rounds):
                at_once.append(await _first_synced_ms(presenter, viewer, at_once=True))
                real_time.append(await _first_synced_ms(presenter, viewer, at_once=False))
                interrupts.append(await _silent_after_ms(presenter, viewer))
                await asyncio.sleep(0.5)
        finally:
            await viewer.close()
    return {
        "first_synced_frame_ms": {
            "speech_at_once": _summary(at_once),
            "speech_in_real_time": _summary(real_time),
            "gain_p50": float(np.median(real_time) - np.median(at_once)),
        },
        "interrupt_ms": {
            "answer": _summary([one["answer_ms"] for one in interrupts]),
            "silent_at_viewer": _summary([one["silent_ms"] for one in interrupts]),
            "played_ms_error": _summary([abs(one["played_error_ms"]) for one in interrupts]),
        },
    }


def run_voice_bench(seconds: float = 60.0, viewers: int = 50, rounds: int = 10) -> dict[str, Any]:
    """Measure on this machine.

    Args:
        seconds: how long audio and video are compared in a browser; half an hour measures the drift.
        viewers: how many watch at a time.
        rounds: utterances and interruptions.

    Returns:
        First frames and interruptions at a viewer, the cost of one viewer and of many, and the sync in a browser, or
        why that was not measured.
    """
    with running_server() as server:
        report = asyncio.run(_measure(server.url, rounds))
    report["viewers"] = {f"{count}": run_viewers(count, 10.0) for count in sorted({1, viewers})}
    try:
        report["browser"] = asyncio.run(measure_browser(seconds))
    except PresenterError as error:
        report["browser"] = {"not_measured": str(error)}
    return report
