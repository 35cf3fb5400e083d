"""Benchmark of a whole server: start-up, first frame, several speaking sessions, their memory and processor time.

The server runs in a process of its own and is measured from outside by `/proc`; viewers connect by WHEP, in this
process, and count what they decode. The presenter speaks what a bot pushes.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from presenter.bench.servers import Server, running_server
from presenter.bench.voice_bot import RATE, Viewer, tone
from presenter.client.client import PresenterClient, connect
from presenter.errors import ConfigError, PresenterError

_SETTINGS = "server:\n  max_sessions: {sessions}\n"
_MEMORY_SESSIONS = 4
_VIEWERS = 4
_SETTLE_S = 2.0
_PICTURE_S = 20.0


@dataclass
class _Watched:
    presenter: PresenterClient
    viewers: list[Viewer]


def run_sessions_bench(sessions: int, seconds: float) -> dict[str, Any]:
    """Measure on this machine; needs `/proc`.

    Args:
        sessions: How many speak at a time.
        seconds: How long.

    Returns:
        `start_s` until the page is served, `new_session_s`, `first_frame_s` from a viewer's offer to its first
        decoded frame, frames per second of each speaking
        session and the server's core-seconds per second of each, at the begin and at the end of the run; the same
        for one session with one and with more viewers; megabytes per session.

    Raises:
        ConfigError: If there is no `/proc`, or the numbers are not positive.
    """
    if not Path("/proc/self/stat").exists():
        raise ConfigError("bench sessions: expected /proc, which this system has not; use Linux")
    if sessions < 1 or seconds < 4:
        raise ConfigError(f"expected at least 1 session and 4 seconds, got {sessions} and {seconds:g}")
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.yaml"
        settings.write_text(_SETTINGS.format(sessions=max(sessions, _MEMORY_SESSIONS)))
        with running_server(str(settings)) as server:
            return asyncio.run(_measure(server, sessions, seconds))


async def _measure(server: Server, sessions: int, seconds: float) -> dict[str, Any]:
    report: dict[str, Any] = {"start_s": server.started_s + await _ready_after_s(server.url)}
    memory, opened, firsts = [_megabytes(server.pid)], [], []
    async with AsyncExitStack() as stack:
        for number in range(max(sessions, _MEMORY_SESSIONS)):
            begun = time.monotonic()
            presenter = await stack.enter_async_context(connect(server.url))
            opened.append(time.monotonic() - begun)
            firsts.append(await _first_picture_s(server.url, presenter.session))
            await _watch(server.url, presenter, stack)
            await asyncio.sleep(_SETTLE_S)
            if number < _MEMORY_SESSIONS:
                memory.append(_megabytes(server.pid))
    report["new_session_s"] = statistics.median(opened)
    report["first_frame_s"] = statistics.median(firsts)
    # Without the first session, which brings what all share.
    report["mb_per_session"] = (memory[-1] - memory[1]) / (_MEMORY_SESSIONS - 1)
    report[f"{sessions} speaking"] = await _speak(server, sessions, 1, seconds)
    for viewers in (1, _VIEWERS):
        report[f"1 speaking, viewers: {viewers}"] = await _speak(server, 1, viewers, max(seconds / 4, 4.0))
    return report


async def _ready_after_s(url: str) -> float:
    """Seconds until the page and readiness are served."""
    begun = time.monotonic()
    async with aiohttp.ClientSession() as http:
        for path in ("/readyz", "/"):
            while True:
                async with http.get(url + path) as response:
                    if response.status == 200:
                        break
                    if time.monotonic() - begun > 60:
                        raise PresenterError(f"{path}: expected 200, got {response.status} for a minute")
                await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def _first_picture_s(url: str, session: str) -> float:
    """Seconds from a viewer's making an offer to its first decoded picture."""
    begun = time.monotonic()
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    try:
        connection.addTransceiver("video", direction="recvonly")
        await connection.setLocalDescription(await connection.createOffer())
        offer, headers = connection.localDescription.sdp, {"Content-Type": "application/sdp"}
        async with (
            aiohttp.ClientSession(raise_for_status=True) as http,
            http.post(f"{url}/whep/{session}", data=offer, headers=headers) as response,
        ):
            await connection.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        async with asyncio.timeout(_PICTURE_S):
            await (await tracks.get()).recv()
        return time.monotonic() - begun
    except TimeoutError:
        raise PresenterError(f"expected a picture within {_PICTURE_S:g} s of a viewer's offer, got none") from None
    finally:
        await connection.close()


async def _watch(url: str, presenter: PresenterClient, stack: AsyncExitStack, viewers: int = 1) -> _Watched:
    """Connect viewers to a session; they have seen a frame."""
    watching = []
    for _ in range(viewers):
        viewer = Viewer()
        stack.push_async_callback(viewer.close)
        await viewer.watch(url, presenter.session)
        watching.append(viewer)
    return _Watched(presenter, watching)


async def _speak(server: Server, sessions: int, viewers: int, seconds: float) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        watched = []
        for _ in range(sessions):
            presenter = await stack.enter_async_context(connect(server.url))
            watched.append(await _watch(server.url, presenter, stack, viewers))
        await asyncio.sleep(_SETTLE_S)
        speech = tone(seconds + 2)
        # Long before it is played: from then on only rendering and sending are measured.
        await asyncio.gather(*(each.presenter.speak(speech, RATE) for each in watched))
        await asyncio.sleep(1)
        for each in watched:
            each.viewers[0].pictures.clear()
            each.viewers[0].loud.clear()
        shares, begun = [], time.monotonic()
        for _ in range(4):
            before, at = _cpu_s(server.pid), time.monotonic()
            await asyncio.sleep(seconds / 4)
            shares.append((_cpu_s(server.pid) - before) / (time.monotonic() - at) / sessions)
        elapsed = time.monotonic() - begun
        heard = [each.viewers[0].loud for each in watched]
        return {
            "frames_per_second": [len(each.viewers[0].pictures) / elapsed for each in watched],
            "loud_share": [len(loud) * 0.02 / elapsed for loud in heard],
            "core_seconds_per_second_each": statistics.mean(shares),
            "in_the_first_quarter": shares[0],
            "in_the_last_quarter": shares[-1],
        }


def _cpu_s(pid: int) -> float:
    """Processor time of a process, seconds (proc(5), `stat`: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int) -> float:
    """Resident memory of a process (proc(5), `statm`)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
