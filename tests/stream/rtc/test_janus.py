"""Publishing to Janus, a media server: its VideoRoom takes the publication, counts it, and forwards it to a viewer."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from stream.rtc.peer_config import PeerConfig
from stream.rtc.whip import WhipPublisher
from tests.stream.rtc.test_whip import LOCAL, SDP, serving, show, until

ROOM = 1234
INSTALLED = sorted(Path("/usr/lib").glob("*/janus"))
SECRET = secrets.token_hex(8)


class Handle:
    """One attachment to the VideoRoom, over Janus's HTTP API (requests, and a long poll for their events)."""

    def __init__(self, http: aiohttp.ClientSession, url: str, admin: str) -> None:
        self._http, self._root, self._admin = http, url, admin

    async def open(self) -> Handle:
        session = await self._request(self._root, janus="create")
        self._session = f"{self._root}/{session['data']['id']}"
        handle = await self._request(self._session, janus="attach", plugin="janus.plugin.videoroom")
        self._url = f"{self._session}/{handle['data']['id']}"
        self._admin += self._url.removeprefix(self._root)
        return self

    async def ask(self, jsep: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        """Send a request to the room; return its answer, or the event that follows."""
        reply = await self._request(self._url, janus="message", body=body, **({"jsep": jsep} if jsep else {}))
        while reply["janus"] != "success" and "plugindata" not in reply:
            async with self._http.get(self._session) as response:
                reply = await response.json(content_type=None)
        assert "error" not in reply["plugindata"]["data"], reply
        return reply

    async def info(self) -> dict[str, Any]:
        """What Janus reports of this handle's peer connection."""
        reply = await self._request(self._admin, janus="handle_info", admin_secret=SECRET)
        return dict(reply["info"])

    async def close(self) -> None:
        await self._request(self._session, janus="destroy")

    async def _request(self, url: str, **message: Any) -> dict[str, Any]:
        async with self._http.post(url, json=message | {"transaction": secrets.token_hex(4)}) as response:
            reply = await response.json(content_type=None)
        assert reply["janus"] in ("success", "ack"), reply
        return dict(reply)


@asynccontextmanager
async def running_janus(folder: Path) -> AsyncIterator[Callable[[], Any]]:
    """Start Janus on loopback with the VideoRoom and nothing else; yields what makes a handle."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    for name in ("plugins", "transports", "none"):
        (folder / name).mkdir()
    for name in ("plugins/libjanus_videoroom.so", "transports/libjanus_http.so"):
        (folder / name).symlink_to(INSTALLED[0] / name)
    folders = f'plugins_folder = "{folder}/plugins" transports_folder = "{folder}/transports"'
    others = f'events_folder = "{folder}/none" loggers_folder = "{folder}/none"'
    (folder / "janus.jcfg").write_text(f'general: {{ {folders} {others} admin_secret = "{SECRET}" }}\n')
    api = f'http = true port = {ports[0]} ip = "127.0.0.1" https = false'
    admin = f'admin_http = true admin_port = {ports[1]} admin_ip = "127.0.0.1" admin_https = false'
    (folder / "janus.transport.http.jcfg").write_text(f"general: {{ {api} }}\nadmin: {{ {admin} }}\n")
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: {}\n")
    command = ("janus", "-F", str(folder), "-C", str(folder / "janus.jcfg"), "-o")
    with (folder / "janus.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(15), aiohttp.ClientSession() as probing:
                while True:
                    try:
                        await probing.get(f"http://127.0.0.1:{ports[0]}/janus/info")
                        break
                    except aiohttp.ClientError:
                        assert process.returncode is None, (folder / "janus.log").read_text()
                        await asyncio.sleep(0.1)
            async with aiohttp.ClientSession() as http:
                urls = f"http://127.0.0.1:{ports[0]}/janus", f"http://127.0.0.1:{ports[1]}/admin"
                yield lambda: Handle(http, *urls).open()
        finally:
            process.terminate()
            await process.wait()


class Bridge:
    """A WHIP endpoint in front of a room: each offer becomes a publisher."""

    def __init__(self, open_handle: Callable[[], Any]) -> None:
        self._open = open_handle
        self.feed = 0
        self.handle: Handle | None = None
        self.left = asyncio.Event()

    async def publish(self, request: web.Request) -> web.Response:
        offer = {"type": "offer", "sdp": await request.text()}
        self.handle = await self._open()
        joined = await self.handle.ask(jsep=offer, request="joinandconfigure", ptype="publisher", room=ROOM)
        self.feed = joined["plugindata"]["data"]["id"]
        headers = {"Location": "/resource"}
        return web.Response(status=201, text=joined["jsep"]["sdp"], content_type=SDP, headers=headers)

    async def leave(self, _: web.Request) -> web.Response:
        if self.handle is not None:
            await self.handle.close()
        self.left.set()
        return web.Response()


async def watch(handle: Handle, feed: int, frames: dict[str, list[Any]]) -> tuple[RTCPeerConnection, list]:
    """Subscribe to a feed with a peer that decodes it into `frames`; returns it with its tasks."""
    offered = await handle.ask(request="join", ptype="subscriber", room=ROOM, streams=[{"feed": feed}])
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks: list[asyncio.Task[None]] = []

    async def read(track: Any) -> None:
        with contextlib.suppress(MediaStreamError):  # the end
            while True:
                frames[track.kind].append(await track.recv())

    peer.on("track", lambda track: tasks.append(asyncio.create_task(read(track))))

    await peer.setRemoteDescription(RTCSessionDescription(offered["jsep"]["sdp"], "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    answer = {"type": "answer", "sdp": peer.localDescription.sdp}
    await handle.ask(jsep=answer, request="start")
    return peer, tasks


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_room_of_janus_forwards_the_publication(run: Callable, tmp_path: Path, codec: str) -> None:
    if shutil.which("janus") is None or not INSTALLED:
        pytest.skip("Janus is not installed (apt-get install janus)")

    async def scenario() -> None:
        async with running_janus(tmp_path) as open_handle, show() as hub:
            owner = await open_handle()
            await owner.ask(request="create", room=ROOM, publishers=1, videocodec=codec, audiocodec="opus")
            bridge = Bridge(open_handle)
            routes = (web.post("/whip", bridge.publish), web.delete("/resource", bridge.leave))
            async with serving(*routes) as url:
                publisher = WhipPublisher(hub, LOCAL, PeerConfig(video_codec=codec))
                await publisher.publish(f"{url}/whip")
                await asyncio.wait_for(publisher.connected.wait(), 10)
                frames: dict[str, list[Any]] = {"audio": [], "video": []}
                peer, reading = await watch(await open_handle(), bridge.feed, frames)
                await until(lambda: len(frames["audio"]) > 50 and len(frames["video"]) > 25)
                assert bridge.handle is not None
                info = await bridge.handle.info()
                media = info["webrtc"]["media"]
                received = {m["type"]: m["stats"]["in"]["packets"] for m in media.values()}
                decoded = {kind: len(some) for kind, some in frames.items()}
                print(f"received by Janus: {received}; decoded by its viewer: {decoded}")
                assert received["audio"] > 50
                assert received["video"] > 25
                red, green, blue = frames["video"][-1].to_ndarray(format="rgb24").mean(axis=(0, 1))
                assert green > 100 > max(red, blue)
                await peer.close()
                await asyncio.gather(*reading)
                await publisher.close()
                await asyncio.wait_for(bridge.left.wait(), 5)

    run(scenario())
