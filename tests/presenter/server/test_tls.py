"""The server speaks https and wss itself where a certificate is configured, and says what is wrong with one."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest

from presenter.config import AppConfig, ServerConfig
from presenter.errors import ConfigError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server.app import check_server, create_app, serve_forever
from presenter.server.tls import tls_context
from tests.presenter.server.certificates import certificate
from tests.presenter.server.test_speech_socket import tone


@pytest.mark.usefixtures("light_rendering")
def test_the_page_and_its_sockets_over_tls(shared_engine: Engine, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    server = ServerConfig(tls_cert=str(cert), tls_key=str(key), max_sessions=1)

    async def scenario() -> None:
        urls: asyncio.Queue[str] = asyncio.Queue()
        app = create_app(shared_engine, IdentityStore(tmp_path / "presenters"), AppConfig(server=server))
        serving = asyncio.create_task(serve_forever(app, "127.0.0.1", 0, urls.put_nowait, tls_context(server)))
        base = await urls.get()
        assert base.startswith("https://localhost:")
        trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(cert)))
        async with aiohttp.ClientSession(base, connector=trust) as client:
            page = await client.get("/")
            assert (page.status, "Presenter" in await page.text()) == (200, True)
            session = await (await client.post("/api/sessions", json={"presenter": "default"})).json()
            own = {"Origin": base}
            async with client.ws_connect(f"/api/sessions/{session['id']}/audio", headers=own) as bot:
                await bot.send_json({"type": "start", "sample_rate": 24000})
                await bot.send_bytes(tone(0.2))
                await bot.send_json({"type": "end"})
                while (event := await bot.receive_json())["type"] != "speak_ended":
                    pass
                assert event["played_ms"] == 200
            assert (await client.post("/api/sessions", json={}, headers={"Origin": "https://else.where"})).status == 403
        async with aiohttp.ClientSession() as plain:
            with pytest.raises(aiohttp.ClientError):
                await plain.get(base.replace("https", "http"))
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_certificate_that_can_not_be_used_is_refused_at_the_start(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    another = tmp_path / "another.pem"
    another.write_bytes(certificate(tmp_path / "other")[1].read_bytes())
    _, locked = certificate(tmp_path / "other", b"secret")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for made, said in (
        ((cert, ""), "expected both"),
        (("", key), "expected both"),
        ((cert, tmp_path / "none.pem"), "No such file"),
        ((tmp_path, key), "PEM"),
        ((cert, another), "KEY_VALUES_MISMATCH"),
        ((cert, locked), "without a password"),
        ((empty, key), "PEM"),
        ((key, cert), "PEM"),
    ):
        with pytest.raises(ConfigError, match=said):
            check_server(ServerConfig(tls_cert=str(made[0]), tls_key=str(made[1])))
    assert tls_context(ServerConfig()) is None
