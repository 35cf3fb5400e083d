"""Publishing to a real WHIP endpoint, which decodes what comes, and to some that misbehave."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from stream.clock import SessionClock
from stream.errors import NegotiationError, StreamError
from stream.media import CHUNK_SAMPLES, VideoFrame, silence
from stream.peer_config import PeerConfig
from stream.playout import Playout
from stream.tracks import Playback
from stream.webrtc import Peer
from stream.whip import WhipPublisher

SDP = "application/sdp"


class Endpoint:
    """A minimal media server: takes one publication, keeps decoded frames and the requests."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Any]] = {"audio": [], "video": []}
        self.requests: list[tuple[str, str, str | None]] = []
        self.offer = ""
        self._tasks: list[asyncio.Task[None]] = []
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._collect(track))))

    async def publish(self, request: web.Request) -> web.Response:
        self._note(request)
        self.offer = await request.text()
        await self.pc.setRemoteDescription(RTCSessionDescription(self.offer, "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        headers = {"Location": "../resource/1"}
        return web.Response(status=201, text=self.pc.localDescription.sdp, content_type=SDP, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        self._note(request)
        await self.pc.close()
        return web.Response()

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, request: web.Request) -> None:
        self.requests.append((request.method, request.path, request.headers.get("Authorization")))

    async def _collect(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                self.frames[track.kind].append(await track.recv())
        except MediaStreamError:
            pass


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def show() -> AsyncIterator[Playback]:
    playback = Playback(Playout(), SessionClock())

    async def act() -> None:
        for k in itertools.count():
            rgb = np.full((64, 64, 3), (40, 200, 40), np.uint8)
            await playback.put(silence(k * CHUNK_SAMPLES), VideoFrame(rgb, k * CHUNK_SAMPLES))

    tasks = [asyncio.create_task(playback.run()), asyncio.create_task(act())]
    try:
        yield playback
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110  conditions are about what only grows
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_publication_is_decoded_by_the_endpoint_and_deleted_at_the_end(run: Callable, codec: str) -> None:
    async def scenario() -> tuple[Endpoint, set[str]]:
        endpoint = Endpoint()
        routes = (web.post("/whip/live", endpoint.publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as playback:
            publisher = WhipPublisher(playback, PeerConfig(video_codec=codec))
            await publisher.publish(f"{url}/whip/live", "secret")
            await asyncio.wait_for(publisher.connected.wait(), 5)
            await until(lambda: len(endpoint.frames["video"]) > 10 and len(endpoint.frames["audio"]) > 20)
            encodings = set(playback.encodings())
            await asyncio.gather(publisher.close(), publisher.close())
            assert playback.encodings() == {}
            with pytest.raises(StreamError, match="expected a new publisher"):
                await publisher.publish(url)
            await endpoint.close()
            return endpoint, encodings

    endpoint, encodings = run(scenario())
    assert encodings == {"audio/opus", f"video/{codec}"}
    assert endpoint.requests == [("POST", "/whip/live", "Bearer secret"), ("DELETE", "/resource/1", "Bearer secret")]
    assert endpoint.offer.count("a=sendonly") == 2
    assert "typ host" in endpoint.offer
    assert "m=application" not in endpoint.offer
    shown = endpoint.frames["video"][-1].to_ndarray(format="rgb24").astype(int)
    assert abs(shown - [40, 200, 40]).mean() < 12


def test_a_publication_shares_the_encoders_of_the_viewers(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, int]:
        endpoint = Endpoint()
        async with serving(web.post("/whip", endpoint.publish)) as url, show() as playback:
            client, peer = remote(codec="VP8", channel=False), Peer(playback)
            await client.connect(peer.answer)
            publisher = WhipPublisher(playback)
            await publisher.publish(f"{url}/whip")
            await until(lambda: bool(endpoint.frames["video"] and client.frames["video"]))
            shared = len(playback.encodings())
            await publisher.close()
            left = len(playback.encodings())
            await peer.close()
            await client.close()
            await endpoint.close()
            return shared, left

    assert run(scenario()) == (2, 2)


@pytest.mark.parametrize("status", [307, 308])
def test_redirects_are_followed(run: Callable, status: int) -> None:
    async def scenario() -> Endpoint:
        endpoint = Endpoint()

        async def elsewhere(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": "/region/whip"})

        routes = (web.post("/whip", elsewhere), web.post("/region/whip", endpoint.publish))
        async with serving(*routes, web.delete("/resource/1", endpoint.delete)) as url, show() as playback:
            publisher = WhipPublisher(playback)
            await publisher.publish(f"{url}/whip", "secret")
            await publisher.close()
            await endpoint.close()
            return endpoint

    endpoint = run(scenario())
    assert [method for method, _, _ in endpoint.requests] == ["POST", "DELETE"]
    assert endpoint.requests[0] == ("POST", "/region/whip", "Bearer secret")
    assert endpoint.offer.startswith("v=0")


def test_a_token_stays_with_the_host_it_was_meant_for(run: Callable) -> None:
    async def scenario() -> Endpoint:
        endpoint = Endpoint()
        target = (web.post("/whip", endpoint.publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*target) as other, show() as playback:

            async def elsewhere(_: web.Request) -> web.Response:
                return web.Response(status=307, headers={"Location": f"{other}/whip"})

            async with serving(web.post("/whip", elsewhere)) as url:
                publisher = WhipPublisher(playback)
                await publisher.publish(f"{url}/whip", "secret")
                await publisher.close()
                await endpoint.close()
                return endpoint

    assert [token for _, _, token in run(scenario()).requests] == [None, None]


def reply(**options: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(**options)

    return handle


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"status": 401, "text": "who are you?"}, StreamError, "expected status 201 .* got 401 'who are you"),
        ({"status": 200, "text": "v=0"}, StreamError, "expected status 201 .* got 200"),
        ({"status": 201, "text": "v=0", "content_type": SDP}, StreamError, "expected a Location header"),
        ({"status": 201, "text": "v=0", "headers": {"Location": "/r"}}, StreamError, "expected application/sdp"),
        (
            {"status": 201, "text": "hello", "content_type": SDP, "headers": {"Location": "/r"}},
            NegotiationError,
            "expected an SDP answer, got 'hello'",
        ),
        ({"status": 307, "headers": {"Location": "/whip"}}, StreamError, "TooManyRedirects"),
    ],
    ids=["refused", "not created", "no location", "no sdp type", "no sdp", "redirected in circles"],
)
def test_an_endpoint_that_refuses_or_errs_is_named_and_the_publication_closed(
    run: Callable, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    async def scenario() -> None:
        deleted = reply(status=200)
        async with serving(web.post("/whip", reply(**options)), web.delete("/r", deleted)) as url, show() as playback:
            publisher = WhipPublisher(playback)
            with pytest.raises(error, match=text):
                await publisher.publish(f"{url}/whip", "secret")
            assert publisher.closed.is_set()
            assert playback.encodings() == {}

    run(scenario())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/whip", "ftp://127.0.0.1/whip", "nonsense"])
def test_an_endpoint_that_cannot_be_reached_is_named(run: Callable, url: str) -> None:
    async def scenario() -> None:
        async with show() as playback:
            publisher = WhipPublisher(playback)
            with pytest.raises(StreamError, match="expected an endpoint that answers"):
                await publisher.publish(url)
            assert publisher.closed.is_set()

    run(scenario())


def test_the_publication_ends_when_the_endpoint_goes(run: Callable) -> None:
    async def scenario() -> None:
        endpoint = Endpoint()
        async with serving(web.post("/whip", endpoint.publish)) as url, show() as playback:
            publisher = WhipPublisher(playback)
            await publisher.publish(f"{url}/whip")
            await until(lambda: bool(endpoint.frames["audio"]))
            await endpoint.close()
            await asyncio.wait_for(publisher.closed.wait(), 5)

    run(scenario())


def test_close_works_before_publish(run: Callable) -> None:
    async def scenario() -> None:
        publisher = WhipPublisher(Playback(Playout(), SessionClock()))
        await publisher.close()
        assert publisher.closed.is_set()
        with pytest.raises(StreamError, match="expected a new publisher"):
            await publisher.publish("http://127.0.0.1:9/")

    run(scenario())
