"""Viewers of a bot's session: WHEP, with and without background, WHIP, and what any site may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from presenter.client.client import connect
from presenter.server.app_keys import SESSIONS
from stream.rtc.aiortc_internals import patch_process_host_addresses
from stream.wire import Interrupted, Playback

pytestmark = pytest.mark.usefixtures("light_rendering")
Server = TestClient[Any, Any]
Scenario = Callable[[Server, str], Awaitable[None]]
SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
def play(serve: Callable[..., None]) -> Callable[..., None]:
    """Run a scenario against a server with one session that a bot holds open."""

    def run(scenario: Scenario, **settings: Any) -> None:
        async def held(client: Server) -> None:
            base = str(client.make_url("/")).rstrip("/")
            async with connect(base, token=settings.get("token")) as presenter:
                await scenario(client, presenter.session)

        serve(held, within_s=60, **settings)

    return run


class Viewer:
    """A receiver that keeps decoded pictures."""

    def __init__(self) -> None:
        patch_process_host_addresses()
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures: list[np.ndarray] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self.tasks.append(asyncio.create_task(self.read(track))))

    async def read(self, track: MediaStreamTrack) -> None:
        while track.kind == "video":
            frame: Any = await track.recv()
            self.pictures.append(frame.to_ndarray(format="rgb24"))

    async def offer(self) -> str:
        for kind in ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def sees(self, count: int = 1) -> np.ndarray:
        async with asyncio.timeout(15):
            while len(self.pictures) < count:  # noqa: ASYNC110  the list only grows
                await asyncio.sleep(0.02)
        return self.pictures[-1]

    async def close(self) -> None:
        await self.pc.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def watch(server: Server, path: str) -> tuple[Viewer, str]:
    viewer = Viewer()
    response = await server.post(path, data=await viewer.offer(), headers=SDP)
    assert response.status == 201, await response.text()
    assert response.content_type == "application/sdp"
    await viewer.accept(await response.text())
    return viewer, response.headers["Location"]


def test_viewers_come_and_go(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer, place = await watch(server, f"/whep/{session}")
        other, _ = await watch(server, f"/whep/{session}")
        assert (await viewer.sees(5)).shape == (512, 512, 3)
        assert (await other.sees(5)).shape == (512, 512, 3)
        assert place.startswith(f"/whep/{session}/")
        assert (await server.delete(place)).status == 204
        assert (await server.delete(place)).status == 404
        seen = len(other.pictures)
        await other.sees(seen + 5)
        for one in (viewer, other):
            await one.close()

    play(scenario)


def test_the_matte_beside_the_picture(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        plain, _ = await watch(server, f"/whep/{session}")
        cut, _ = await watch(server, f"/whep/{session}?matte=1")
        async with asyncio.timeout(20):
            picture = await cut.sees()
            while picture[200:300, 740:800].mean() < 200:
                picture = await cut.sees(len(cut.pictures) + 1)
        assert picture.shape == (512, 1024, 3)
        assert picture[:60, 512:560].mean() < 20, "the corner is see-through"
        assert picture[220:300, 740:800].mean() > 235, "the face is opaque"
        face = (await plain.sees())[220:300, 228:288].astype(int)
        assert np.abs(picture[220:300, 228:288] - face).mean() < 12, "and looks the same"
        assert (await plain.sees()).shape == (512, 512, 3)
        for one in (plain, cut):
            await one.close()

    play(scenario)


def test_any_site_may_watch_and_frame_but_nothing_else(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        foreign = {"Origin": "https://elsewhere.example"}
        viewer = Viewer()
        response = await server.post(f"/whep/{session}", data=await viewer.offer(), headers=SDP | foreign)
        assert response.status == 201
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "location" in response.headers["Access-Control-Expose-Headers"]
        await viewer.close()
        options = await server.options(f"/whep/{session}", headers=foreign)
        assert options.status == 204
        assert "POST" in options.headers["Access-Control-Allow-Methods"]
        assert options.headers["Accept-Post"] == "application/sdp"
        for path in (f"/api/sessions/{session}/interrupt", "/api/sessions"):
            assert (await server.post(path, json={"presenter": "default"}, headers=foreign)).status == 403
        embed = await server.get(f"/embed?session={session}")
        assert "frame-ancestors *" in embed.headers["Content-Security-Policy"]
        page = await server.get("/")
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]

    play(scenario)


def test_the_token_guards_the_bot_not_the_viewer(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer, _ = await watch(server, f"/whep/{session}")
        await viewer.sees()
        await viewer.close()
        assert (await server.post(f"/api/sessions/{session}/interrupt")).status == 401

    play(scenario, token="secret")


def test_the_ice_servers_are_told_and_other_sites_may_read_them(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer = Viewer()
        headers = SDP | {"Origin": "https://elsewhere.example"}
        response = await server.post(f"/whep/{session}", data=await viewer.offer(), headers=headers)
        assert response.status == 201, await response.text()
        assert response.headers.getall("Link") == [
            '<stun:127.0.0.1:9>; rel="ice-server"',
            '<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="me"; credential="a\\"b"; '
            'credential-type="password"',
        ]
        assert {"link", "location"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert response.headers["Location"].startswith(f"/whep/{session}/")
        await viewer.close()

    servers = ("stun:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp")
    play(scenario, ice_servers=servers, ice_username="me", ice_credential='a"b')


def test_a_method_that_is_not_taken_is_answered_with_those_that_are(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer, place = await watch(server, f"/whep/{session}")
        foreign = {"Origin": "https://elsewhere.example"}
        asked = foreign | {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}
        preflight = await server.options(place, headers=asked)
        assert preflight.status == 204
        assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"], "or a browser hides the answer"
        assert "if-match" in preflight.headers["Access-Control-Allow-Headers"]
        trickle = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"} | foreign
        for method, path, allowed in (
            ("PATCH", place, "DELETE, OPTIONS"),
            ("GET", place, "DELETE, OPTIONS"),
            ("PUT", f"/whep/{session}", "POST, OPTIONS"),
            ("GET", f"/whep/{session}", "POST, OPTIONS"),
            ("PATCH", f"/api/sessions/{session}/whip", "POST"),
        ):
            data = "a=end-of-candidates\r\n" if method == "PATCH" else None
            headers = trickle if path.startswith("/whep") else {}
            response = await server.request(method, path, data=data, headers=headers)
            assert response.status == 405
            assert response.headers["Allow"] == allowed
            error = (await response.json())["error"]
            assert error["code"] == "method_not_allowed"
            if method == "PATCH" and path == place:
                assert "all candidates" in error["message"]
                assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await server.delete(place)).status == 204
        await viewer.close()

    play(scenario)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("/whep/unknown", "v=0", SDP, 404, "session_not_found"),
        ("/whep/{id}", "v=0", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("/whep/{id}", "nonsense", SDP, 400, "bad_offer"),
        ("/api/sessions/{id}/whip", '{"url": "ftp://x"}', {}, 403, "whip_target"),
        ("/api/sessions/{id}/whip", '{"url": "http://127.0.0.2/"}', {}, 403, "whip_target"),
        ("/api/sessions/{id}/whip", '{"url": "http://127.0.0.1:9/whip"}', {}, 502, "whip_failed"),
        ("/api/sessions/{id}/whip", "{}", {}, 400, "bad_request"),
    ],
)
def test_refusals(
    play: Callable[..., None], path: str, body: str, headers: dict[str, str], status: int, code: str
) -> None:
    async def scenario(server: Server, session: str) -> None:
        response = await server.post(path.format(id=session), data=body, headers=headers)
        assert response.status == status, await response.text()
        assert (await response.json())["error"]["code"] == code

    play(scenario, whip_targets=("127.0.0.1",))


def test_publishing_is_off_until_targets_are_listed(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        response = await server.post(f"/api/sessions/{session}/whip", json={"url": "http://127.0.0.1:9/whip"})
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (403, "whip_target")
        assert "server.whip_targets" in error["message"]

    play(scenario)


def test_a_session_that_nobody_watches_renders_nothing(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        app = server.app
        assert app is not None
        live = app[SESSIONS].host(session).session
        await asyncio.sleep(0.8)
        frames = live.stats()["frames"]
        await asyncio.sleep(0.5)
        assert live.stats()["frames"] == frames
        viewer, place = await watch(server, f"/whep/{session}")
        await viewer.sees(5)
        assert live.stats()["frames"] >= frames + 4
        assert (await server.delete(place)).status == 204
        await viewer.close()
        await asyncio.sleep(0.8)
        frames = live.stats()["frames"]
        async with connect(str(server.make_url("/")).rstrip("/"), session=session) as bot:
            await asyncio.sleep(0.8)
            await bot.speak(bytes(48_000), 24_000)
            await asyncio.sleep(0.5)
            assert live.stats()["speaking"], "speech plays on, heard or not"
            await asyncio.sleep(1)
            assert live.stats()["frames"] == frames

    play(scenario)


def test_viewers_are_limited(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer, place = await watch(server, f"/whep/{session}")
        second = Viewer()
        sdp = await second.offer()
        response = await server.post(f"/whep/{session}", data=sdp, headers=SDP)
        assert response.status == 503
        assert "server.max_viewers" in (await response.json())["error"]["message"]
        assert (await server.delete(place)).status == 204
        assert (await server.post(f"/whep/{session}", data=sdp, headers=SDP)).status == 201
        for one in (viewer, second):
            await one.close()

    play(scenario, max_viewers=1)


def test_a_viewer_tells_what_it_hears_and_cannot_interrupt(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        viewer = Viewer()
        channel = viewer.pc.createDataChannel("presenter")
        said: list[dict[str, Any]] = []
        channel.on("message", lambda message: said.append(json.loads(message)))
        response = await server.post(f"/whep/{session}", data=await viewer.offer(), headers=SDP)
        await viewer.accept(await response.text())
        await viewer.sees()
        async with connect(str(server.make_url("/")).rstrip("/"), session=session) as bot:
            tone = (8000 * np.sin(np.arange(72_000) / 20)).astype("<i2").tobytes()
            await bot.speak(tone, 24_000)
            channel.send('{"type": "ping", "sent_ms": 1}')
            async for event in bot:
                if isinstance(event, Playback) and event.played_ms >= 600:
                    break
            assert not isinstance(event, Interrupted)
            pong = next(message for message in said if message["type"] == "pong")
            now_ms = pong["server_ms"]
            for bad in ('"x"', "null", "1e999", "[]"):
                channel.send(f'{{"type": "ping", "playing_ms": {bad}, "round_trip_ms": 0}}')
            channel.send(json.dumps({"type": "ping", "playing_ms": now_ms - 10_000, "round_trip_ms": 0}))
            channel.send('{"type": "interrupt"}')
            await asyncio.sleep(0.3)
            interrupted = await bot.interrupt()
            assert interrupted.played_ms == 0, "two seconds late at the most, so nothing was heard yet"
        await viewer.close()

    play(scenario)


def test_publications_are_limited(play: Callable[..., None]) -> None:
    async def scenario(server: Server, session: str) -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def take(_: web.Request) -> web.Response:
            asked.set()
            await answer.wait()
            return web.Response(status=500)

        media = web.Application()
        media.router.add_post("/whip", take)
        async with TestServer(media) as endpoint:
            path, body = f"/api/sessions/{session}/whip", {"url": str(endpoint.make_url("/whip"))}
            first = asyncio.create_task(server.post(path, json=body))
            await asyncio.wait_for(asked.wait(), 10)
            second = await server.post(path, json=body)  # while the first is still connecting
            error = (await second.json())["error"]
            assert (second.status, error["code"]) == (503, "capacity")
            assert "server.max_publications" in error["message"]
            assert int(second.headers["Retry-After"]) > 0
            answer.set()
            assert (await first).status == 502
            assert (await server.post(path, json=body)).status == 502, "its place is free again"

    play(scenario, max_publications=1, whip_targets=("127.0.0.1",))


def test_publishing_to_a_media_server(play: Callable[..., None]) -> None:
    viewer = Viewer()
    deleted = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        await viewer.pc.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await viewer.pc.setLocalDescription(await viewer.pc.createAnswer())
        answer = viewer.pc.localDescription.sdp
        return web.Response(status=201, text=answer, content_type="application/sdp", headers={"Location": "/it"})

    async def drop(_: web.Request) -> web.Response:
        deleted.set()
        return web.Response()

    async def scenario(server: Server, session: str) -> None:
        media = web.Application()
        media.router.add_post("/whip", take)
        media.router.add_delete("/it", drop)
        async with TestServer(media) as endpoint:
            path = f"/api/sessions/{session}/whip"
            response = await server.post(path, json={"url": str(endpoint.make_url("/whip")), "token": "t"})
            assert response.status == 201, await response.text()
            assert (await viewer.sees(3)).shape == (512, 512, 3)
            assert (await server.delete(response.headers["Location"])).status == 204
            assert (await server.delete(response.headers["Location"])).status == 404
            await asyncio.wait_for(deleted.wait(), 5)
            await viewer.close()

    play(scenario, whip_targets=("127.0.0.1",))
