"""Sends a session's events to one client of the speech socket, in the client's dialect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from stream.wire import Codec, Credit, EventOut, Interrupted, Playback, Problem, SpeakEnded, Stats

STATS_INTERVAL_S = 1.0

_MAX_EVENTS = 1000
"""Bound of the queue of events for a client. A client this far behind does not read: its connection is closed."""
_PAUSE_EVENTS = 100
"""With more events than this queued, no more messages are read from the client that causes them."""


class EventWriter:
    """A bounded queue of events, and the task that sends them."""

    def __init__(
        self, codec: Codec, socket: web.WebSocketResponse, session: Session, received_ms: Callable[[], float]
    ) -> None:
        """Begin with an empty queue.

        Args:
            codec: the client's dialect.
            socket: where the messages are sent.
            session: whose credit and figures are reported.
            received_ms: audio that has arrived on this connection so far, in ms.
        """
        self._codec = codec
        self._socket = socket
        self._session = session
        self._received_ms = received_ms
        self._events: deque[EventOut] = deque()
        self._added = asyncio.Event()
        self._sent = asyncio.Event()
        self._held: list[SessionEvent] | None = None
        self._refused: Problem | None = None  # the latest
        self._refused_until = 0.0  # when an equal one is reported again
        self._repeats = 0  # equal ones since then, not reported yet
        self.overflowed = asyncio.Event()
        """Set when the client has not read for so long that events were dropped."""

    def put(self, event: SessionEvent) -> None:
        """Queue an event for the client; the credit follows each report of progress."""
        if self._held is not None:
            self._held.append(event)
        elif isinstance(event, EventOut):
            self._queue(event)
            if isinstance(event, Playback | SpeakEnded | Interrupted):
                self._queue(self.credit())

    def refuse(self, problem: Problem) -> None:
        """Queue the answer to a message that was refused; repeated ones are counted and reported once a second."""
        now = asyncio.get_running_loop().time()
        if problem == self._refused and now < self._refused_until:
            self._repeats += 1
            return
        self._tell_repeats()
        self._refused, self._refused_until = problem, now + STATS_INTERVAL_S
        self._queue(problem)

    def _tell_repeats(self) -> None:
        if self._refused is not None and self._repeats:
            self._queue(replace(self._refused, count=self._repeats))
            self._repeats = 0

    def answer_interrupt(self, interrupt: Callable[[], Interrupted], request_id: str | None) -> None:
        """Interrupt, and add the request's id to the one event that answers it.

        Args:
            interrupt: interrupts the session, which reports all that it interrupts before this returns.
            request_id: the client's, or None if it did not give one.
        """
        self._held = []
        try:
            answer = interrupt()
        finally:
            held, self._held = self._held, None
        for event in held:
            self.put(replace(answer, request_id=request_id) if event == answer else event)

    def credit(self) -> Credit:
        """Return how much more fits."""
        session = self._session
        return Credit(int(session.free_ms), round(session.buffered_ms), int(self._received_ms()))

    async def drained(self) -> None:
        """Wait while the client is behind in reading; lets other tasks run in any case."""
        await asyncio.sleep(0)
        while len(self._events) > _PAUSE_EVENTS:
            self._sent.clear()
            await self._sent.wait()

    async def write(self) -> None:
        """Send until cancelled."""
        while True:
            while self._events:
                for message in self._codec.encode(self._events.popleft()):
                    if isinstance(message, str):
                        await self._socket.send_str(message)
                    else:
                        await self._socket.send_bytes(message)
                self._sent.set()
            self._added.clear()
            await self._added.wait()

    async def report(self) -> None:
        """Queue figures and credit every second, until cancelled."""
        while True:
            self._tell_repeats()
            self.put(Stats(_flat(self._session.stats())))
            self.put(self.credit())
            await asyncio.sleep(STATS_INTERVAL_S)

    def _queue(self, event: EventOut) -> None:
        if len(self._events) >= _MAX_EVENTS:
            self.overflowed.set()
            return
        self._events.append(event)
        self._added.set()


def _flat(figures: dict[str, Any]) -> dict[str, Any]:
    """Return nested figures as `outer_inner`, without the message's own type."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{inner}": figure for inner, figure in value.items()}
        elif name != "type":
            flat[name] = value
    return flat
