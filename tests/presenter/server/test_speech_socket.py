"""The speech socket, the client and the routes around them: a real server, real websockets, real WebRTC viewers."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import websockets
from aiohttp.test_utils import TestClient, TestServer

from presenter.client.client import ClientError, connect
from presenter.config import AppConfig, ServerConfig, load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server.app import create_app
from stream.wire import (
    Credit,
    EventOut,
    Interrupted,
    MarkReached,
    Playback,
    Problem,
    Ready,
    SpeakEnded,
    SpeakStarted,
    StateChanged,
    Stats,
)

pytestmark = pytest.mark.usefixtures("light_painting")
Server = TestClient[Any, Any]
Scenario = Callable[[Server], Awaitable[None]]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(load_config("tiny"), slots=1)


@pytest.fixture
def play(engine: Engine, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a server of its own; keyword arguments change the server's settings."""

    def run(scenario: Scenario, **settings: Any) -> None:
        @asynccontextmanager
        async def serving() -> AsyncIterator[Server]:
            server = dataclasses.replace(ServerConfig(), **settings)
            app = create_app(engine, IdentityStore(tmp_path), AppConfig(server=server))
            async with TestClient(TestServer(app)) as client:
                yield client

        async def inner() -> None:
            async with serving() as client:
                await scenario(client)

        asyncio.run(asyncio.wait_for(inner(), 60))

    return run


def address(server: Server) -> str:
    return str(server.make_url("/")).rstrip("/")


def tone(seconds: float, rate: int = 24_000) -> bytes:
    t = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 220 * t)).astype("<i2").tobytes()


async def open_session(server: Server, **body: Any) -> str:
    response = await server.post("/api/sessions", json={"presenter": "default", "microphone": "off"} | body)
    assert response.status == 200, await response.text()
    return str((await response.json())["id"])


async def collect(events: AsyncIterator[EventOut], last: type) -> list[EventOut]:
    """Read events up to the first of a kind."""
    read: list[EventOut] = []
    async with asyncio.timeout(20):
        async for event in events:
            read.append(event)
            if isinstance(event, last):
                return read
    raise AssertionError(f"the session ended before {last.__name__}; got {read}")


def of(events: list[EventOut], *kinds: type) -> list[EventOut]:
    return [event for event in events if isinstance(event, kinds)]


def test_a_bot_speaks_and_is_told_what_is_heard(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            assert presenter.session in presenter.viewer_url
            speech = tone(1.0)
            await presenter.speak([speech[:7], speech[7:]], 24_000, utterance="hello")
            await presenter.mark("all")
            events = await collect(presenter, SpeakEnded)
            ready = events[0]
            assert isinstance(ready, Ready)
            assert (ready.session, ready.sample_rate, ready.credit_ms) == (presenter.session, 48_000, 300_000)
            assert of(events, SpeakStarted, MarkReached, SpeakEnded) == [
                SpeakStarted("hello"),
                MarkReached("all", 1000),
                SpeakEnded("hello", 1000),
            ]
            positions = [event.played_ms for event in events if isinstance(event, Playback)]
            assert positions == [200, 400, 600, 800, 1000]
            assert StateChanged("speaking") in events
            assert of(events, Stats)
            assert not of(events, Problem)

    play(scenario)


def test_interrupt_tells_what_was_heard_and_the_next_words_are_said(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak(tone(5.0), 24_000, utterance="long")
            told = await collect(presenter, Playback)
            interrupted = await presenter.interrupt()
            assert interrupted.utterance == "long"
            position = told[-1]
            assert isinstance(position, Playback)
            assert position.played_ms <= interrupted.played_ms <= position.played_ms + 300
            await presenter.speak(tone(0.3), 24_000, utterance="short")
            events = await collect(presenter, SpeakEnded)
            assert of(events, SpeakEnded) == [SpeakEnded("short", 300)]
            assert interrupted in events

    play(scenario)


def test_more_than_fits_waits_for_credit_and_arrives_whole(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak((tone(0.1) for _ in range(25)), 24_000, utterance="a")
            events = await collect(presenter, SpeakEnded)
            assert of(events, SpeakEnded) == [SpeakEnded("a", 2500)]
            assert not of(events, Problem)
            credits = [event for event in events if isinstance(event, Credit)]
            assert credits
            assert all(credit.free_ms + credit.buffered_ms <= 1001 for credit in credits)

    play(scenario, max_speech_s=1)


def test_an_interrupted_utterance_is_not_sent_to_its_end(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter, asyncio.TaskGroup() as group:
            speaking = group.create_task(presenter.speak((tone(0.1) for _ in range(600)), 24_000))
            await collect(presenter, Playback)
            assert not speaking.done(), "a minute does not fit"
            await presenter.interrupt()
            assert await asyncio.wait_for(speaking, 5) is False
            assert await presenter.speak(tone(0.2), 24_000, utterance="next") is True
            assert (await collect(presenter, SpeakEnded))[-1] == SpeakEnded("next", 200)

    play(scenario, max_speech_s=1)


def test_what_waits_behind_is_told_and_a_name_may_come_again(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak(tone(3.0), 24_000, utterance="a")
            await presenter.speak(tone(1.0), 24_000, utterance="b")
            await collect(presenter, Playback)
            interrupted = await presenter.interrupt()
            told = await collect(presenter, Interrupted)
            told += await collect(presenter, Interrupted)
            assert of(told, Interrupted) == [Interrupted("b", 0), interrupted] or interrupted == Interrupted("b", 0)
            assert {event.utterance for event in of(told, Interrupted)} == {"a", "b"}  # type: ignore[union-attr]
            await presenter.speak(tone(0.3), 24_000, utterance="a")
            assert (await collect(presenter, SpeakEnded))[-1] == SpeakEnded("a", 300)

    play(scenario)


def test_a_bot_that_connects_again_is_heard_after_an_interrupt(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        session = await open_session(server)
        for _ in range(2):
            async with raw(server, "native", session) as socket:
                await socket.send('{"type": "start", "sample_rate": 24000}')
                await socket.send(tone(2.0))
                await until(socket, "speak_started")
                await socket.send('{"type": "interrupt"}')
                await until(socket, "interrupted")

    play(scenario)


def test_marks_and_words_are_bounded(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "native", await open_session(server)) as socket:
            await socket.send('{"type": "start", "sample_rate": 24000}')
            await socket.send(tone(1.0))
            word = {"text": "x", "start_ms": 900, "end_ms": 950}
            await socket.send(json.dumps({"type": "words", "words": [word] * 5001}))
            assert (await until(socket, "error"))["code"] == "too_many"
            for k in range(257):
                await socket.send(json.dumps({"type": "mark", "name": f"m{k}"}))
            assert (await until(socket, "error"))["code"] == "too_many"

    play(scenario)


@asynccontextmanager
async def raw(server: Server, dialect: str, session: str) -> AsyncIterator[websockets.ClientConnection]:
    url = f"{address(server)}/api/sessions/{session}/audio?dialect={dialect}".replace("http", "ws", 1)
    async with websockets.connect(url, max_size=None) as socket:
        yield socket


async def until(socket: websockets.ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == kind:
                return dict(message)


def test_what_overruns_the_buffer_is_refused_with_the_credit(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        session = await open_session(server)
        async with raw(server, "native", session) as socket:
            await socket.send('{"type": "start", "sample_rate": 24000}')
            await socket.send(tone(3.0))
            problem = await until(socket, "error")
            assert problem["code"] == "buffer_full"
            assert "1000 ms" in problem["message"]
            assert (await until(socket, "credit"))["free_ms"] == 1000
            await socket.send(tone(0.5))
            await socket.send('{"type": "end"}')
            assert (await until(socket, "speak_ended"))["played_ms"] == 500

    play(scenario, max_speech_s=1)


@pytest.mark.parametrize(
    ("message", "code", "expected"),
    [
        (b"\0\0", "not_started", "start"),
        ("{", "bad_json", "JSON"),
        ('{"type": "sing"}', "unknown_type", "start, end"),
        ('{"type": "start"}', "bad_field", "sample_rate"),
        ('{"type": "start", "sample_rate": 1}', "bad_format", "8000"),
        (b"\0" * (2 << 20), "too_large", "1048576"),
    ],
)
def test_what_cant_be_understood_is_answered_and_the_session_goes_on(
    play: Callable[..., None], message: str | bytes, code: str, expected: str
) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "native", await open_session(server)) as socket:
            await socket.send(message)
            problem = await until(socket, "error")
            assert problem["code"] == code
            assert expected in f"{problem['message']} {problem['expected']}"
            await socket.send('{"type": "start", "sample_rate": 16000}')
            await socket.send(tone(0.2, 16_000))
            await socket.send('{"type": "end"}')
            assert (await until(socket, "speak_ended"))["played_ms"] == 200

    play(scenario)


def test_a_vendors_messages_are_spoken_and_its_interruption_is_answered_in_its_words(
    play: Callable[..., None],
) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "openai", await open_session(server)) as socket:
            delta = {
                "type": "response.output_audio.delta",
                "response_id": "r",
                "item_id": "item",
                "delta": base64.b64encode(tone(2.0)).decode(),
            }
            await socket.send(json.dumps(delta))
            await until(socket, "output_audio_buffer.started")
            await asyncio.sleep(0.4)
            await socket.send('{"type": "input_audio_buffer.speech_started"}')
            truncate = await until(socket, "conversation.item.truncate")
            assert truncate["item_id"] == "item"
            assert 200 <= truncate["audio_end_ms"] <= 900

    play(scenario)


def test_observers_hear_everything_and_say_nothing(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            path = f"/api/sessions/{presenter.session}/events"
            async with server.ws_connect(path) as observer:
                await observer.send_str("{}")
                await presenter.speak(tone(0.2), 24_000, utterance="seen")
                kinds = set()
                while "speak_ended" not in kinds:
                    kinds.add((await observer.receive_json(timeout=10))["type"])
                assert {"speak_started", "state", "stats", "error"} <= kinds

    play(scenario)


def test_the_session_ends_with_its_bot_and_the_socket_with_its_session(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            taken = await server.post("/api/sessions", json={"presenter": "default"})
            assert taken.status == 503
            response = await server.delete(f"/api/sessions/{presenter.session}")
            assert response.status == 204
            async with asyncio.timeout(5):
                async for _ in presenter:
                    pass  # it ends
            with pytest.raises(ClientError, match="ended"):
                await presenter.interrupt()
        assert await open_session(server)

    play(scenario)


def test_refusals_say_why(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        with pytest.raises(ClientError, match="nobody"):
            async with connect(address(server), "nobody"):
                pass
        with pytest.raises(ClientError, match="speech socket"):
            async with connect(address(server), session="missing"):
                pass
        with pytest.raises(ClientError, match="http"):
            async with connect("localhost:8080", session="x"):
                pass
        with pytest.raises(ClientError, match="reached"):
            async with connect("http://127.0.0.1:9"):
                pass
        session = await open_session(server)
        response = await server.get(f"/api/sessions/{session}/audio?dialect=klingon")
        assert response.status == 400
        assert "openai" in (await response.json())["error"]["message"]
        response = await server.post("/api/sessions", json={"presenter": "default", "microphone": "loud"})
        assert response.status == 400

    play(scenario)


def test_the_token_is_asked_for_and_may_be_in_a_sockets_address(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        with pytest.raises(ClientError, match="token"):
            async with connect(address(server)):
                pass
        async with connect(address(server), token="secret") as presenter:
            path = f"/api/sessions/{presenter.session}/events"
            async with server.ws_connect(f"{path}?token=secret") as observer:
                assert (await observer.receive_json(timeout=5))["type"] == "stats"
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await server.ws_connect(f"{path}?token=wrong")
            plain = await server.get("/api/presenters?token=secret")
            assert plain.status == 401, "only a socket's address may carry it"

    play(scenario, token="secret")


def test_interrupt_by_http(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak(tone(3.0), 24_000, utterance="x")
            await collect(presenter, Playback)
            response = await server.post(f"/api/sessions/{presenter.session}/interrupt")
            answer = await response.json()
            assert answer["utterance_id"] == "x"
            assert answer["played_ms"] >= 180
            assert Interrupted("x", answer["played_ms"]) in await collect(presenter, Interrupted)

    play(scenario)


def test_a_text_is_said_with_its_words(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        assert (await (await server.get("/api/voice")).json())["available"] is True
        async with connect(address(server)) as presenter:
            path = f"/api/sessions/{presenter.session}/say"
            response = await server.post(path, json={"text": "Hello there. How are you?"})
            assert response.status == 200, await response.text()
            utterance = (await response.json())["utterance_id"]
            events = await collect(presenter, SpeakEnded)
            ended = events[-1]
            assert isinstance(ended, SpeakEnded)
            assert ended.utterance == utterance
            assert 1200 < ended.played_ms < 4000
            refused = await server.post(path, json={"text": "😀"})
            assert refused.status == 400

    play(scenario)


def test_a_text_ends_with_its_session(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        session = await open_session(server)
        async with raw(server, "native", session):
            said = {"text": "This goes on and on. " * 20}
            assert (await server.post(f"/api/sessions/{session}/say", json=said)).status == 200
            await asyncio.sleep(2)  # the queue is full by now: it waits
            assert (await server.delete(f"/api/sessions/{session}")).status == 204
        await asyncio.sleep(0.2)
        assert not [task for task in asyncio.all_tasks() if "TextSpeaker" in repr(task.get_coro())]

    play(scenario, max_speech_s=2)
