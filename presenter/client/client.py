"""A client for voice bots: open a session, speak, follow the playback, interrupt.

    async with connect("http://localhost:8080") as presenter:
        print("watch at", presenter.viewer_url)
        await presenter.speak(pcm, sample_rate=24_000)
        async for event in presenter:
            if isinstance(event, SpeakEnded):
                break

It uses the native dialect (`stream.dialects.native`) over `websockets`, and of this package only the types. Audio may
be sent faster than real time: `speak` waits while the server's buffer is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any
from urllib.parse import quote

import websockets

from presenter.client.http import TIMEOUT_S, ClientError, request, socket_address
from stream.dialects.native import EVENT_TYPES
from stream.pcm.formats import AudioFormat
from stream.wire import Credit, EventOut, Interrupted, Playback, Ready, Stats, Word

__all__ = ["ClientError", "PresenterClient", "connect"]

_PIECE_MS = 200  # of one message: less than any server's buffer
_MAX_EVENTS = 1000
_KINDS = {name: kind for kind, name in EVENT_TYPES.items()}


@asynccontextmanager
async def connect(
    url: str,
    presenter: str = "default",
    *,
    token: str | None = None,
    session: str | None = None,
    microphone: str = "off",
) -> AsyncIterator[PresenterClient]:
    """Open a session and its speech socket; both are closed at the end of the block.

    Args:
        url: the server, such as `http://localhost:8080`.
        presenter: the presenter's name.
        token: the server's token, if it has one.
        session: id of a session that is open already; it is left open.
        microphone: use of the microphone of the session's page: "voice", "interrupt" or "off".

    Raises:
        ClientError: if the server can't be reached or refuses.
    """
    base = url.rstrip("/")
    opened = session
    if opened is None:
        body = {"presenter": presenter, "microphone": microphone}
        opened = (await request("POST", f"{base}/api/sessions", token, body))["id"]
    try:
        address = f"{socket_address(base)}/api/sessions/{quote(opened)}/audio?dialect=native"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            socket = await websockets.connect(address, additional_headers=headers, max_size=None)
        except (OSError, websockets.WebSocketException) as error:
            raise ClientError(f"{address}: expected a speech socket, got: {error}") from error
        async with socket:
            client = PresenterClient(base, opened, socket)
            try:
                yield client
            finally:
                await client.aclose()
    finally:
        if session is None:
            # The server also ends it by itself; and an error of the block matters more than this one.
            with contextlib.suppress(ClientError):
                await request("DELETE", f"{base}/api/sessions/{quote(opened)}", token, None)


class PresenterClient:
    """One connected bot; made by `connect`. Iterate over it for events, from the first on."""

    def __init__(self, base: str, session: str, socket: websockets.ClientConnection) -> None:
        """Read from an open socket."""
        self.session = session
        """Id of the session, also for viewers."""
        self.viewer_url = f"{base}/embed?session={quote(session)}"
        """A page that shows the presenter, to be opened or embedded."""
        self._socket = socket
        self._events: asyncio.Queue[EventOut | None] = asyncio.Queue()
        self._interrupts: dict[str, asyncio.Future[Interrupted]] = {}  # by the request's id
        self._granted_ms = self._sent_ms = 0.0
        self._saying: str | None = None  # the utterance being sent, until it is interrupted
        self._credit = asyncio.Condition()
        self._error: ClientError | None = None
        self._speaking = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())

    async def speak(
        self,
        audio: bytes | Iterable[bytes] | AsyncIterable[bytes],
        sample_rate: int,
        *,
        channels: int = 1,
        encoding: str = "pcm_s16le",
        utterance: str | None = None,
        words: Iterable[Word] = (),
    ) -> bool:
        """Send one utterance; returns when all of it is in the server's buffer, usually long before it is played.

        Args:
            audio: samples, at once or as an iterable, cut anywhere.
            sample_rate: 8000..48000 Hz.
            channels: 1, or 2 interleaved.
            encoding: `pcm_s16le` or `mulaw`.
            utterance: an id that events carry; generated when None.
            words: the words with their times, for captions.

        Returns:
            False if the utterance was interrupted while it was sent, by this client or another; the rest was not sent.

        Raises:
            ClientError: if the session ends meanwhile.
            StreamError: if the format is not supported.
        """
        audio_format = AudioFormat(sample_rate, channels, encoding)
        start = {"type": "start", "sample_rate": sample_rate, "channels": channels, "format": encoding}
        async with self._speaking:
            self._saying = utterance or f"speech-{secrets.token_hex(4)}"
            await self._send(start | {"utterance_id": self._saying})
            timed = [{"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms} for word in words]
            async for piece in _pieces(audio, max(1, audio_format.bytes_per_second * _PIECE_MS // 1000)):
                await self._reserve(1000 * len(piece) / audio_format.bytes_per_second)
                if self._saying is None:
                    return False
                await self._send(piece)
                if timed:
                    await self._send({"type": "words", "words": timed})
                    timed = []
            if self._saying is not None:
                await self._send({"type": "end"})
            return self._saying is not None

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` once all audio sent before has been played."""
        await self._send({"type": "mark", "name": name})

    async def listening(self, on: bool) -> None:
        """Report whether the bot listens to the user; the presenter's state follows."""
        await self._send({"type": "listening", "on": on})

    async def interrupt(self, utterance: str | None = None, *, timeout_s: float = TIMEOUT_S) -> Interrupted:
        """Stop the presenter; the answer gives the position at which to cut the transcript.

        Several may be pending; each gets its own answer. Utterances queued behind the one that was playing are
        dropped too, and reported as events with 0 ms.

        Args:
            utterance: if it is playing, it and all behind it is dropped; if it waits, it alone is. None: all.
            timeout_s: how long to wait for the answer, in s.

        Returns:
            The utterance that was playing, or the one that was named, and how much of it was heard. Its name is None
            if nothing was playing or waiting.

        Raises:
            ClientError: if the session ends, or the server does not answer in time.
        """
        request_id = secrets.token_hex(8)
        answer: asyncio.Future[Interrupted] = asyncio.get_running_loop().create_future()
        self._interrupts[request_id] = answer
        named = {} if utterance is None else {"utterance_id": utterance}
        try:
            await self._stop_sending(utterance)
            await self._send({"type": "interrupt", "request_id": request_id, **named})
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError as error:
            raise ClientError(f"expected an answer to the interrupt within {timeout_s:g} s, got none") from error
        finally:
            del self._interrupts[request_id]

    def __aiter__(self) -> AsyncIterator[EventOut]:
        """Iterate over the server's events; ends with the session."""
        return self

    async def __anext__(self) -> EventOut:
        """Wait for the next event."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop reading; safe twice."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                await self._take(_event(json.loads(message)))
        except websockets.ConnectionClosed:
            pass
        finally:
            self._error = ClientError("the session has ended")
            self._events.put_nowait(None)
            for answer in self._interrupts.values():
                if not answer.done():
                    answer.set_exception(self._error)
            async with self._credit:
                self._credit.notify_all()

    async def _take(self, event: EventOut | None) -> None:
        if event is None:
            return
        if isinstance(event, Ready | Credit):
            async with self._credit:
                free_ms = event.credit_ms if isinstance(event, Ready) else event.received_ms + event.free_ms
                self._granted_ms = float(free_ms)
                self._credit.notify_all()
        elif isinstance(event, Interrupted):
            await self._interrupted(event)
        # Without a reader of events, memory must not grow with them.
        if not isinstance(event, Stats | Playback | Credit) or self._events.qsize() < _MAX_EVENTS:
            self._events.put_nowait(event)

    async def _interrupted(self, event: Interrupted) -> None:
        if event.request_id is None:
            if event.utterance is not None:
                await self._stop_sending(event.utterance)
        elif (answer := self._interrupts.get(event.request_id)) is not None and not answer.done():
            answer.set_result(event)

    async def _stop_sending(self, utterance: str | None) -> None:
        """Send no more of an utterance, or of any; `speak` returns then."""
        async with self._credit:
            if utterance in (None, self._saying):
                self._saying = None
            self._credit.notify_all()

    async def _reserve(self, length_ms: float) -> None:
        """Wait until a piece fits into the server's buffer, or its utterance was interrupted."""

        def settled() -> bool:
            return bool(self._error) or self._saying is None or self._sent_ms + length_ms <= self._granted_ms

        async with self._credit:
            await self._credit.wait_for(settled)
        if self._saying is not None:
            self._sent_ms += length_ms

    async def _send(self, message: dict[str, Any] | bytes) -> None:
        if self._error is not None:
            raise self._error
        try:
            await self._socket.send(message if isinstance(message, bytes) else json.dumps(message))
        except websockets.ConnectionClosed as error:
            raise ClientError("the session has ended") from error


async def _pieces(audio: bytes | Iterable[bytes] | AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield audio in messages of at most `size` bytes."""
    async for piece in _each(audio):
        for at in range(0, len(piece), size):
            yield piece[at : at + size]


async def _each(audio: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    if isinstance(audio, AsyncIterable):
        async for piece in audio:
            yield piece
    else:
        for piece in [audio] if isinstance(audio, bytes) else audio:
            yield piece


def _event(message: dict[str, Any]) -> EventOut | None:
    """Return a server's message as an event; None for an unknown type, of a later version."""
    kind = _KINDS.get(message.pop("type"))
    if kind is None:
        return None
    if "utterance_id" in message:
        message["utterance"] = message.pop("utterance_id")
    known = {field.name for field in fields(kind)}  # a later version may send more
    event: EventOut = kind(**{name: value for name, value in message.items() if name in known})
    return event
