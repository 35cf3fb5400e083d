"""Simli's official Python client, with its base URL changed, against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp.test_utils import TestClient

pytestmark = pytest.mark.usefixtures("light_rendering")
Server = TestClient[Any, Any]
Scenario = Callable[[Server], Awaitable[None]]


@pytest.fixture
def play(serve: Callable[..., None]) -> Callable[..., None]:
    return partial(serve, within_s=60)


def tone(seconds: float) -> bytes:
    t = np.arange(int(seconds * 16_000)) / 16_000
    return (8000 * np.sin(2 * np.pi * 220 * t)).astype("<i2").tobytes()


async def first(iterator: Any, wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(20):
        async for frame in iterator:
            if wanted(frame):
                return frame
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("face", ["default", "b4b2c5b1-0000-4000-8000-000000000000"])
def test_the_official_client_connects_and_speaks(play: Callable[..., None], face: str) -> None:
    simli = pytest.importorskip("simli", reason="simli-ai is not installed: pip install simli-ai")

    async def scenario(server: Server) -> None:
        url = str(server.make_url("/")).rstrip("/")
        client = simli.SimliClient("secret", simli.SimliConfig(face), simliURL=url, retry_count=1)  # the changed line
        events: list[str] = []

        async def speaks() -> None:
            events.append("speak")

        async with client:
            client.registerEventCallback(pytest.importorskip("simli.events").SimliEvent.SPEAK, speaks)
            picture = await first(client.getVideoStreamIterator(), lambda frame: True)
            assert min(picture.width, picture.height) >= 256
            await client.send(tone(1.0))
            await first(client.getAudioStreamIterator(), lambda frame: np.abs(frame.to_ndarray()).max() > 3000)
            assert events == ["speak"]
            await client.setBackground(None)
            await client.setCamera(None)
            await client.clearBuffer()
            assert client.error is None
        async with asyncio.timeout(10):  # the session has ended with its websocket
            while (await server.get("/compose/webrtc/p2p")).status != 401 or await active(server):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    play(scenario, token="secret")


async def active(server: Server) -> bool:
    body = {"presenter": "default", "microphone": "off"}
    response = await server.post("/api/sessions", json=body, headers={"Authorization": "Bearer secret"})
    return response.status == 503


def test_a_wrong_key_a_wrong_token_and_a_wrong_offer_are_refused(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        headers = {"x-simli-api-key": "secret"}
        for key in ({}, {"x-simli-api-key": "wrong"}):
            assert (await server.post("/compose/token", json={"faceId": "default"}, headers=key)).status == 401
            assert (await server.get("/compose/ice", headers=key)).status == 401
        assert (await server.post("/compose/token", json={"faceId": 1}, headers=headers)).status == 400
        assert await (await server.get("/compose/ice", headers=headers)).json() == [
            {"urls": ["turn:localhost:3478"], "username": "u", "credential": "c"}
        ]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await server.ws_connect("/compose/webrtc/p2p?session_token=guess")
        elsewhere = headers | {"Origin": "https://elsewhere.example"}
        assert (await server.post("/compose/token", json={"faceId": "default"}, headers=elsewhere)).status == 403
        for offer in ("hello", "{}", json.dumps({"sdp": "v=0", "type": "offer"})):
            made = await (await server.post("/compose/token", json={"faceId": "default"}, headers=headers)).json()
            assert not made["warnings"]
            path = f"/compose/webrtc/p2p?session_token={made['session_token']}"
            async with server.ws_connect(path, origin="https://elsewhere.example") as socket:
                await socket.send_str(offer)
                assert (await socket.receive_str(timeout=10)).startswith("ERROR: ")
                assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
            with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
                await server.ws_connect(path)
        made = await (await server.post("/compose/token", json={"faceId": "default"}, headers=headers)).json()
        socket = await server.ws_connect(f"/compose/webrtc/p2p?session_token={made['session_token']}")
        await socket.close()  # without an offer

    play(scenario, token="secret", ice_servers=["turn:localhost:3478"], ice_username="u", ice_credential="c")
