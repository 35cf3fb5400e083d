"""The speech socket: a voice bot's websocket, in any dialect, feeds speech to a session.

The I/O around `stream.dialects`: messages are decoded and applied to the session, and its events are sent back. A
message that is invalid or does not fit is answered with an error that states what was expected; the session continues.
Reading pauses only while the client is behind in reading the answers to its own messages.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from presenter.server.client_masking import require_masking
from presenter.server.event_writer import EventWriter
from presenter.server.session_host import SessionHost
from stream.errors import StreamError
from stream.media import PLAYOUT_RATE
from stream.pcm.formats import AudioFormat
from stream.pcm.speech_decoder import SpeechDecoder
from stream.playout.speech import SpeechFullError
from stream.wire import (
    Codec,
    EventIn,
    Interrupt,
    Interrupted,
    KeepAlive,
    Listening,
    Mark,
    Problem,
    Ready,
    SpeechAudio,
    SpeechEnd,
    SpeechStart,
    WireError,
    Words,
)

HEARTBEAT_S = 20.0
"""A socket that does not answer pings for this long is closed."""
HARD_LIMIT_BYTES = 8 << 20
"""A longer message ends the connection; one that exceeds only its dialect's limit is answered with an error."""

_DECODERS = 16  # utterances that are sent at the same time
_log = logging.getLogger(__name__)


class CommandHandler:
    """Applies the events of one bot to a session. No I/O."""

    def __init__(self, session: Session) -> None:
        """Begin with no audio received."""
        self._session = session
        self.received_ms = 0.0
        """Audio that has arrived, dropped audio included."""
        self._decoders: dict[str, SpeechDecoder] = {}
        self._utterance: str | None = None
        self._begun: str | None = None  # an utterance that has begun and has no audio yet
        self._unnamed: str | None = None  # generated name of the open utterance, where the dialect has no names

    def take(self, event: EventIn) -> None:
        """Apply one event.

        Raises:
            SpeechFullError: if audio does not fit; nothing of it is kept.
            StreamError: if the audio is invalid.
        """
        session = self._session
        match event:
            case SpeechStart(utterance):
                self._decoders.pop(utterance, None)
                self._begun = utterance
                session.begin(utterance)
            case SpeechAudio():
                self._speak(event)
            case SpeechEnd(utterance):
                self._end(utterance or self._utterance)
            case Interrupt(utterance):
                self.interrupt(utterance)
            case Mark(name):
                session.mark(name)
            case Words(utterance, words):
                session.add_words(words, utterance or self._utterance)
            case Listening(on):
                session.bot_listens = on
            case KeepAlive():
                pass

    def interrupt(self, utterance: str | None) -> Interrupted:
        """Interrupt the session; audio without a name belongs to a new utterance from now on."""
        begun, self._begun = self._begun, None
        self._unnamed = None
        if utterance is None and begun is not None:
            self._session.interrupt(begun)  # its audio is in transit
        return self._session.interrupt(utterance)

    def follow(self, event: SessionEvent) -> None:
        """Note an interrupt from any source: audio without a name belongs to a new utterance from now on."""
        if isinstance(event, Interrupted) and event.utterance in (None, self._unnamed):
            self._unnamed = None

    def _speak(self, event: SpeechAudio) -> None:
        if event.utterance is None and self._unnamed is None:
            self._unnamed = f"speech-{secrets.token_hex(4)}"  # another bot or a text may be speaking
        self._utterance = name = event.utterance or self._unnamed or ""
        if name == self._begun:
            self._begun = None
        decoder = self._decoder(name, event.format)
        self.received_ms += 1000 * len(event.data) / event.format.bytes_per_second
        pcm = decoder.push(event.data)
        self._session.push(pcm, decoder.rate, name)

    def _decoder(self, utterance: str, announced: AudioFormat) -> SpeechDecoder:
        decoder = self._decoders.get(utterance)
        if decoder is None or decoder.announced != announced:
            self._decoders[utterance] = decoder = SpeechDecoder(announced)
            if len(self._decoders) > _DECODERS:
                del self._decoders[next(iter(self._decoders))]
        return decoder

    def _end(self, utterance: str | None) -> None:
        self._unnamed = None
        decoder = self._decoders.pop(utterance or "", None)
        if decoder is not None and len(pcm := decoder.flush()):
            self._session.push(pcm, decoder.rate, utterance)
        self._session.end(utterance)


Connect = Callable[[web.WebSocketResponse], Awaitable[bool]]


async def serve_bot(
    request: web.Request, host: SessionHost, session_id: str, codec: Codec, connect: Connect | None = None
) -> web.WebSocketResponse:
    """Serve a bot until it leaves or the session ends.

    Args:
        request: the websocket's handshake.
        host: the session's.
        session_id: sent to the bot.
        codec: the bot's dialect.
        connect: exchanges messages with the bot before its speech begins, and returns whether it may.
    """
    with host.bot() as session:  # a bot beyond the limit is refused before the upgrade
        socket = await _accept(request)
        if connect is not None and not await connect(socket):
            await socket.close(code=WSCloseCode.POLICY_VIOLATION)
            return socket
        commands = CommandHandler(session)
        events = EventWriter(codec, socket, session, lambda: commands.received_ms)
        events.put(Ready(session_id, PLAYOUT_RATE, int(session.free_ms)))
        unsubscribe = session.subscribe(commands.follow)
        try:
            await _serve(socket, host, events, _read(socket, codec, commands, events))
        finally:
            unsubscribe()
    return socket


async def serve_observer(request: web.Request, host: SessionHost, codec: Codec) -> web.WebSocketResponse:
    """Send a session's events to a client until it leaves or the session ends; its messages are refused."""
    socket = await _accept(request)
    events = EventWriter(codec, socket, host.session, lambda: 0.0)
    await _serve(socket, host, events, _refuse(socket, events))
    return socket


async def _accept(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=HARD_LIMIT_BYTES)
    await socket.prepare(request)
    require_masking(request)
    return socket


async def _serve(
    socket: web.WebSocketResponse, host: SessionHost, events: EventWriter, reading: Coroutine[Any, Any, None]
) -> None:
    """Read and write until either side closes, or the client stops reading."""
    unsubscribe = host.session.subscribe(events.put)
    works = (reading, events.write(), events.report(), events.overflowed.wait(), host.closing.wait())
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        unsubscribe()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionError):
                _log.error("a speech socket failed", exc_info=outcome)
        code = WSCloseCode.TRY_AGAIN_LATER if events.overflowed.is_set() else WSCloseCode.GOING_AWAY
        await socket.close(code=code, message=b"this client does not read" if events.overflowed.is_set() else b"")


async def _read(socket: web.WebSocketResponse, codec: Codec, commands: CommandHandler, events: EventWriter) -> None:
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            break
        try:
            for event in codec.decode(message.data):
                if isinstance(event, Interrupt):
                    events.answer_interrupt(partial(commands.interrupt, event.utterance), event.request_id)
                else:
                    commands.take(event)
        except WireError as error:
            events.refuse(Problem(error.code, error.message, error.expected))
        except SpeechFullError as error:
            events.refuse(Problem("buffer_full", str(error), "no more than the credit allows; wait for more of it"))
            events.put(events.credit())
        except StreamError as error:
            events.refuse(Problem("bad_audio", str(error)))
        await events.drained()


async def _refuse(socket: web.WebSocketResponse, events: EventWriter) -> None:
    async for _ in socket:
        events.refuse(Problem("read_only", "this socket only sends events", "no message"))
        await events.drained()
