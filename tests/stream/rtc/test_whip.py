"""Publishing to a real WHIP endpoint, which decodes what arrives, and to some that misbehave."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack, VideoStreamTrack

from stream.clock import SessionClock
from stream.errors import NegotiationError, StreamError, TargetError
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.rtc import whip
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer
from stream.rtc.peer_config import PeerConfig
from stream.rtc.whip import WhipPublisher
from stream.rtc.whip_targets import WhipTargets
from tests.stream.playing import green, playing

SDP = "application/sdp"
LOCAL = WhipTargets(["127.0.0.1"])


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
async def show() -> AsyncIterator[EncoderHub]:
    async with playing(green) as pump:
        yield EncoderHub(pump)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110  conditions are about what only grows
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_publication_is_decoded_by_the_endpoint_and_deleted_at_the_end(run: Callable, codec: str) -> None:
    async def scenario() -> tuple[Endpoint, set[str]]:
        endpoint = Endpoint()
        routes = (web.post("/whip/live", endpoint.publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL, PeerConfig(video_codec=codec))
            await publisher.publish(f"{url}/whip/live", "secret")
            await asyncio.wait_for(publisher.connected.wait(), 5)
            await until(lambda: len(endpoint.frames["video"]) > 10 and len(endpoint.frames["audio"]) > 20)
            encodings = set(hub.encodings())
            await asyncio.gather(publisher.close(), publisher.close())
            assert hub.encodings() == {}
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


class StunServer(asyncio.DatagramProtocol):
    """Counts who asks, and does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked += data[4:8] == bytes.fromhex("2112a442")


@pytest.mark.parametrize("configured", [False, True])
def test_ice_servers_that_the_endpoint_names_are_used_where_none_is_configured(run: Callable, configured: bool) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        transport, stun = await loop.create_datagram_endpoint(StunServer, ("127.0.0.1", 0))
        link = f'<stun:127.0.0.1:{transport.get_extra_info("sockname")[1]}>; rel="ice-server"'
        endpoints: list[Endpoint] = []
        deleted: list[str] = []

        async def publish(request: web.Request) -> web.Response:
            endpoints.append(Endpoint())
            response = await endpoints[-1].publish(request)
            response.headers["Location"] = f"/resource/{len(endpoints)}"
            response.headers.add("Link", '<https://elsewhere.example>; rel="next"')
            response.headers.add("Link", link)
            return response

        async def delete(request: web.Request) -> web.Response:
            deleted.append(request.path)
            return web.Response()

        try:
            async with serving(web.post("/whip", publish), web.delete("/resource/{id}", delete)) as url, show() as hub:
                own = ("stun:127.0.0.1:9",) if configured else ()
                publisher = WhipPublisher(hub, LOCAL, PeerConfig(ice_servers=own))
                await publisher.publish(f"{url}/whip")
                await asyncio.wait_for(publisher.connected.wait(), 8)
                await until(lambda: len(endpoints[-1].frames["video"]) > 3)
                assert not publisher.closed.is_set()
                await publisher.close()
                assert len(endpoints) == (1 if configured else 2)
                assert deleted == [f"/resource/{k + 1}" for k in range(len(endpoints))]
                assert bool(stun.asked) != configured
        finally:
            transport.close()
            for endpoint in endpoints:
                await endpoint.close()

    run(scenario())


def test_a_publication_shares_the_encoders_of_the_viewers(remote: type, run: Callable) -> None:
    async def scenario() -> tuple[int, int]:
        endpoint = Endpoint()
        async with serving(web.post("/whip", endpoint.publish)) as url, show() as hub:
            client, peer = remote(codec="VP8", channel=False), Peer(hub)
            await client.connect(peer.answer)
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip")
            await until(lambda: bool(endpoint.frames["video"] and client.frames["video"]))
            shared = len(hub.encodings())
            await publisher.close()
            left = len(hub.encodings())
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
        async with serving(*routes, web.delete("/resource/1", endpoint.delete)) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
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
        async with serving(*target) as other, show() as hub:

            async def elsewhere(_: web.Request) -> web.Response:
                return web.Response(status=307, headers={"Location": f"{other}/whip"})

            async with serving(web.post("/whip", elsewhere)) as url:
                publisher = WhipPublisher(hub, LOCAL)
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
        ({"status": 401, "text": "the secret"}, StreamError, r"expected status 201 from http://[\d.:]+, got 401$"),
        ({"status": 200, "text": "v=0"}, StreamError, "expected status 201 .* got 200"),
        ({"status": 201, "text": "v=0", "content_type": SDP}, StreamError, "expected a Location header"),
        ({"status": 201, "text": "v=0", "headers": {"Location": "/r"}}, StreamError, "expected application/sdp"),
        (
            {"status": 201, "text": "hello", "content_type": SDP, "headers": {"Location": "/r"}},
            NegotiationError,
            "expected an SDP answer",
        ),
        (
            {"status": 201, "text": "v=0\r\nt=the secret", "content_type": SDP, "headers": {"Location": "/r"}},
            NegotiationError,
            "expected an SDP answer",
        ),
        (
            {"status": 201, "text": "x" * 70_000, "content_type": SDP, "headers": {"Location": "/r"}},
            StreamError,
            "expected at most 65536 bytes",
        ),
        ({"status": 302, "headers": {"Location": "/whip"}}, StreamError, "expected status 201 .* got 302"),
        (
            {"status": 201, "text": "v=0", "content_type": SDP, "headers": {"Location": "http://127.0.0.1:9/r"}},
            StreamError,
            "expected a Location on http://.*, got one elsewhere",
        ),
        ({"status": 307, "headers": {"Location": "/whip"}}, StreamError, "expected at most 5 redirects"),
    ],
    ids=[
        "refused",
        "not created",
        "no location",
        "no sdp type",
        "no sdp",
        "nothing in it",
        "long",
        "redirected to a GET",
        "resource elsewhere",
        "redirected in circles",
    ],
)
def test_an_endpoint_that_refuses_or_errs_is_named_and_the_publication_closed(
    run: Callable, options: dict[str, Any], error: type[Exception], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> list[str]:
        deleted: list[str] = []

        async def delete(request: web.Request) -> web.Response:
            deleted.append(request.path)
            return web.Response()

        async with serving(web.post("/whip", reply(**options)), web.delete("/r", delete)) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            with pytest.raises(error, match=text) as caught:
                await publisher.publish(f"{url}/whip", "token")
            assert "secret" not in str(caught.value), "what the endpoint says is not the caller's to read"
            assert publisher.closed.is_set()
            assert hub.encodings() == {}
            return deleted

    caplog.set_level("INFO", "stream.rtc.whip")
    made = options["status"] == 201 and options.get("headers") == {"Location": "/r"}
    assert run(scenario()) == (["/r"] if made else []), "what was made is deleted, whatever is wrong with it"
    assert "the secret" not in caplog.text


@asynccontextmanager
async def raw(answer: bytes) -> AsyncIterator[str]:
    """Serve the same bytes to everybody, HTTP or not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def test_what_another_kind_of_server_says_is_neither_logged_nor_told(
    run: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> str:
        async with raw(b"SSH-2.0-secret\r\n") as url, show() as hub:
            with pytest.raises(StreamError, match="expected an endpoint that answers") as caught:
                await WhipPublisher(hub, LOCAL).publish(f"{url}/whip", "token")
            return str(caught.value)

    caplog.set_level("INFO", "stream.rtc.whip")
    assert "secret" not in run(scenario())
    assert "secret" not in caplog.text
    assert "token" not in caplog.text


def test_an_answer_in_several_segments_is_read_to_its_end(run: Callable) -> None:
    async def scenario() -> None:
        endpoint = Endpoint()

        async def publish(request: web.Request) -> web.StreamResponse:
            whole = await endpoint.publish(request)
            response = web.StreamResponse(status=201, headers={"Location": "/resource/1", "Content-Type": SDP})
            await response.prepare(request)
            body = whole.body
            assert isinstance(body, bytes)
            for start in range(0, len(body), 400):
                await response.write(body[start : start + 400])
                await asyncio.sleep(0.005)
            return response

        routes = (web.post("/whip", publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip")
            await until(lambda: bool(endpoint.frames["audio"] and endpoint.frames["video"]))
            await publisher.close()
            await endpoint.close()

    run(scenario())


def test_media_that_an_endpoint_sends_back_is_not_received(run: Callable) -> None:
    async def scenario() -> None:
        endpoint = Endpoint()
        sender: Any = endpoint.pc.addTrack(VideoStreamTrack())

        async def publish(request: web.Request) -> web.Response:
            offer = (await request.text()).replace("a=sendonly", "a=sendrecv")  # so it takes leave to send
            await endpoint.pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await endpoint.pc.setLocalDescription(await endpoint.pc.createAnswer())
            sdp = endpoint.pc.localDescription.sdp
            assert "a=sendrecv" in sdp
            return web.Response(status=201, text=sdp, content_type=SDP, headers={"Location": "/r"})

        async with serving(web.post("/whip", publish)) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip")
            await until(lambda: sender._RTCRtpSender__packet_count > 20 and bool(endpoint.frames["video"]))
            await asyncio.sleep(0.2)  # what has arrived would be decoded by now
            for transceiver in publisher._pc.getTransceivers():  # type: ignore[union-attr]
                track: Any = transceiver.receiver.track
                assert track is None or track._queue.empty(), f"{transceiver.kind} piles up"
            await publisher.close()
            await endpoint.close()

    run(scenario())


@pytest.mark.parametrize("missing", ["a=fingerprint:", "a=setup:"])
def test_an_answer_without_security_is_refused_and_deleted(run: Callable, missing: str) -> None:
    async def scenario() -> Endpoint:
        endpoint = Endpoint()

        async def publish(request: web.Request) -> web.Response:
            response = await endpoint.publish(request)
            lines = (response.text or "").splitlines(keepends=True)
            response.text = "".join(line for line in lines if not line.startswith(missing))
            return response

        routes = (web.post("/whip/live", publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            with pytest.raises(NegotiationError, match=f"answer: expected {missing.rstrip(':')}"):
                await publisher.publish(f"{url}/whip/live")
            assert publisher.closed.is_set()
            await endpoint.close()
            return endpoint

    assert [method for method, _, _ in run(scenario()).requests] == ["POST", "DELETE"]


def test_a_publication_that_never_connects_is_closed_and_deleted(
    run: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> Endpoint:
        endpoint = Endpoint()

        async def publish(request: web.Request) -> web.Response:
            response = await endpoint.publish(request)
            await endpoint.pc.close()  # it answers, but no peer is there
            return response

        routes = (web.post("/whip/live", publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip/live")
            await asyncio.wait_for(publisher.closed.wait(), 8)
            assert not publisher.connected.is_set()
            assert hub.encodings() == {}
            return endpoint

    monkeypatch.setattr(whip, "CONNECT_TIMEOUT_S", 0.2)
    assert [method for method, _, _ in run(scenario()).requests] == ["POST", "DELETE"]
    assert "expected a connection within 0.2 s" in caplog.text


def test_a_publication_that_connects_outlives_the_wait_for_it(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        endpoint = Endpoint()
        async with serving(web.post("/whip", endpoint.publish)) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip")
            await asyncio.wait_for(publisher.connected.wait(), 5)
            expiry = publisher._expiry
            assert expiry is not None
            await asyncio.wait_for(expiry, 5)
            assert not publisher.closed.is_set()
            await publisher.close()
            await endpoint.close()

    run(scenario())


@pytest.mark.parametrize("answer", ["usable", "not usable"])
def test_a_publication_closed_before_its_answer_is_deleted_when_that_comes(run: Callable, answer: str) -> None:
    async def scenario() -> Endpoint:
        endpoint, asked, closed = Endpoint(), asyncio.Event(), asyncio.Event()

        async def publish(request: web.Request) -> web.Response:
            response = await endpoint.publish(request)
            asked.set()
            await closed.wait()
            if answer == "not usable":
                response.content_type = "text/plain"
            return response

        routes = (web.post("/whip/live", publish), web.delete("/resource/1", endpoint.delete))
        async with serving(*routes) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            publishing = asyncio.create_task(publisher.publish(f"{url}/whip/live"))
            await asked.wait()
            await publisher.close()
            closed.set()
            expected = "before the publication was closed" if answer == "usable" else "expected application/sdp"
            with pytest.raises(StreamError, match=expected):
                await publishing
            assert publisher.closed.is_set()
            await endpoint.close()
            return endpoint

    assert [method for method, _, _ in run(scenario()).requests] == ["POST", "DELETE"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/whip", "expected an endpoint that answers"),
        ("ftp://127.0.0.1/whip", "expected a URL of http or https"),
        ("nonsense", "expected a URL of http or https"),
        ("http://[/", "expected a URL of http or https"),
        ("http://127.0.0.2/whip", "expected a listed target, got http://127.0.0.2"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_named(run: Callable, url: str, words: str) -> None:
    async def scenario() -> None:
        async with show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            with pytest.raises(StreamError, match=words):
                await publisher.publish(url)
            assert publisher.closed.is_set()

    run(scenario())


def test_the_publication_ends_when_the_endpoint_goes(run: Callable) -> None:
    async def scenario() -> None:
        endpoint = Endpoint()
        async with serving(web.post("/whip", endpoint.publish)) as url, show() as hub:
            publisher = WhipPublisher(hub, LOCAL)
            await publisher.publish(f"{url}/whip")
            await until(lambda: bool(endpoint.frames["audio"]))
            await endpoint.close()
            await asyncio.wait_for(publisher.closed.wait(), 5)

    run(scenario())


def test_close_works_before_publish(run: Callable) -> None:
    async def scenario() -> None:
        publisher = WhipPublisher(EncoderHub(PlayoutPump(Playout(), SessionClock())), LOCAL)
        await publisher.close()
        assert publisher.closed.is_set()
        with pytest.raises(StreamError, match="expected a new publisher"):
            await publisher.publish("http://127.0.0.1:9/")

    run(scenario())


def test_a_redirect_to_where_nobody_listed_is_not_followed(run: Callable) -> None:
    async def scenario() -> list[str]:
        asked: list[str] = []

        async def private(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=201)

        async with serving(web.post("/whip", private)) as other, show() as hub:

            async def elsewhere(_: web.Request) -> web.Response:
                return web.Response(status=307, headers={"Location": f"{other}/whip"})

            async with serving(web.post("/whip", elsewhere)) as url:
                publisher = WhipPublisher(hub, WhipTargets([url]))
                with pytest.raises(TargetError, match="expected a listed target"):
                    await publisher.publish(f"{url}/whip")
                assert publisher.closed.is_set()
        return asked

    assert run(scenario()) == []


def test_a_listed_name_that_leads_to_this_machine_is_not_asked(run: Callable) -> None:
    name = socket.gethostname()
    address = socket.gethostbyname(name)
    assert not ipaddress.ip_address(address).is_global

    async def scenario() -> None:
        async with show() as hub:
            with pytest.raises(TargetError, match="expected a host with a public address"):
                await WhipPublisher(hub, WhipTargets([name])).publish(f"http://{name}:9/whip")
            with pytest.raises(StreamError, match="expected an endpoint that answers"):
                await WhipPublisher(hub, WhipTargets([name, f"{address}:9"])).publish(f"http://{name}:9/whip")

    run(scenario())
