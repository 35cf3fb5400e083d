"""The speech socket: a voice bot's websocket, in any dialect, becomes speech of a session.

The shell around `stream.dialects`: it reads without ever blocking, puts what it reads into the session's queue, and
writes what happens. A message that can't be understood or does not fit is answered with an error that says what was
expected; the session goes on.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from presenter.server.session_host import SessionHost
from stream.errors import StreamError
from stream.media import VOICE_RATE
from stream.pcm.formats import PcmDecoder
from stream.playout.speech import SpeechFullError
from stream.wire import (
    Codec,
    Credit,
    EventIn,
    EventOut,
    Interrupt,
    Interrupted,
    KeepAlive,
    Listening,
    Mark,
    Playback,
    Problem,
    Ready,
    SpeakEnded,
    SpeechAudio,
    SpeechEnd,
    SpeechStart,
    Stats,
    WireError,
    Words,
)

HEARTBEAT_S = 20.0
"""A socket that does not answer pings for this long is closed."""
HARD_LIMIT_BYTES = 8 << 20
"""A longer message ends the connection; one that only its dialect finds too long is answered with an error."""
STATS_INTERVAL_S = 1.0

_BACKLOG_EVENTS = 1000  # a client that is this far behind does not read
_log = logging.getLogger(__name__)


class CommandHandler:
    """What the events of one bot do to a session. No I/O."""

    def __init__(self, session: Session) -> None:
        """Begin with no sound received."""
        self._session = session
        self.received_ms = 0.0
        """Audio that has arrived, whatever became of it."""
        self._decoder: PcmDecoder | None = None
        self._utterance: str | None = None
        self._unnamed: str | None = None  # what is being said where the dialect has no names

    def take(self, event: EventIn) -> None:
        """Act on one event.

        Raises:
            SpeechFullError: if sound does not fit; nothing of it is kept.
            StreamError: if the sound can't be used.
        """
        session = self._session
        match event:
            case SpeechStart(utterance):
                session.begin(utterance)
                self._decoder, self._utterance = None, utterance
            case SpeechAudio():
                self._speak(event)
            case SpeechEnd(utterance):
                session.end(utterance or self._utterance)
                self._unnamed = None
            case Interrupt(utterance):
                session.interrupt(utterance)
            case Mark(name):
                session.mark(name)
            case Words(utterance, words):
                session.add_words(words, utterance or self._utterance)
            case Listening(on):
                session.bot_listens = on
            case KeepAlive():
                pass

    def begin_anew(self) -> None:
        """Note an interrupt: sound without a name is something new from now on."""
        self._unnamed = None

    def _speak(self, event: SpeechAudio) -> None:
        if event.utterance is None and self._unnamed is None:
            self._unnamed = f"speech-{secrets.token_hex(4)}"  # another bot's, or a text, may be under way
        name = event.utterance or self._unnamed
        if self._decoder is None or self._decoder.format != event.format or self._utterance != name:
            self._decoder, self._utterance = PcmDecoder(event.format), name
        pcm = self._decoder.push(event.data)
        self.received_ms += 1000 * len(pcm) / event.format.rate
        self._session.push(pcm, event.format.rate, name)


class _EventWriter:
    """Events on their way to one client."""

    def __init__(self, codec: Codec, socket: web.WebSocketResponse, session: Session, commands: CommandHandler) -> None:
        self._codec = codec
        self._socket = socket
        self._session = session
        self._intake = commands
        self._events: asyncio.Queue[EventOut] = asyncio.Queue(_BACKLOG_EVENTS)
        self.overflowed = asyncio.Event()

    def put(self, event: SessionEvent) -> None:
        """Queue an event that clients know; with each report of progress goes the credit."""
        if not isinstance(event, EventOut):
            return
        if isinstance(event, Interrupted):
            self._intake.begin_anew()
        try:
            self._events.put_nowait(event)
            if isinstance(event, Playback | SpeakEnded | Interrupted):
                self._events.put_nowait(self.credit())
        except asyncio.QueueFull:
            self.overflowed.set()

    def credit(self) -> Credit:
        """Return how much more fits."""
        session = self._session
        return Credit(int(session.free_ms), round(session.buffered_ms), int(self._intake.received_ms))

    async def write(self) -> None:
        """Send until cancelled."""
        while True:
            event = await self._events.get()
            for message in self._codec.encode(event):
                if isinstance(message, str):
                    await self._socket.send_str(message)
                else:
                    await self._socket.send_bytes(message)

    async def report(self) -> None:
        """Queue figures and credit every second, until cancelled."""
        while True:
            self.put(Stats(_flat(self._session.stats())))
            self.put(self.credit())
            await asyncio.sleep(STATS_INTERVAL_S)


async def serve_bot(request: web.Request, host: SessionHost, session_id: str, codec: Codec) -> web.WebSocketResponse:
    """Let a bot speak until it leaves or the session ends."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=HARD_LIMIT_BYTES)
    await socket.prepare(request)
    with host.bot() as session:
        commands = CommandHandler(session)
        events = _EventWriter(codec, socket, session, commands)
        events.put(Ready(session_id, VOICE_RATE, int(session.free_ms)))
        await _serve(socket, host, events, _read(socket, codec, commands, events))
    return socket


async def serve_observer(request: web.Request, host: SessionHost, codec: Codec) -> web.WebSocketResponse:
    """Tell somebody what happens in a session until they leave or it ends; whatever they say is refused."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=HARD_LIMIT_BYTES)
    await socket.prepare(request)
    events = _EventWriter(codec, socket, host.session, CommandHandler(host.session))
    await _serve(socket, host, events, _refuse(socket, events))
    return socket


async def _serve(
    socket: web.WebSocketResponse, host: SessionHost, events: _EventWriter, reading: Coroutine[Any, Any, None]
) -> None:
    """Read and write until one side is done with the other."""
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


async def _read(socket: web.WebSocketResponse, codec: Codec, commands: CommandHandler, events: _EventWriter) -> None:
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            break
        try:
            for event in codec.decode(message.data):
                commands.take(event)
        except WireError as error:
            events.put(Problem(error.code, error.message, error.expected))
        except SpeechFullError as error:
            events.put(Problem("buffer_full", str(error), "no more than the credit allows; wait for more of it"))
            events.put(events.credit())
        except StreamError as error:
            events.put(Problem("bad_audio", str(error)))


async def _refuse(socket: web.WebSocketResponse, events: _EventWriter) -> None:
    async for _ in socket:
        events.put(Problem("read_only", "this socket only tells what happens", "nothing to be sent here"))


def _flat(figures: dict[str, Any]) -> dict[str, Any]:
    """Return nested figures as `outer_inner`, without the message's own type."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": figure for inner, figure in value.items()}
        elif name != "type":
            flat[name] = value
    return flat
