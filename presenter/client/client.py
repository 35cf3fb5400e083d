"""A client for voice bots: open a session, speak, follow what is heard, interrupt.

    async with connect("http://localhost:8080") as presenter:
        print("watch at", presenter.viewer_url)
        await presenter.speak(pcm, sample_rate=24_000)
        async for event in presenter:
            if isinstance(event, SpeakEnded):
                break

It speaks the native dialect (`stream.dialects.native`) over `websockets`, and needs nothing else of this package but
its types. Audio may be given faster than it is said: `speak` waits where the server's buffer is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import deque
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
    """Open a session and its speech socket; both end with the block.

    Args:
        url: the server, such as `http://localhost:8080`.
        presenter: who is to speak.
        token: what the server was started with, if it asks for one.
        session: id of a session that somebody else has opened; it is left open.
        microphone: what the microphone of the session's page is for: "voice", "interrupt" or "off".

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
            # It ends by itself as well; and what ended the block matters more.
            with contextlib.suppress(ClientError):
                await request("DELETE", f"{base}/api/sessions/{quote(opened)}", token, None)


class PresenterClient:
    """One connected bot; made by `connect`. Iterate over it for events, from the first on."""

    def __init__(self, base: str, session: str, socket: websockets.ClientConnection) -> None:
        """Follow an open socket."""
        self.session = session
        """Id of the session, which is all that a viewer needs."""
        self.viewer_url = f"{base}/embed?session={quote(session)}"
        """A page that shows the presenter, to be opened or framed."""
        self._socket = socket
        self._events: asyncio.Queue[EventOut | None] = asyncio.Queue()
        self._interrupts: deque[asyncio.Future[Interrupted]] = deque()
        self._granted_ms = self._sent_ms = 0.0
        self._saying: str | None = None  # what is being sent, until somebody interrupts it
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
        """Send one utterance; returns when all of it is in the server's buffer, which may be long before it is heard.

        Args:
            audio: samples, at once or as they come, cut anywhere.
            sample_rate: 8000..48000 Hz.
            channels: 1, or 2 interleaved.
            encoding: `pcm_s16le` or `mulaw`.
            utterance: an id that comes back in events; one is made up when None.
            words: what is said when, for captions.

        Returns:
            False if it was interrupted on the way, by whomever; the rest was not sent.

        Raises:
            ClientError: if the session ends meanwhile.
            StreamError: if the format can't be used.
        """
        audio_format = AudioFormat(sample_rate, channels, encoding)
        start = {"type": "start", "sample_rate": sample_rate, "channels": channels, "format": encoding}
        async with self._speaking:
            self._saying = utterance or f"speech-{secrets.token_hex(4)}"
            await self._send(start | {"utterance_id": self._saying})
            told = [{"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms} for word in words]
            async for piece in _pieces(audio, max(1, audio_format.bytes_per_second * _PIECE_MS // 1000)):
                await self._reserve(1000 * len(piece) / audio_format.bytes_per_second)
                if self._saying is None:
                    return False
                await self._send(piece)
                if told:
                    await self._send({"type": "words", "words": told})
                    told = []
            if self._saying is not None:
                await self._send({"type": "end"})
            return self._saying is not None

    async def mark(self, name: str) -> None:
        """Ask for `MarkReached` once all that was sent before has been heard."""
        await self._send({"type": "mark", "name": name})

    async def listening(self, on: bool) -> None:
        """Say that the bot listens to the user now, or has stopped; the presenter's state follows."""
        await self._send({"type": "listening", "on": on})

    async def interrupt(self) -> Interrupted:
        """Silence the presenter; tells what was being said and how much of it was heard, to cut the transcript there.

        Raises:
            ClientError: if the session ends, or the server does not answer.
        """
        answer: asyncio.Future[Interrupted] = asyncio.get_running_loop().create_future()
        self._interrupts.append(answer)
        await self._send({"type": "interrupt"})
        try:
            return await asyncio.wait_for(answer, TIMEOUT_S)
        except TimeoutError as error:
            raise ClientError("expected an answer to the interrupt, got none") from error

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
        """Stop following; safe twice."""
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
            for answer in self._interrupts:
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
            await self._cut(event)
        # Who never reads events must not pay for that with memory.
        if not isinstance(event, Stats | Playback | Credit) or self._events.qsize() < _MAX_EVENTS:
            self._events.put_nowait(event)

    async def _cut(self, event: Interrupted) -> None:
        if self._interrupts and not (answer := self._interrupts.popleft()).done():
            answer.set_result(event)
        async with self._credit:
            if event.utterance == self._saying:
                self._saying = None
            self._credit.notify_all()

    async def _reserve(self, length_ms: float) -> None:
        """Wait until a piece fits into the server's buffer, or is not wanted any more."""

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
    """Return a server's message as an event; None for a kind of a later version."""
    kind = _KINDS.get(message.pop("type"))
    if kind is None:
        return None
    if "utterance_id" in message:
        message["utterance"] = message.pop("utterance_id")
    known = {field.name for field in fields(kind)}  # a later version may say more
    event: EventOut = kind(**{name: value for name, value in message.items() if name in known})
    return event
