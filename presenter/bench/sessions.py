"""What a machine needs to hold sessions: memory of each one more, and the time until a picture is there."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from presenter.bench.servers import running_server
from presenter.errors import PresenterError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from stream.media import CHUNK_SAMPLES, silence
from stream.rtc.aiortc_internals import patch_process_host_addresses
from stream.rtc.encoders import VideoEncoder

_FRAMES = 12  # that each session renders, so that its buffers are there
_SESSIONS = 5
_BITRATE = 1_500_000
_CONNECTS = 5
_TIMEOUT_S = 20.0


def memory_per_session_mb(engine: Engine, store: IdentityStore) -> float:
    """Resident memory of a further renderer and encoder that have worked: the slope over the second to the fifth.

    Args:
        engine: with five free slots.
        store: has the default presenter.
    """
    held, sizes = [], []
    try:
        for _ in range(_SESSIONS):
            renderer, encoder = engine.renderer(store.load(DEFAULT)), VideoEncoder.of("VP8")
            held.append((renderer, encoder))
            for number in range(_FRAMES):
                for _, frame in renderer.push(silence(number * CHUNK_SAMPLES)):
                    encoder.encode(frame.pts, frame, keyframe=False, bitrate=_BITRATE)
            sizes.append(_resident_mb())
    finally:
        for renderer, _ in held:
            renderer.close()
    return float(np.polyfit(range(_SESSIONS - 1), sizes[1:], 1)[0])


def _resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def start_up() -> dict[str, float]:
    """Start `presenter serve` and watch it over loopback, in wall-clock time; the machine's choices are cached by now.

    Returns:
        Seconds from the process's start to the page; and, medians of a few, to a new session, and from a viewer's offer
        to its first decoded picture.
    """
    started = time.monotonic()
    with running_server() as base:
        return asyncio.run(_connect(base, started))


async def _connect(base: str, started: float) -> dict[str, float]:
    patch_process_host_addresses()
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        async with http.get(f"{base}/") as page:
            await page.read()
        ready = time.monotonic() - started
        sessions, pictures = [], []
        for _ in range(_CONNECTS):
            asked = time.monotonic()
            async with http.post(f"{base}/api/sessions", json={"presenter": DEFAULT}) as response:
                session = (await response.json())["id"]
            sessions.append(time.monotonic() - asked)
            pictures.append(await _first_picture(http, f"{base}/whep/{session}"))
            async with http.delete(f"{base}/api/sessions/{session}"):
                pass
    return {
        "process_to_page": ready,
        "new_session": float(np.median(sessions)),
        "offer_to_first_picture": float(np.median(pictures)),
    }


async def _first_picture(http: aiohttp.ClientSession, url: str) -> float:
    """Seconds from making an offer to the first decoded picture."""
    asked = time.monotonic()
    viewer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
    viewer.on("track", tracks.put_nowait)
    try:
        viewer.addTransceiver("video", direction="recvonly")
        await viewer.setLocalDescription(await viewer.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=viewer.localDescription.sdp, headers=headers) as response:
            answer = await response.text()
        await viewer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(_TIMEOUT_S):
            await (await tracks.get()).recv()
    except TimeoutError:
        raise PresenterError(f"expected a picture within {_TIMEOUT_S:g} s of connecting, got none") from None
    finally:
        await viewer.close()
    return time.monotonic() - asked
