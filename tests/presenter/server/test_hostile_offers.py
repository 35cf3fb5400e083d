"""Offers and forms made to be slow or to break the server: refused or answered, without delaying other requests."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.presenter.server.offers import mutated, real_offer

Server = TestClient[Any, Any]
Serve = Callable[..., None]
SDP = {"Content-Type": "application/sdp"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
OFFERS = int(os.environ.get("PRESENTER_FUZZ", "300"))
LIMIT_S = 0.1
"""How long the event loop may be busy without a pause."""
pytestmark = pytest.mark.usefixtures("light_rendering")


def with_lines(sdp: str, lines: list[str]) -> str:
    """Add lines to the section of sound, whose transport carries everything."""
    at = sdp.index("m=video")
    return sdp[:at] + "".join(f"{line}\r\n" for line in lines) + sdp[at:]


class Watch:
    """How long the loop was busy at most, and how long a health check took."""

    def __init__(self) -> None:
        self.busy_s = self.health_s = 0.0


@asynccontextmanager
async def watching(client: Server) -> AsyncIterator[Watch]:
    watch = Watch()

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            watch.busy_s, last = max(watch.busy_s, now - last - 0.002), now

    async def poll() -> None:
        while True:
            begun = time.monotonic()
            assert (await client.get("/healthz")).status == 200
            watch.health_s = max(watch.health_s, time.monotonic() - begun)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(tick()), asyncio.create_task(poll())]
    try:
        yield watch
    finally:
        await asyncio.sleep(0.05)  # what is still to come of the last request
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def open_session(client: Server) -> str:
    return str((await (await client.post("/api/sessions", json={"presenter": "default"})).json())["id"])


HOSTILE: dict[str, Callable[[str], str]] = {
    "205 KiB with 10,000 ssrc lines": lambda sdp: with_lines(sdp, [f"a=ssrc:{k} cname:{k}" for k in range(10_000)]),
    "3,000 hidden candidates": lambda sdp: with_lines(
        sdp, [f"a=candidate:{k} 1 udp 2122260223 h{k}.local {k + 1024} typ host" for k in range(3000)]
    ),
    "150 hidden candidates": lambda sdp: with_lines(
        sdp, [f"a=candidate:{k} 1 udp 2122260223 h{k}.local {k + 1024} typ host" for k in range(150)]
    ),
    "150 candidates": lambda sdp: with_lines(
        sdp, [f"a=candidate:{k} 1 udp 2122260223 127.0.0.{k + 1} 9 typ host" for k in range(150)]
    ),
    "1,900 unknown lines": lambda sdp: with_lines(sdp, [f"a=x{k}" for k in range(1900)]),
    "15 sections": lambda sdp: sdp + sdp[sdp.index("m=video") : sdp.index("m=application")] * 13,
    "1,000 payload types": lambda sdp: sdp.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF" + " 96" * 1000),
    "a line of 60,000": lambda sdp: with_lines(sdp, ["a=" + "x" * 60_000]),
    "a long fmtp": lambda sdp: with_lines(sdp, ["a=fmtp:96 " + "a=1;" * 1000]),
    "600 feedbacks": lambda sdp: with_lines(sdp, [f"a=rtcp-fb:* x{k}" for k in range(600)]),
    "a long integer": lambda sdp: sdp.replace("a=mid:0", "a=maxptime:" + "9" * 4000, 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_offers_hold_nobody_up(serve: Serve, name: str) -> None:
    async def scenario(client: Server) -> None:
        sdp = HOSTILE[name](await real_offer())
        session = await open_session(client)
        for attempt in range(2):
            async with watching(client) as watch:
                response = await client.post(f"/whep/{session}", data=sdp, headers=SDP)
                assert response.status in (201, 400, 413), await response.text()
                page = await client.post(f"/api/sessions/{session}/offer", json={"sdp": sdp, "type": "offer"})
                assert page.status in (200, 400, 404, 409, 413), await page.text()
            session = session if attempt else await _another(client, session)
            if watch.busy_s <= LIMIT_S and watch.health_s <= LIMIT_S:
                return
        pytest.fail(f"{name}: the loop was busy for {watch.busy_s:.3f} s, a health check took {watch.health_s:.3f} s")

    serve(scenario)


async def _another(client: Server, session: str) -> str:
    """End a session, which a refused page may have ended already, and open another one."""
    await client.delete(f"/api/sessions/{session}")
    return await open_session(client)


def test_fuzzed_offers_are_answered_or_refused(serve: Serve) -> None:
    async def scenario(client: Server) -> None:
        sdp = await real_offer()
        session = await open_session(client)
        statuses: dict[int, int] = {}
        slow = []
        async with watching(client) as watch:
            for seed in range(OFFERS):
                watch.busy_s = 0.0
                data = mutated(sdp, random.Random(seed)).encode()
                response = await client.post(f"/whep/{session}", data=data, headers=SDP)
                assert response.status in (201, 400, 413), (seed, response.status, await response.text())
                statuses[response.status] = statuses.get(response.status, 0) + 1
                if place := response.headers.get("Location"):
                    assert (await client.delete(place)).status in (204, 404)
                if watch.busy_s > LIMIT_S:
                    slow.append(seed)
        print(statuses, f"health checks took up to {watch.health_s * 1000:.0f} ms; slow: {slow}")
        for seed in slow:  # once more: another process may have had the processor
            async with watching(client) as watch:
                data = mutated(sdp, random.Random(seed)).encode()
                await client.post(f"/whep/{session}", data=data, headers=SDP)
            assert watch.busy_s <= LIMIT_S, seed

    serve(scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"\n" * 3_000_000,
        b"a\r\n" * 1_000_000,
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 30_000,
        b"--x\r\n" + b"A: b\r\n" * 300_000,
    ],
    ids=["empty lines", "short lines", "empty fields", "headers"],
)
def test_forms_of_many_lines_hold_nobody_up(serve: Serve, body: bytes) -> None:
    async def scenario(client: Server) -> None:
        for _ in range(2):
            async with watching(client) as watch:
                response = await client.post("/api/presenters", data=body, headers=FORM)
                assert response.status == 400, await response.text()
            if watch.busy_s <= LIMIT_S and watch.health_s <= LIMIT_S:
                return
        pytest.fail(f"the loop was busy for {watch.busy_s:.3f} s, a health check took {watch.health_s:.3f} s")

    serve(scenario)
