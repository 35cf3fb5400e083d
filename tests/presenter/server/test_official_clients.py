"""Voice services' official Python clients, unmodified, whose messages are relayed to the speech socket as they come.

The services themselves are on the internet and cost money, so each client's base URL is that of `Services`, which sends
what the service's reference documents.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from presenter.config import ServerConfig
from presenter.server.tls import tls_context
from tests.presenter.server.certificates import certificate
from tests.presenter.server.test_speech_socket import open_session, tone

pytestmark = pytest.mark.usefixtures("light_rendering")
Server = TestClient[Any, Any]
SECONDS = 1.0


@pytest.fixture
def play(serve: Callable[..., None]) -> Callable[..., None]:
    return partial(serve, within_s=60)


class Services:
    """The services on loopback: each speaks a tone of `SECONDS` at 24 kHz, in parts of 0.1 s."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []

    def parts(self, seconds: float = SECONDS) -> list[bytes]:
        pcm = tone(seconds)
        return [pcm[at : at + 4800] for at in range(0, len(pcm), 4800)]

    async def openai(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "session.created", "event_id": "e0", "session": {"type": "realtime"}})
        async for message in socket:
            self.received.append(json.loads(message.data))
            if self.received[-1]["type"] == "response.create":
                seconds = 5.0 if len(self.received) > 1 else SECONDS
                ids = {"item_id": f"item_{len(self.received)}", "response_id": "resp_1", "output_index": 0}
                ids |= {"content_index": 0}
                for part in self.parts(seconds):
                    delta = {"type": "response.output_audio.delta", "event_id": "e1", **ids}
                    await socket.send_json(delta | {"delta": base64.b64encode(part).decode()})
                await socket.send_json({"type": "response.output_audio.done", "event_id": "e2", **ids})
                await socket.send_json({"type": "response.done", "event_id": "e3", "response": {"id": "resp_1"}})
                if seconds > SECONDS:
                    await asyncio.sleep(1.0)
                    started = {"type": "input_audio_buffer.speech_started", "event_id": "e4", "item_id": "user_1"}
                    await socket.send_json(started | {"audio_start_ms": 1000})
        return socket

    async def elevenlabs(self, request: web.Request) -> web.StreamResponse:
        self.received.append(await request.json())
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        await response.prepare(request)
        for part in self.parts():
            await response.write(part)
        await response.write_eof()
        return response

    async def elevenlabs_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.received.append(json.loads(message.data))
            if self.received[-1]["text"] == "":  # all text has been sent
                for part in self.parts():
                    await socket.send_json({"audio": base64.b64encode(part).decode(), "isFinal": None})
                await socket.send_json({"audio": None, "isFinal": True})
                await socket.close()
        return socket

    async def deepgram(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(
            {"type": "Metadata", "request_id": "r", "model_name": "m", "model_version": "1", "model_uuid": "u"}
        )
        async for message in socket:
            self.received.append(json.loads(message.data))
            if self.received[-1]["type"] == "Flush":
                for part in self.parts():
                    await socket.send_bytes(part)
                await socket.send_json({"type": "Flushed", "sequence_id": 0})
        return socket

    async def cartesia(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.received.append(json.loads(message.data))
            context = {"context_id": self.received[-1]["context_id"], "status_code": 206, "done": False}
            for part in self.parts():
                chunk = {"type": "chunk", "data": base64.b64encode(part).decode(), "step_time": 1.0}
                await socket.send_json(chunk | context)
            await socket.send_json(context | {"type": "done", "done": True, "status_code": 200})
        return socket


@contextlib.asynccontextmanager
async def services(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Services, str]]:
    made = Services()
    app = web.Application()
    app.add_routes(
        [
            web.get("/realtime", made.openai),
            web.post("/v1/text-to-speech/{voice}/stream", made.elevenlabs),
            web.get("/v1/text-to-speech/{voice}/stream-input", made.elevenlabs_socket),
            web.get("/v1/speak", made.deepgram),
            web.get("/tts/websocket", made.cartesia),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield made, f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until_said(bot: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Read the presenter's own events up to the end of the utterance."""
    events = []
    async with asyncio.timeout(20):
        while not events or events[-1]["type"] != "speak_ended":
            events.append(await bot.receive_json())
    return [event for event in events if event["type"] in ("speak_started", "speak_ended", "error")]


async def speech_socket(server: Server, query: str) -> aiohttp.ClientWebSocketResponse:
    return await server.ws_connect(f"/api/sessions/{await open_session(server)}/audio?{query}")


def test_openai(play: Callable[..., None]) -> None:
    openai = pytest.importorskip("openai")

    async def scenario(server: Server) -> None:
        bot = await speech_socket(server, "dialect=openai")
        async with (
            services() as (service, host),
            openai.AsyncOpenAI(api_key="key", websocket_base_url=f"ws://{host}") as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):

            async def relay() -> None:
                while True:
                    await bot.send_bytes(await connection.recv_bytes())  # the added line

            async def pass_back(last: str) -> list[dict[str, Any]]:
                told: list[dict[str, Any]] = []
                async with asyncio.timeout(20):
                    while not told or told[-1]["type"] != last:
                        told.append(await bot.receive_json())
                return told

            relaying = asyncio.create_task(relay())
            await connection.response.create()
            told = await pass_back("output_audio_buffer.stopped")
            assert [event["type"] for event in told] == ["output_audio_buffer.started", "output_audio_buffer.stopped"]
            assert told[0]["response_id"] == "resp_1"
            await connection.response.create()
            truncate = (await pass_back("conversation.item.truncate"))[-1]
            await connection.send(truncate)
            async with asyncio.timeout(5):
                while service.received[-1]["type"] != "conversation.item.truncate":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert service.received[-1]["item_id"] == "item_2"
            assert 500 < service.received[-1]["audio_end_ms"] < 1500
            relaying.cancel()

    play(scenario)


def test_elevenlabs(play: Callable[..., None]) -> None:
    elevenlabs = pytest.importorskip("elevenlabs.client", reason="elevenlabs is not installed: pip install elevenlabs")

    async def scenario(server: Server) -> None:
        bot = await speech_socket(server, "dialect=elevenlabs&output_format=pcm_24000")
        async with services() as (service, host):
            client = elevenlabs.AsyncElevenLabs(api_key="key", base_url=f"http://{host}")
            speech = client.text_to_speech.stream("voice", text="Hello.", output_format="pcm_24000")
            async for data in speech:
                await bot.send_bytes(data)  # the added line
            await bot.send_json({"isFinal": True})
            assert service.received[0]["text"] == "Hello."
        started, ended = await until_said(bot)
        assert (started["type"], ended["played_ms"]) == ("speak_started", 1000)

    play(scenario)


def test_elevenlabs_over_its_websocket_which_is_always_wss(
    play: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elevenlabs = pytest.importorskip("elevenlabs.client", reason="elevenlabs is not installed: pip install elevenlabs")
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))  # what this process trusts

    async def scenario(server: Server) -> None:
        bot = await speech_socket(server, "dialect=elevenlabs&output_format=pcm_24000")
        async with services(tls_context(ServerConfig(tls_cert=str(cert), tls_key=str(key)))) as (service, host):
            client = elevenlabs.ElevenLabs(api_key="key", base_url=f"https://{host}")
            loop = asyncio.get_running_loop()

            def speak() -> None:
                said = iter(["Hello. "])
                for data in client.text_to_speech.convert_realtime("voice", text=said, output_format="pcm_24000"):
                    asyncio.run_coroutine_threadsafe(bot.send_bytes(data), loop).result()  # the added line

            await asyncio.to_thread(speak)
            await bot.send_json({"isFinal": True})
            assert [message["text"].strip() for message in service.received] == ["", "Hello.", ""]
        started, ended = await until_said(bot)
        assert (started["type"], ended["played_ms"]) == ("speak_started", 1000)

    play(scenario)


def test_deepgram(play: Callable[..., None]) -> None:
    deepgram = pytest.importorskip("deepgram", reason="deepgram-sdk is not installed: pip install deepgram-sdk")
    environment = pytest.importorskip("deepgram.environment").DeepgramClientEnvironment

    async def scenario(server: Server) -> None:
        bot = await speech_socket(server, "dialect=deepgram&encoding=linear16&sample_rate=24000")
        async with services() as (service, host):
            http, ws = f"http://{host}", f"ws://{host}"
            here = environment(base=http, production=ws, agent=ws, agent_rest=http)
            client = deepgram.AsyncDeepgramClient(api_key="key", environment=here)
            async with client.speak.v1.connect(encoding="linear16", sample_rate=24000) as connection:
                await connection.send_text(pytest.importorskip("deepgram.speak.v1.types").SpeakV1Text(text="Hello."))
                await connection.send_flush()
                async for message in connection:
                    if isinstance(message, bytes):
                        await bot.send_bytes(message)  # the added lines
                    else:
                        await bot.send_str(message.model_dump_json())
                        if message.type == "Flushed":
                            break
            assert [message["type"] for message in service.received[:2]] == ["Speak", "Flush"]
        started, ended = await until_said(bot)
        assert (started["type"], ended["played_ms"]) == ("speak_started", 1000)

    play(scenario)


def test_cartesia(play: Callable[..., None]) -> None:
    cartesia = pytest.importorskip("cartesia", reason="cartesia is not installed: pip install cartesia")

    async def scenario(server: Server) -> None:
        bot = await speech_socket(server, "dialect=cartesia&encoding=pcm_s16le&sample_rate=24000")
        async with services() as (service, host):
            client = cartesia.AsyncCartesia(api_key="key", websocket_base_url=f"ws://{host}")
            async with client.tts.websocket_connect() as connection:
                pcm = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
                request = {"model_id": "sonic-3", "transcript": "Hello.", "voice": {"mode": "id", "id": "v"}}
                await connection.send({**request, "output_format": pcm, "context_id": "turn-1"})
                async for event in connection:
                    await bot.send_str(event.to_json())  # the added line
                    if event.type == "done":
                        break
            assert service.received[0]["transcript"] == "Hello."
        started, ended = await until_said(bot)
        assert (started["type"], ended["utterance_id"], ended["played_ms"]) == ("speak_started", "turn-1", 1000)

    play(scenario)
