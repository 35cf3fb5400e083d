"""The speech socket, the client and the routes around them: a real server, real websockets, real WebRTC viewers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import numpy as np
import pytest
import websockets
from aiohttp.test_utils import TestClient

from presenter.client.client import ClientError, connect
from presenter.server.app_keys import SESSIONS
from stream.media import AudioChunk
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

pytestmark = pytest.mark.usefixtures("light_rendering")
Server = TestClient[Any, Any]
Scenario = Callable[[Server], Awaitable[None]]


@pytest.fixture
def play(serve: Callable[..., None]) -> Callable[..., None]:
    return partial(serve, within_s=60)


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


def test_bots_are_limited(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        path = f"/api/sessions/{await open_session(server)}/audio"
        first = await server.ws_connect(path)
        await server.ws_connect(path)
        refused = await server.get(path, headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        error = (await refused.json())["error"]
        assert (refused.status, error["code"]) == (503, "capacity")
        assert "server.max_bots" in error["message"]
        await first.close()
        async with asyncio.timeout(5):
            while True:
                try:
                    await server.ws_connect(path)
                    break
                except aiohttp.WSServerHandshakeError:  # the server has not noticed yet that the first has left
                    await asyncio.sleep(0.05)

    play(scenario, max_bots=2)


def test_observers_are_limited(play: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presenter.server.session_host.MAX_OBSERVERS", 2)

    async def scenario(server: Server) -> None:
        path = f"/api/sessions/{await open_session(server)}/events"
        for _ in range(2):
            await server.ws_connect(path)
        refused = await server.get(path, headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "capacity")

    play(scenario)


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
            assert interrupted.utterance == "a"
            assert interrupted.played_ms >= 180
            told = await collect(presenter, Interrupted)
            told += await collect(presenter, Interrupted)
            assert of(told, Interrupted) == [Interrupted("b", 0), interrupted]
            await presenter.speak(tone(0.3), 24_000, utterance="a")
            assert (await collect(presenter, SpeakEnded))[-1] == SpeakEnded("a", 300)

    play(scenario)


def test_interrupts_in_flight_get_their_own_answers(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            for name in "abcd":
                await presenter.speak(tone(2.0), 24_000, utterance=name)
            await collect(presenter, Playback)
            waiting, playing, nothing = await asyncio.gather(
                presenter.interrupt("c"), presenter.interrupt("a"), presenter.interrupt()
            )
            assert (waiting.utterance, waiting.played_ms) == ("c", 0)
            assert playing.utterance == "a"
            assert playing.played_ms >= 180
            assert (nothing.utterance, nothing.played_ms) == (None, 0)
            assert len({answer.request_id for answer in (waiting, playing, nothing)}) == 3
            told = [event for _ in range(5) for event in await collect(presenter, Interrupted)]
            assert of(told, Interrupted) == [waiting, Interrupted("b", 0), Interrupted("d", 0), playing, nothing]

    play(scenario)


def test_an_interrupt_by_somebody_else_is_no_answer(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            session = presenter.session
            async with connect(address(server), session=session) as other:
                await presenter.speak(tone(3.0), 24_000, utterance="a")
                await presenter.speak(tone(3.0), 24_000, utterance="b")
                await collect(presenter, Playback)
                by_name, by_http = await asyncio.gather(
                    other.interrupt("b"), server.post(f"/api/sessions/{session}/interrupt")
                )
                assert (by_name.utterance, by_name.played_ms) == ("b", 0)
                answer = await by_http.json()
                assert answer["utterance_id"] == "a"
                assert answer["played_ms"] >= 180
                assert (await presenter.interrupt()).utterance is None
                told = [event for _ in range(3) for event in await collect(presenter, Interrupted)]
                assert Interrupted("b", 0) in told, "the request's id is told only to who asked"
                assert Interrupted("a", answer["played_ms"]) in told

    play(scenario)


def test_an_utterance_is_interrupted_before_its_audio_arrives(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "native", await open_session(server)) as socket:
            for name in ("playing", "begun"):
                await socket.send(f'{{"type": "start", "sample_rate": 24000, "utterance_id": "{name}"}}')
                if name == "playing":
                    await socket.send(tone(3.0))
                    await until(socket, "playback")
            await socket.send('{"type": "interrupt", "request_id": "r"}')
            await socket.send(tone(0.5))
            assert (await until(socket, "interrupted"))["utterance_id"] == "begun"
            answer = await until(socket, "interrupted")
            assert (answer["utterance_id"], answer["request_id"]) == ("playing", "r")
            await socket.send('{"type": "start", "sample_rate": 24000, "utterance_id": "next"}')
            await socket.send(tone(0.2))
            assert (await until(socket, "speak_started"))["utterance_id"] == "next"

    play(scenario)


def test_a_barge_in_is_no_answer(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak(tone(5.0), 24_000, utterance="a")
            await collect(presenter, Playback)
            assert server.app is not None
            session = server.app[SESSIONS].host(presenter.session).session
            session.listen(microphone(buzz()), "interrupt")
            cut = (await collect(presenter, Interrupted))[-1]
            assert isinstance(cut, Interrupted)
            assert (cut.utterance, cut.request_id) == ("a", None)
            await presenter.speak(tone(5.0), 24_000, utterance="b")
            await collect(presenter, Playback)
            asking = asyncio.create_task(presenter.interrupt())
            while not presenter._interrupts:  # noqa: ASYNC110
                await asyncio.sleep(0)
            before = session.interrupt()  # as the microphone does, before the request has arrived
            answer = await asking
            assert before.utterance == "b"
            assert (answer.utterance, answer.played_ms) == (None, 0)
            told = [event for _ in range(2) for event in await collect(presenter, Interrupted)]
            assert of(told, Interrupted) == [before, answer]

    play(scenario)


async def microphone(audio: np.ndarray) -> AsyncIterator[AudioChunk]:
    """Says a second of voice at 16 kHz in real time."""
    for k in range(25):
        pcm = audio[k * 640 : (k + 1) * 640].astype(np.float32)
        yield AudioChunk(pcm, (np.repeat(pcm, 3) * 20_000).astype(np.int16), k * 640)
        await asyncio.sleep(0.04)


def buzz() -> np.ndarray:
    """A second that a voice activity detector takes for a voice: pulses through two formants."""
    t = np.arange(16_000) / 16_000
    ring = np.exp(-t[:800] * 90) * (np.sin(2 * np.pi * 700 * t[:800]) + 0.6 * np.sin(2 * np.pi * 1200 * t[:800]))
    pulses = np.zeros(16_000)
    pulses[::128] = 1
    whole = np.convolve(pulses, ring)[:16_000] * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    return 0.4 * whole / np.abs(whole).max()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with connect(address(server)) as presenter:
            await presenter.speak(tone(3.0), 24_000, utterance="a")
            await collect(presenter, Playback)
            with pytest.raises(ClientError, match="within 0 s"):
                await presenter.interrupt(timeout_s=0)
            await presenter.speak(tone(3.0), 24_000, utterance="b")
            await collect(presenter, SpeakStarted)
            await collect(presenter, Playback)
            assert (await presenter.interrupt()).utterance == "b"

    play(scenario)


def test_an_answer_carries_the_id_of_its_request(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "native", await open_session(server)) as socket:
            await socket.send('{"type": "start", "sample_rate": 24000, "utterance_id": "a"}')
            await socket.send(tone(3.0))
            await until(socket, "playback")
            await socket.send('{"type": "interrupt", "request_id": "r1"}')
            answer = await until(socket, "interrupted")
            assert (answer["utterance_id"], answer["request_id"]) == ("a", "r1")
            await socket.send('{"type": "interrupt"}')
            assert await until(socket, "interrupted") == {
                "type": "interrupted",
                "utterance_id": None,
                "played_ms": 0,
            }

    play(scenario)


@pytest.mark.parametrize("message", ['{"type": "x%d"}', '{"type": "mark", "name": "m%d"}'])
def test_a_burst_does_not_count_as_a_client_that_does_not_read(play: Callable[..., None], message: str) -> None:
    async def scenario(server: Server) -> None:
        session = await open_session(server)
        events = f"/api/sessions/{session}/events"
        async with raw(server, "native", session) as socket, server.ws_connect(events) as seen:
            for k in range(4000):
                await socket.send(message % k)
            await socket.send('{"type": "start", "sample_rate": 24000}')
            await socket.send(tone(0.2))
            await socket.send('{"type": "end"}')
            answers = 0
            async with asyncio.timeout(20):
                while (told := json.loads(await socket.recv()))["type"] != "speak_ended":
                    answers += told["type"] in ("error", "mark")
            assert answers == 4000
            while (await seen.receive_json(timeout=10))["type"] != "speak_ended":
                pass

    play(scenario)


def test_equal_errors_in_a_row_are_counted(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "native", await open_session(server)) as socket:
            for _ in range(500):
                await socket.send(b"\0")
            await socket.send("{")
            told = [await until(socket, "error")]
            while told[-1]["code"] != "bad_json":
                told.append(await until(socket, "error"))
            assert sum(problem.get("count", 1) for problem in told) == 501
            assert len(told) < 10

    play(scenario)


@pytest.mark.parametrize("length", [2, 300, 70_000])
def test_a_frame_that_is_not_masked_closes_the_connection(play: Callable[..., None], length: int) -> None:
    async def scenario(server: Server) -> None:
        path = f"/api/sessions/{await open_session(server)}/audio"
        url = server.make_url(path)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = base64.b64encode(bytes(16)).decode()
        head = f"GET {path} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n{upgrade}Sec-WebSocket-Key: {key}\r\n\r\n"
        writer.write(head.encode())
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        masked = bytes([0x81, 0xFE]) + length.to_bytes(2, "big") if length < 1 << 16 else bytes([0x81, 0xFF])
        masked += length.to_bytes(8, "big") if length >= 1 << 16 else b""
        for part in (masked[:1], masked[1:3], masked[3:], bytes(4), b"{" + b" " * (length - 1)):
            writer.write(part)
            await asyncio.sleep(0.01)
        received = b""
        async with asyncio.timeout(5):
            while b"bad_json" not in received:
                received += await reader.read(65536)
            writer.write(b"\x81\x02{}")
            while data := await reader.read(65536):
                received += data
        assert received.endswith(b"\x88\x02\x03\xea")
        writer.close()

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


def as_text(audio: bytes, /, **message: str) -> str:
    """JSON whose value `AUDIO` is the audio."""
    return json.dumps(message).replace("AUDIO", base64.b64encode(audio).decode())


Wrap = Callable[[bytes], str | bytes]
IN_DIALECTS: list[tuple[str, Wrap, dict[str, Any], str, str]] = [
    ("native", bytes, {"type": "end"}, "error", "speak_ended"),
    (
        "openai",
        partial(as_text, type="response.output_audio.delta", item_id="a", delta="AUDIO"),
        {"type": "response.output_audio.done", "item_id": "a"},
        "error",
        "output_audio_buffer.stopped",
    ),
    ("elevenlabs", partial(as_text, audio="AUDIO"), {"isFinal": True}, "error", "speak_ended"),
    ("elevenlabs", bytes, {"isFinal": True}, "error", "speak_ended"),
    ("deepgram", bytes, {"type": "Flushed"}, "Warning", "speak_ended"),
    (
        "cartesia",
        partial(as_text, type="chunk", context_id="a", data="AUDIO"),
        {"type": "done", "context_id": "a"},
        "error",
        "speak_ended",
    ),
    (
        "liveavatar",
        partial(as_text, type="agent.speak", event_id="a", audio="AUDIO"),
        {"type": "agent.speak_end", "event_id": "a"},
        "error",
        "agent.speak_ended",
    ),
]
"""How each dialect sends audio and its end, and how it is told of errors and of the end of playback."""


@pytest.mark.parametrize(("dialect", "wrap", "end", "error", "ended"), IN_DIALECTS)
def test_a_wav_is_spoken_and_an_mp3_is_refused_by_name(
    play: Callable[..., None], dialect: str, wrap: Wrap, end: dict[str, Any], error: str, ended: str
) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, dialect, await open_session(server)) as socket:
            for audio in (WAV_16K + tone(0.4, 16_000), MP3):
                if dialect == "native":
                    await socket.send(b'{"type": "start", "sample_rate": 24000}')
                await socket.send(wrap(audio))
                if audio is MP3:
                    assert "got an MP3 stream" in str(await until(socket, error))
                await socket.send(json.dumps(end).encode())  # JSON as a binary message
                if audio is not MP3:
                    assert (await until(socket, ended)).get("played_ms", 400) == 400

    play(scenario)


WAV_16K = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0" + (16_000).to_bytes(4, "little")
WAV_16K += (32_000).to_bytes(4, "little") + b"\2\0\x10\0data\xff\xff\xff\xff"
MP3 = (b"\xff\xf3\x48\xc4" + bytes(140)) * 20
"""MPEG-2 layer 3 of 32 kbit/s at 16 kHz: 144 bytes a frame."""


def test_simli_speaks_a_wav_and_warns_of_an_mp3(play: Callable[..., None]) -> None:
    async def scenario(server: Server) -> None:
        async with raw(server, "simli", await open_session(server)) as socket, asyncio.timeout(15):
            await socket.send(WAV_16K + tone(0.4, 16_000))
            await socket.send("DONE")
            assert [await socket.recv() for _ in range(3)] == ["START", "SPEAK", "SILENT"]
            await socket.send(MP3)
            assert "got an MP3 stream" in str(await socket.recv())

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
            upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
            complete = upgrade | {
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
            }
            for where, headers in [("/api/presenters", upgrade), ("/api/presenters", complete), (path, upgrade)]:
                refused = await server.get(f"{where}?token=secret", headers=headers)
                assert refused.status == 401, (where, headers)

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
