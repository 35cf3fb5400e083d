"""The seats of the house: opens sessions up to a limit, connects browsers to them, clears away those who left."""

import asyncio
import contextlib
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from presenter.engine import Engine
from presenter.errors import CapacityError
from presenter.guard import ApiError
from presenter.identities import IdentityStore
from presenter.metrics import Metrics
from presenter.session import Session
from stream.clock import SessionClock
from stream.errors import StreamError
from stream.playout import Playout
from stream.tracks import Playback
from stream.webrtc import Peer, PeerConfig, PeerStats

CONNECT_TIMEOUT_S = 20.0
"""A session without a connection after this long is given up."""
SILENT_TIMEOUT_S = 20.0
"""A page that pinged before and then stopped for this long is gone (a crashed tab closes nothing)."""
STATS_INTERVAL_S = 0.25

_FAREWELL_S = 1.0  # for the last message to arrive; closing drops what the data channel still holds
_log = logging.getLogger(__name__)


class _Seat:
    """One session and the browser it belongs to."""

    def __init__(self, session: Session, peer_config: PeerConfig, metrics: Metrics) -> None:
        self.session = session
        self._metrics = metrics
        self._counted = PeerStats()  # what the metrics have of this peer's losses
        self.peer = Peer(session.playback, peer_config, on_message=self._receive)
        self.leaving = asyncio.Event()
        self.farewell = ""  # what the page is told when the server ends the session
        self._opened_at = asyncio.get_running_loop().time()
        self._pinged_at: float | None = None
        self._interrupts: set[asyncio.Task[None]] = set()
        self._used = False

    async def answer(self, offer_sdp: str) -> str:
        if self._used:
            raise ApiError(409, "already_connected", "This session has had its offer; open another one.")
        self._used = True
        try:
            sdp = await self.peer.answer(offer_sdp)
            self.session.start(self.peer.microphone())
        except BaseException as error:
            self.leaving.set()  # the one offer is spent: somebody else may have the seat at once
            if isinstance(error, StreamError):
                raise ApiError(400, "bad_offer", str(error)) from error
            raise
        return sdp

    async def serve(self) -> str:
        """Report to the page until the session is over; return why."""
        while (reason := self._over()) is None:
            self.peer.send(self._stats())
            try:
                await asyncio.wait_for(self.leaving.wait(), STATS_INTERVAL_S)
            except TimeoutError:
                continue
        return reason

    def _over(self) -> str | None:
        now = asyncio.get_running_loop().time()
        if self.leaving.is_set():
            return "closed on request" if self.peer.connected.is_set() else "closed before it connected"
        if self.peer.closed.is_set():
            return "its page left"
        if not self.peer.connected.is_set() and now - self._opened_at > CONNECT_TIMEOUT_S:
            return "it never connected"
        if self._pinged_at is not None and now - self._pinged_at > SILENT_TIMEOUT_S:
            return "its page fell silent"
        if self.session.failed:
            self.farewell = "The presenter stopped because of a fault in the server."
            return "rendering failed"
        return None

    def _stats(self) -> dict[str, Any]:
        """Return the session's figures with what the transport lost, and count that once."""
        lost, before = self.peer.stats(), self._counted
        heard, heard_before = lost.microphone, before.microphone
        self._metrics.sound_filled_ms_total += heard.filled_ms - heard_before.filled_ms
        self._metrics.sound_lost_ms_total += heard.dropped_ms - heard_before.dropped_ms
        self._metrics.sound_lost_ms_total += lost.voice_dropped_ms - before.voice_dropped_ms
        self._metrics.frames_dropped_total += lost.frames_dropped - before.frames_dropped
        self._counted = lost
        figures = self.session.stats()
        figures["lost_ms"] = round(figures["lost_ms"] + heard.dropped_ms + lost.voice_dropped_ms, 1)
        figures["filled_ms"] = round(heard.filled_ms, 1)
        figures["late_packets"] = heard.late_packets
        figures["frames_dropped"] = lost.frames_dropped
        return figures

    def _receive(self, message: dict[str, Any]) -> None:
        if message.get("type") == "ping":
            self._pinged_at = asyncio.get_running_loop().time()
            self.peer.send({"type": "pong", "sent_ms": message.get("sent_ms"), "server_ms": self._server_ms()})
        elif message.get("type") == "interrupt" and not self._interrupts:
            task = asyncio.create_task(self.session.interrupt())
            self._interrupts.add(task)
            task.add_done_callback(self._interrupts.discard)

    def _server_ms(self) -> float:
        """Now, on the clock that stamps the media, so that the page can compare the two."""
        return self.session.playback.clock.unix_ms()

    async def close(self) -> None:
        try:
            if self.farewell and self.peer.send({"type": "end", "message": self.farewell}):
                with contextlib.suppress(TimeoutError):  # a page that was told hangs up by itself
                    await asyncio.wait_for(self.peer.closed.wait(), _FAREWELL_S)
            await asyncio.gather(*self._interrupts, return_exceptions=True)
            self._stats()  # what was lost since the last report
        finally:
            try:
                await self.peer.close()
            finally:
                await self.session.close()


class Sessions:
    """All sessions of one server, at most `limit` at a time."""

    def __init__(
        self,
        engine: Engine,
        store: IdentityStore,
        metrics: Metrics,
        *,
        limit: int,
        peer_config: PeerConfig | None = None,
    ) -> None:
        """Hold no session yet; `peer_config` says codec, bitrates and ICE servers."""
        self.limit = limit
        self.closed = False
        self._engine = engine
        self._store = store
        self._metrics = metrics
        self._peer_config = peer_config or PeerConfig()
        self._seats: dict[str, _Seat] = {}
        self._opening = 0
        self._keepers: dict[str, asyncio.Task[None]] = {}

    @property
    def active(self) -> int:
        """Sessions that hold a seat now, those still being opened included."""
        return len(self._keepers) + self._opening

    async def open(self, name: str) -> str:
        """Seat a new session with the presenter of this name and return its id.

        Raises:
            CapacityError: if every seat is taken, or the server is shutting down.
            IdentityNotFoundError: if there is no such presenter.
        """
        if self.closed or self.active >= self.limit:
            raise CapacityError("Every seat is taken right now; try again in a moment.")
        self._opening += 1
        try:
            session = await self._make(name)
        finally:
            self._opening -= 1
        if self.closed:
            await session.close()
            raise CapacityError("The server is shutting down.")
        session_id = secrets.token_urlsafe(12)
        self._seats[session_id] = seat = _Seat(session, self._peer_config, self._metrics)
        self._keepers[session_id] = asyncio.create_task(self._keep(session_id, seat))
        self._metrics.sessions_total += 1
        self._metrics.sessions_active = self.active
        return session_id

    async def _make(self, name: str) -> Session:
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")

        def make_renderer() -> Any:
            return self._engine.renderer(self._store.load(name))

        try:
            renderer = await asyncio.get_running_loop().run_in_executor(executor, make_renderer)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return Session(renderer, Playback(Playout(), SessionClock()), executor, self._metrics)

    async def _keep(self, session_id: str, seat: _Seat) -> None:
        """Watch over one seat until it is empty, then clear it; whatever fails on the way, the seat is free."""
        try:
            try:
                reason = await seat.serve()
                _log.info("session %s: %s", session_id, reason)
            finally:
                self._seats.pop(session_id, None)
                await seat.close()
        except Exception:
            _log.exception("session %s did not end cleanly", session_id)
        finally:
            self._keepers.pop(session_id, None)
            self._metrics.sessions_active = self.active

    async def answer(self, session_id: str, offer_sdp: str) -> str:
        """Connect a browser: SDP offer in, SDP answer with all candidates out.

        Raises:
            ApiError: if there is no such session, it had its offer, or the offer can't be answered.
        """
        return await self._seat(session_id).answer(offer_sdp)

    def _seat(self, session_id: str) -> _Seat:
        seat = self._seats.get(session_id)
        if seat is None:
            raise ApiError(404, "session_not_found", "There is no such session; it may have ended.")
        return seat

    async def close_one(self, session_id: str) -> None:
        """End a session and wait until its seat is free.

        Raises:
            ApiError: if there is no such session.
        """
        self._seat(session_id).leaving.set()
        await asyncio.wait({self._keepers[session_id]})

    async def close(self) -> None:
        """Refuse new sessions and end all; viewers are told. Safe twice."""
        self.closed = True
        for seat in self._seats.values():
            seat.farewell = "The server is shutting down."
            seat.leaving.set()
        if self._keepers:
            await asyncio.wait(set(self._keepers.values()))
