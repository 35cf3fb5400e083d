"""What viewers and sessions used is given back when they leave, without waiting for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from stream.rtc.aiortc_internals import patch_process_host_addresses
from stream.rtc.encoders import AudioEncoder, VideoEncoder

Server = TestClient[Any, Any]
SDP = {"Content-Type": "application/sdp"}
CYCLES = int(os.environ.get("PRESENTER_CYCLES", "20"))
MAX_GROWTH = 0.3  # of a short run, whose beginning weighs more; for long ones see docs/security.md
WARM_UP = max(5, CYCLES // 10)
ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc"),
    pytest.mark.usefixtures("light_rendering"),
]


async def view(base: str, session: str) -> None:
    """Watch until the first picture is decoded, and leave."""
    patch_process_host_addresses()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    seen = asyncio.Event()
    readers: list[asyncio.Task[None]] = []

    async def read(track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
                if track.kind == "video":
                    seen.set()
        except MediaStreamError:
            pass

    pc.on("track", lambda track: readers.append(asyncio.create_task(read(track))))
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    async with ClientSession(base) as http:
        response = await http.post(f"/whep/{session}", data=pc.localDescription.sdp, headers=SDP)
        assert response.status == 201
        await pc.setRemoteDescription(RTCSessionDescription(await response.text(), "answer"))
        await asyncio.wait_for(seen.wait(), 20)
        assert (await http.delete(response.headers["Location"])).status == 204
    await pc.close()
    await asyncio.gather(*readers)


async def visit(base: str, session: str, cycles: int) -> None:
    """Watch again and again; with an empty `session`, one of its own each time."""
    for k in range(cycles):
        if session:
            await view(base, session)
        else:
            async with ClientSession(base) as http:
                response = await http.post("/api/sessions", json={"presenter": "default"})
                own = (await response.json())["id"]
                await view(base, own)
                assert (await http.delete(f"/api/sessions/{own}")).status == 204
        print(k, flush=True)


def memory_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1024


def held() -> tuple[int, int, int]:
    """Return open descriptors, Python's threads but those of the shared executor, and tasks."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")]
    return len(os.listdir("/proc/self/fd")), len(threads), len(asyncio.all_tasks())


def is_back(before: tuple[int, int, int]) -> bool:
    return all(now <= then for now, then in zip(held(), before, strict=True))


def alive(kind: type) -> int:
    return sum(type(one) is kind for one in gc.get_objects())


@pytest.mark.parametrize("own", [False, True], ids=["viewers", "sessions"])
def test_cycles_leave_nothing_behind(serve: Callable[..., None], own: bool) -> None:
    async def scenario(client: Server) -> None:
        base = str(client.make_url("/")).rstrip("/")
        session = ""
        if not own:
            session = (await (await client.post("/api/sessions", json={"presenter": "default"})).json())["id"]

        async def cycles(count: int) -> None:
            code = f"import asyncio; from {__name__} import visit; asyncio.run(visit({base!r}, {session!r}, {count}))"
            folder = Path(__file__).parent
            environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.DEVNULL
            )
            try:
                assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

        async with asyncio.timeout(10 * (CYCLES + WARM_UP)):
            await cycles(WARM_UP)
            await settled(lambda: alive(VideoEncoder) + alive(AudioEncoder) == 0)
            samples = []
            for _ in range(20):  # a session's keeper has a second task at most times
                samples.append(held())
                await asyncio.sleep(0.05)
            descriptors, threads, tasks = (max(values) for values in zip(*samples, strict=True))
            before, memory = (descriptors, threads, tasks), memory_mb()
            await cycles(CYCLES)
            await settled(lambda: is_back(before))
            grown = memory_mb() / memory - 1
            print(f"{CYCLES} cycles: {before} -> {held()}, memory {memory:.0f} MB {grown:+.1%}")
            assert is_back(before), (held(), before)
            assert grown < MAX_GROWTH, "free memory is given back to the system"
            assert alive(VideoEncoder) + alive(AudioEncoder) == 0, "codecs have memory and threads of their own"

    serve(scenario, within_s=12 * (CYCLES + WARM_UP), max_sessions=2)


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until something is so, 5 s at most: the last connection may be closing still."""
    for _ in range(50):
        if condition():
            return
        await asyncio.sleep(0.1)
