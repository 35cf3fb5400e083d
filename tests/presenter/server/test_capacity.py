"""How many sessions fit: the arithmetic by a table, and the measurement on this machine with the shipped networks."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient

from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.server import capacity
from presenter.server.app_keys import SESSIONS
from presenter.server.capacity import fitting, processors, sessions_that_fit
from stream.media import CHUNK_SAMPLES, silence
from stream.rtc.encoders import VideoEncoder

Server = TestClient[Any, Any]


@pytest.mark.parametrize(
    ("chunk_ms", "cores", "sessions"),
    [(16, 2, 4), (20, 2, 3), (25, 2, 2), (60, 2, 1), (400, 1, 1), (20, 0.5, 1), (17, 64, 128)],
)
def test_sessions_fit_by_the_time_of_a_chunk(chunk_ms: float, cores: float, sessions: int) -> None:
    assert fitting(chunk_ms, cores) == sessions


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, store = Engine.load(load_config("tiny"), slots=1), IdentityStore(tmp_path / "own")
    first = sessions_that_fit(engine, store, tmp_path)
    assert 1 <= first <= 10 * processors()
    assert not engine.is_full, "the measured renderer is given back"
    cached = list(tmp_path.glob("capacity-*.json"))
    assert len(cached) == 1

    def again(*_: object) -> float:
        raise AssertionError("measured twice")

    monkeypatch.setattr(capacity, "chunk_cost", again)
    assert sessions_that_fit(engine, store, tmp_path) == first
    cached[0].write_text("{", encoding="utf-8")
    with pytest.raises(AssertionError, match="twice"):
        sessions_that_fit(engine, store, tmp_path)


@pytest.mark.parametrize(
    ("text", "most"), [("50000 100000\n", 0.5), ("max 100000\n", None), ("", None)], ids=["half", "none", "damaged"]
)
def test_a_container_has_its_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, most: float) -> None:
    (tmp_path / "cpu.max").write_text(text, encoding="ascii")
    monkeypatch.setattr(capacity, "_CPU_MAX", tmp_path / "cpu.max")
    assert processors() == (most or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(("limit", "reason"), [(1, "server.max_sessions allows 1"), (0, "machine renders in full")])
def test_a_refusal_says_why(serve: Callable[..., None], limit: int, reason: str) -> None:
    async def scenario(client: Server) -> None:
        assert (await client.post("/api/sessions", json={"presenter": DEFAULT})).status == 200
        response = await client.post("/api/sessions", json={"presenter": DEFAULT})
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert reason in (await response.json())["error"]["message"]
        assert (await (await client.get("/api/capacity")).json())["measured"] == (limit == 0)

    serve(scenario, max_sessions=limit)


async def core_share(seconds: float) -> float:
    """Processor time of this process per second."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.sleep(seconds)
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / (time.monotonic() - started)


def test_what_idles_costs_little(serve: Callable[..., None]) -> None:
    """A server without sessions, one with a session that nobody watches, and the same while it is spoken to."""

    async def scenario(client: Server) -> None:
        await asyncio.sleep(0.5)
        empty = await core_share(3)
        key = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        host = client.app[SESSIONS].host(key)  # type: ignore[union-attr]
        with host.bot():
            await asyncio.sleep(1)
            idle = await core_share(3)
            host.session.push(np.full(24_000 * 6, 3000, np.int16), 24_000, "tone")
            await asyncio.sleep(1)
            unseen = await core_share(3)
            assert host.session.stats()["speaking"]
            assert host.session.stats()["frames"] == 0
        print(f"no session {empty:.2%}, unwatched {idle:.2%}, unwatched and speaking {unseen:.2%} of a core")
        assert empty < 0.05
        assert idle < 0.15
        assert unseen < 0.30

    serve(scenario)


def test_a_session_more_takes_little_memory(tmp_path: Path) -> None:
    """A renderer and an encoder, that have rendered: the slope over 1 to 4."""
    engine, store = Engine.load(load_config("tiny"), slots=5), IdentityStore(tmp_path)

    def resident_mb() -> float:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    held, sizes = [], []
    for _ in range(5):
        renderer, encoder = engine.renderer(store.load(DEFAULT)), VideoEncoder.of("VP8")
        for number in range(12):
            for _, frame in renderer.push(silence(number * CHUNK_SAMPLES)):
                encoder.encode(frame.pts, frame, keyframe=False, bitrate=1_500_000)
        held.append((renderer, encoder))
        sizes.append(resident_mb())
    slope = float(np.polyfit(range(4), sizes[1:], 1)[0])
    print(f"{slope:.1f} MB per session")
    assert 0 < slope <= 60
