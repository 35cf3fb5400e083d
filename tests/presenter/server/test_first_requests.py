"""Connections and bodies that never come to an end are given up, and hold nobody else up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from presenter.config import AppConfig, ServerConfig
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server import first_requests, parsing
from presenter.server.app import create_app, serve_forever
from presenter.server.tls import tls_context
from tests.presenter.server.certificates import certificate

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def serving(engine: Engine, folder: Path, **settings: str) -> AsyncIterator[str]:
    server = ServerConfig(max_sessions=1, **settings)  # type: ignore[arg-type]
    urls: asyncio.Queue[str] = asyncio.Queue()
    app = create_app(engine, IdentityStore(folder), AppConfig(server=server))
    running = asyncio.create_task(serve_forever(app, "127.0.0.1", 0, urls.put_nowait, tls_context(server)))
    try:
        yield await urls.get()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def connect(url: str, sent: bytes) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(sent)
    return reader, writer


async def is_closed(connection: Connection, within_s: float) -> bytes | None:
    """What came before the server closed a connection; None if it did not."""
    try:
        return await asyncio.wait_for(connection[0].read(), within_s)
    except TimeoutError:
        return None
    except ConnectionError:
        return b""
    finally:
        connection[1].close()


async def is_healthy(url: str) -> bool:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/healthz") as response:
        return response.status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX-Slow: ", b"\x16\x03\x01\x02\0"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_without_a_request_is_closed(
    shared_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes, tls: bool
) -> None:
    monkeypatch.setattr(first_requests, "FIRST_REQUEST_S", 0.5)
    monkeypatch.setattr("presenter.server.app.FIRST_REQUEST_S", 0.5)
    pair = certificate(tmp_path) if tls else ("", "")
    settings = {"tls_cert": str(pair[0]), "tls_key": str(pair[1])}

    async def scenario() -> None:
        async with serving(shared_engine, tmp_path / "presenters", **settings) as url:
            assert await is_closed(await connect(url, sent), within_s=10) is not None

    asyncio.run(scenario())


def test_a_connection_with_a_request_is_kept(
    shared_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_requests, "FIRST_REQUEST_S", 0.5)

    async def scenario() -> None:
        async with serving(shared_engine, tmp_path) as url:
            kept = await connect(url, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await kept[0].readline()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(1.0)
            kept[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await is_closed(kept, within_s=10)
            assert answer is not None
            assert b"HTTP/1.1 200" in answer

    asyncio.run(scenario())


def test_of_many_connections_without_a_request_the_oldest_are_closed(
    shared_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_requests, "MAX_WAITING", 20)

    async def scenario() -> None:
        async with serving(shared_engine, tmp_path) as url:
            stalled = []
            for _ in range(30):
                stalled.append(await connect(url, b"GET / HTTP/1.1\r\n"))
                await asyncio.sleep(0.01)
            assert await is_healthy(url)
            closed = [await is_closed(one, within_s=0.3) is not None for one in stalled]
            assert closed == [True] * 11 + [False] * 19, "the health check is one too"

    asyncio.run(scenario())


@pytest.mark.usefixtures("light_rendering")
def test_a_body_that_does_not_end_is_refused(
    shared_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "BODY_TIMEOUT_S", 0.5)

    async def scenario() -> None:
        async with serving(shared_engine, tmp_path) as url:
            async with aiohttp.ClientSession() as client:
                response = await client.post(f"{url}/api/sessions", json={"presenter": "default"})
                session = (await response.json())["id"]
            for path, kind in (("/api/sessions", "application/json"), (f"/whep/{session}", "application/sdp")):
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 900\r\n\r\n"
                slow = await connect(url, head.encode() + b"{")
                assert (await asyncio.wait_for(slow[0].readline(), 10)).split()[1] == b"408"
                slow[1].close()

    asyncio.run(scenario())
