"""The HTTP side: what each route answers, above all to bad input."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection

import presenter.server.connections
from presenter.config import AppConfig, ServerConfig, load_config
from presenter.errors import ConfigError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.server.app import create_app, page_url, peer_config, serve_forever
from presenter.server.session_host import SessionHost
from presenter.server.web_folder import web_folder
from stream.rtc.aiortc_internals import patch_process_host_addresses
from stream.rtc.peer import Peer

Scenario = Callable[[TestClient[Any, Any]], Awaitable[None]]
Play = Callable[..., None]

SDP_WITHOUT_MEDIA = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(load_config("tiny"), slots=1)


@pytest.fixture
def play(engine: Engine, tmp_path: Path) -> Play:
    """Run a scenario against a server of its own; keyword arguments change the server's settings."""

    def run(scenario: Scenario, **settings: Any) -> None:
        async def inner() -> None:
            async with serving(engine, tmp_path, **settings) as client:
                await scenario(client)

        asyncio.run(asyncio.wait_for(inner(), 120))

    return run


@asynccontextmanager
async def serving(engine: Engine, own: Path, **settings: Any) -> AsyncIterator[TestClient[Any, Any]]:
    server = dataclasses.replace(ServerConfig(), **settings)
    app = create_app(engine, IdentityStore(own), AppConfig(server=server))
    async with TestClient(TestServer(app)) as client:
        yield client


async def refusal(response: aiohttp.ClientResponse, status: int, code: str) -> str:
    """Check a refusal and return its sentence."""
    assert response.status == status, await response.text()
    error = (await response.json())["error"]
    assert error["code"] == code
    assert len(error["message"]) > 10
    return str(error["message"])


def photo_form(content: bytes, name: str = "anna", filename: str = "me.png") -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("name", name)
    form.add_field("photo", content, filename=filename, content_type="image/png")
    return form


async def finished(client: TestClient[Any, Any], job: dict[str, Any]) -> dict[str, Any]:
    """Follow a job to its end; its progress never goes back."""
    progress = 0.0
    while job["state"] in ("queued", "running"):
        await asyncio.sleep(0.05)
        job = await (await client.get(f"/api/jobs/{job['id']}")).json()
        assert job["progress"] >= progress
        progress = job["progress"]
    return job


async def picture(client: TestClient[Any, Any]) -> bytes:
    return await (await client.get(f"/api/presenters/{DEFAULT}/thumbnail")).read()


def test_page_and_health(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        page = await client.get("/")
        assert page.status == 200
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', await page.text()):
            assert (await client.get(path)).status == 200, path
        assert (await client.get("/healthz")).status == 200
        assert (await (await client.get("/readyz")).json())["sessions"] == {"active": 0, "limit": 1}
        await refusal(await client.get("/nothing"), 404, "not_found")
        await refusal(await client.put("/healthz"), 405, "method_not_allowed")

    play(scenario)


def test_page_asks_nobody_else() -> None:
    for file in web_folder().glob("*.*"):
        foreign = set(re.findall(r"https?://[\w-]+(?:\.[\w-]+)*", file.read_text())) - {
            "http://www.w3.org",
            "http://localhost",
        }
        assert not foreign, f"{file.name}: {foreign}"


def test_presenters_and_pictures(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        presenters = (await (await client.get("/api/presenters")).json())["presenters"]
        assert presenters[0]["name"] == DEFAULT
        response = await client.get(presenters[0]["thumbnail"])
        assert response.content_type == "image/png"
        assert (await response.read()).startswith(b"\x89PNG")
        for name in ("nobody", "..%2F..%2Fpresenter", "%00", ".."):
            response = await client.get(f"/api/presenters/{name}/thumbnail")
            assert response.status in (400, 404), name

    play(scenario)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b"[1]", 400, "bad_request"),
        (b"{}", 400, "bad_request"),
        (b'{"presenter": 7}', 400, "bad_request"),
        (b'{"presenter": "nobody"}', 404, "presenter_not_found"),
        (b'{"presenter": "../default"}', 404, "presenter_not_found"),
        (b'{"presenter": "' + b"x" * 300_000 + b'"}', 413, "too_large"),
    ],
)
def test_bad_session_request(play: Play, body: bytes, status: int, code: str) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        await refusal(await client.post("/api/sessions", data=body), status, code)
        assert (await (await client.get("/readyz")).json())["sessions"]["active"] == 0

    play(scenario)


def test_bad_offers(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        offer = {"sdp": SDP_WITHOUT_MEDIA, "type": "offer"}
        await refusal(await client.post("/api/sessions/none/offer", json=offer), 404, "session_not_found")
        session = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        url = f"/api/sessions/{session}/offer"
        await refusal(await client.post(url, json={"sdp": "v=0"}), 400, "bad_request")
        await refusal(await client.post(url, json={"sdp": 1, "type": "offer"}), 400, "bad_request")
        await refusal(await client.post(url, json=offer), 400, "bad_offer")
        await seat_free(client)
        await refusal(await client.post(url, json=offer), 404, "session_not_found")

    play(scenario)


async def real_offer() -> str:
    """The offer of a remote end that receives video and audio."""
    remote = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    patch_process_host_addresses()
    for kind in ("audio", "video"):
        remote.addTransceiver(kind, direction="recvonly")
    await remote.setLocalDescription(await remote.createOffer())
    sdp = str(remote.localDescription.sdp)
    await remote.close()
    return sdp


async def seat_free(client: TestClient[Any, Any]) -> None:
    """Wait, well below the 20 s a silent connection gets, until no session is active."""
    async with asyncio.timeout(3):
        while (await (await client.get("/readyz")).json())["sessions"]["active"]:  # noqa: ASYNC110  asks over HTTP
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("missing", ["a=setup:", "a=fingerprint:"])
def test_offer_without_security_frees_the_seat(play: Play, missing: str) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        lines = (await real_offer()).splitlines(keepends=True)
        offer = {"type": "offer", "sdp": "".join(line for line in lines if not line.startswith(missing))}
        response = await client.post(f"/api/sessions/{session}/offer", json=offer)
        assert missing.rstrip(":") in await refusal(response, 400, "bad_offer")
        await seat_free(client)

    play(scenario)


def test_second_offer_is_refused_and_the_session_lives(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        offer = {"type": "offer", "sdp": await real_offer()}
        assert (await client.post(f"/api/sessions/{session}/offer", json=offer)).status == 200
        again = await client.post(f"/api/sessions/{session}/offer", json=offer)
        await refusal(again, 409, "already_connected")
        metrics = await (await client.get("/metrics")).text()
        for name in ("frames_dropped_total", "sound_filled_seconds_total", "sound_lost_seconds_total"):
            assert f"\npresenter_{name} 0.0" in metrics
        assert (await client.delete(f"/api/sessions/{session}")).status == 204

    play(scenario)


def test_seat_is_free_even_if_the_connection_does_not_close(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def break_down(_: Peer) -> None:
        raise RuntimeError("a bug")

    async def scenario(client: TestClient[Any, Any]) -> None:
        for _ in range(2):  # the second needs the renderer of the first
            response = await client.post("/api/sessions", json={"presenter": DEFAULT})
            assert response.status == 200, await response.text()
            with monkeypatch.context() as patch:
                patch.setattr(Peer, "close", break_down)
                assert (await client.delete(f"/api/sessions/{(await response.json())['id']}")).status == 204
            await seat_free(client)

    play(scenario)


def test_full_house(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        response = await client.post("/api/sessions", json={"presenter": DEFAULT})
        await refusal(response, 503, "capacity")
        assert int(response.headers["Retry-After"]) > 0
        assert (await client.delete(f"/api/sessions/{session}")).status == 204
        await refusal(await client.delete(f"/api/sessions/{session}"), 404, "session_not_found")
        assert (await client.post("/api/sessions", json={"presenter": DEFAULT})).status == 200
        metrics = await (await client.get("/metrics")).text()
        assert "presenter_sessions_active 1.0\n" in metrics
        assert "presenter_sessions_total 2.0\n" in metrics
        assert "presenter_sessions_refused_total 1.0\n" in metrics
        assert "presenter_sessions_limit 1.0\n" in metrics
        assert "presenter_underruns_total 0.0\n" in metrics
        capacity = await (await client.get("/api/capacity")).json()
        assert (capacity["active"], capacity["limit"]) == (1, 1)

    play(scenario)


def test_the_seat_of_one_who_is_leaving_is_waited_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    close, on_the_way_out = SessionHost.close, asyncio.Event()

    async def linger(host: SessionHost) -> None:
        on_the_way_out.set()
        await asyncio.sleep(0.3)
        await close(host)

    async def scenario(client: TestClient[Any, Any]) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": DEFAULT})).json())["id"]
        leaving = asyncio.create_task(client.delete(f"/api/sessions/{session}"))
        await asyncio.wait_for(on_the_way_out.wait(), 3)
        assert not leaving.done()
        assert (await client.post("/api/sessions", json={"presenter": DEFAULT})).status == 200
        assert (await leaving).status == 204

    monkeypatch.setattr(SessionHost, "close", linger)
    play(scenario)


def test_two_requests_for_the_last_seat(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        asked = [client.post("/api/sessions", json={"presenter": DEFAULT}) for _ in range(4)]
        statuses = sorted(response.status for response in await asyncio.gather(*asked))
        assert statuses == [200, 503, 503, 503]

    play(scenario)


def test_session_that_never_connects_is_cleared(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presenter.server.connections, "CONNECT_TIMEOUT_S", 0.3)

    async def scenario(client: TestClient[Any, Any]) -> None:
        await client.post("/api/sessions", json={"presenter": DEFAULT})
        await asyncio.sleep(1.2)
        assert (await (await client.get("/readyz")).json())["sessions"]["active"] == 0

    play(scenario)


def test_photo_becomes_presenter(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        response = await client.post("/api/presenters", data=photo_form(await picture(client), "Anna Lee"))
        assert response.status == 202, await response.text()
        job = await finished(client, await response.json())
        assert job["state"] == "done", job
        assert job["presenter"] == "Anna Lee"
        names = [entry["name"] for entry in (await (await client.get("/api/presenters")).json())["presenters"]]
        assert names == [DEFAULT, "sam", "Anna Lee"]
        assert (await client.post("/api/sessions", json={"presenter": "Anna Lee"})).status == 200
        again = await client.post("/api/presenters", data=photo_form(b"x", "anna lee"))
        assert "already" in await refusal(again, 422, "enroll_failed")

    play(scenario)


@pytest.mark.parametrize("name", ["", "   ", "../x", "a/b", ".hidden", "x" * 41, DEFAULT, "a\nb"])
def test_bad_names(play: Play, name: str) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        await refusal(await client.post("/api/presenters", data=photo_form(b"x", name)), 422, "enroll_failed")

    play(scenario)


def test_name_may_come_in_pieces(play: Play) -> None:
    def body(pieces: list[bytes]) -> AsyncIterator[bytes]:
        async def inner() -> AsyncIterator[bytes]:
            yield b'--abc\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\nx\r\n'
            yield b'--abc\r\nContent-Disposition: form-data; name="name"\r\n\r\n'
            for piece in pieces:
                yield piece
                await asyncio.sleep(0.05)
            yield b"\r\n--abc--\r\n"

        return inner()

    async def scenario(client: TestClient[Any, Any]) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=abc"}
        response = await client.post("/api/presenters", data=body([b"an", b"na/", b"lee"]), headers=headers)
        assert "anna/lee" in await refusal(response, 422, "enroll_failed")
        long = await client.post("/api/presenters", data=body([b"x" * 700, b"y" * 700]), headers=headers)
        assert "too long" in await refusal(long, 400, "bad_request")

    play(scenario)


def test_uploads_leave_nothing_behind(play: Play, tmp_path: Path) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        response = await client.post("/api/presenters", data=photo_form(b"no picture at all"))
        await finished(client, await response.json())
        await refusal(await client.post("/api/presenters", data=photo_form(b"x", "a/b")), 422, "enroll_failed")
        await refusal(await client.post("/api/presenters", data=photo_form(b"")), 400, "bad_request")
        assert list((tmp_path / ".uploads").iterdir()) == []

    play(scenario)
    assert not (tmp_path / ".uploads").exists()


def test_photo_that_is_none(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        response = await client.post("/api/presenters", data=photo_form(b"no picture at all"))
        job = await finished(client, await response.json())
        assert job["state"] == "failed"
        assert "photo" in job["error"]["message"]
        await refusal(await client.get("/api/jobs/none"), 404, "job_not_found")

    play(scenario)


def test_bad_uploads(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        post = client.post
        await refusal(await post("/api/presenters", json={"name": "x"}), 400, "bad_request")
        only_name = aiohttp.FormData(default_to_multipart=True)
        only_name.add_field("name", "anna")
        await refusal(await post("/api/presenters", data=only_name), 400, "bad_request")
        await refusal(await post("/api/presenters", data=photo_form(b"")), 400, "bad_request")
        malformed = {"Content-Type": "multipart/form-data; boundary=abc"}
        await refusal(await post("/api/presenters", data=b"--xyz", headers=malformed), 400, "bad_request")
        no_boundary = {"Content-Type": "multipart/form-data"}
        await refusal(await post("/api/presenters", data=b"--xyz", headers=no_boundary), 400, "bad_request")

    play(scenario)


def test_upload_that_is_too_large(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        form = photo_form(bytes(3 << 20))
        assert "1 MB" in await refusal(await client.post("/api/presenters", data=form), 413, "too_large")

        async def unannounced() -> AsyncIterator[bytes]:
            yield b'--abc\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
            for _ in range(48):
                yield bytes(1 << 16)

        headers = {"Content-Type": "multipart/form-data; boundary=abc"}
        response = await client.post("/api/presenters", data=unannounced(), headers=headers)
        await refusal(response, 413, "too_large")

    play(scenario, max_upload_mb=1)


def test_token(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        assert (await client.get("/")).status == 200
        for path in ("/api/presenters", "/metrics", "/api/jobs/x"):
            await refusal(await client.get(path), 401, "unauthorized")
        await refusal(await client.post("/api/sessions", json={"presenter": DEFAULT}), 401, "unauthorized")
        for value in ("Bearer wrong", "Basic secret", "secret", "Bearer"):
            response = await client.get("/api/presenters", headers={"Authorization": value})
            assert "Bearer" in response.headers["WWW-Authenticate"]
            await refusal(response, 401, "unauthorized")
        right = {"Authorization": "Bearer secret"}
        assert (await client.get("/api/presenters", headers=right)).status == 200
        # With a token any host name may lead here.
        assert (await client.get("/api/presenters", headers={**right, "Host": "studio.example"})).status == 200

    play(scenario, token="secret")


def test_foreign_pages_and_names(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        foreign = {"Origin": "https://elsewhere.example"}
        response = await client.post("/api/sessions", json={"presenter": DEFAULT}, headers=foreign)
        await refusal(response, 403, "forbidden_origin")
        await refusal(await client.get("/api/presenters", headers={"Origin": "null"}), 403, "forbidden_origin")
        own = {"Origin": f"http://{client.host}:{client.port}"}
        assert (await client.get("/api/presenters", headers=own)).status == 200
        await refusal(await client.get("/", headers={"Host": "rebound.example"}), 403, "forbidden_host")

    play(scenario)


async def raw_status(client: TestClient[Any, Any], *headers: bytes) -> bytes:
    """The status line of a request whose headers a well-behaved client would not send."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"\r\n".join([b"GET /api/presenters HTTP/1.1", *headers, b"Connection: close", b"", b""]))
    answer = await reader.read()
    writer.close()
    assert b"internal" not in answer
    return answer.split(b" ")[1]


def test_broken_headers_are_refused_without_a_traceback(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        own = b"Host: localhost"
        assert await raw_status(client, b"Host: [x") in (b"400", b"403")
        assert await raw_status(client, b"Host: \xff\xfe") in (b"400", b"403")
        assert await raw_status(client, own, b"Origin: http://[x") == b"403"
        assert await raw_status(client, own, b"Origin: \xff\xfe") == b"403"
        assert await raw_status(client, own) == b"200"

    play(scenario)
    assert "Traceback" not in caplog.text


def test_broken_authorization(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        assert await raw_status(client, b"Host: localhost", b"Authorization: Bearer \xff\xfe") == b"401"

    play(scenario, token="secret")
    assert "Traceback" not in caplog.text


def test_public_origin(play: Play) -> None:
    async def scenario(client: TestClient[Any, Any]) -> None:
        for origin, status in (
            ("https://studio.example", 200),
            ("HTTPS://Studio.Example", 200),
            ("http://studio.example", 403),
            ("https://studio.example.evil", 403),
            ("", 403),
        ):
            assert (await client.get("/api/presenters", headers={"Origin": origin})).status == status, origin

    play(scenario, public_origin="https://studio.example/")


@pytest.mark.parametrize("origin", ["studio.example", "https://", "https://a.example/page", "ftp://a.example"])
def test_bad_public_origin(engine: Engine, tmp_path: Path, origin: str) -> None:
    config = AppConfig(server=ServerConfig(public_origin=origin))
    with pytest.raises(ConfigError, match="public_origin"):
        create_app(engine, IdentityStore(tmp_path), config)


def test_ice_servers_reach_the_peers() -> None:
    server = ServerConfig(ice_servers=("turn:turn.example:3478",), ice_username="me", ice_credential="secret")
    (ice,) = peer_config(server).rtc_configuration().iceServers
    assert (ice.urls, ice.username, ice.credential) == ("turn:turn.example:3478", "me", "secret")
    assert peer_config(ServerConfig()).ice_username is None
    with pytest.raises(ConfigError, match="ice_servers"):
        peer_config(ServerConfig(ice_servers=("turn.example",)))


def test_serving_says_where_and_ends_on_a_signal(engine: Engine, tmp_path: Path) -> None:
    async def scenario() -> None:
        urls: asyncio.Queue[str] = asyncio.Queue()
        app = create_app(engine, IdentityStore(tmp_path), AppConfig())
        serving = asyncio.create_task(serve_forever(app, "127.0.0.1", 0, urls.put_nowait))
        url = await asyncio.wait_for(urls.get(), 5)
        assert re.fullmatch(r"http://localhost:[1-9]\d+", url)
        async with aiohttp.ClientSession() as client, client.get(url + "/healthz") as response:
            assert response.status == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 15)
        with pytest.raises(OSError, match="refused|Connect"):
            await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))

    asyncio.run(scenario())


def test_serving_ends_when_cancelled(engine: Engine, tmp_path: Path) -> None:
    async def scenario() -> None:
        ready = asyncio.Event()
        app = create_app(engine, IdentityStore(tmp_path), AppConfig())
        serving = asyncio.create_task(serve_forever(app, "127.0.0.1", 0, lambda _: ready.set()))
        await asyncio.wait_for(ready.wait(), 5)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    asyncio.run(scenario())


def test_serving_on_a_busy_port(engine: Engine, tmp_path: Path) -> None:
    said: list[str] = []
    app = create_app(engine, IdentityStore(tmp_path), AppConfig())
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            asyncio.run(serve_forever(app, "127.0.0.1", port, said.append))
    assert said == []


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://localhost:80"),
        ("::1", "http://localhost:80"),
        ("10.0.0.2", "http://10.0.0.2:80"),
        ("fd00::2", "http://[fd00::2]:80"),
    ],
)
def test_page_url(host: str, url: str) -> None:
    assert page_url(host, 80) == url
