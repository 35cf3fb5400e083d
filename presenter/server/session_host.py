"""One session and all who are connected to it: its page, viewers, bots and publications."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator

from presenter.config import ServerConfig
from presenter.errors import (
    CapacityError,
    OfferError,
    PageConnectedError,
    SessionNotFoundError,
    ViewerNotFoundError,
)
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import MicrophoneUse, Session
from presenter.runtime.sink import SessionEvent
from presenter.server import connections
from presenter.server.connections import Connection, page_message
from presenter.server.publications import Publications
from presenter.tts.text_speaker import SpeechSynthesizer, TextSpeaker
from stream.errors import StreamError
from stream.rtc.peer import PeerConfig
from stream.rtc.tracks import Playback

STATS_INTERVAL_S = 0.25
MAX_VIEWERS = 100
"""Viewers of one session."""
JOIN_TIMEOUT_S = 10.0
"""How long the end of a session waits for offers that are just being answered."""


class SessionHost:
    """A session and its connections; it is over when the last of them has left."""

    def __init__(
        self,
        session: Session,
        playback: Playback,
        peer_config: PeerConfig,
        metrics: Metrics,
        synthesizer: SpeechSynthesizer,
        limits: ServerConfig,
        microphone: MicrophoneUse = "voice",
    ) -> None:
        """Connect nobody yet.

        Args:
            session: closed with the host.
            playback: the session's sink, which the peers show.
            peer_config: codec, bitrates and ICE servers of every peer.
            metrics: the server's counters.
            synthesizer: the voice for texts.
            limits: how many bots and publications there may be.
            microphone: what the page's microphone is for.
        """
        self.session = session
        self.playback = playback
        self.peer_config = peer_config
        self.publications = Publications(playback, peer_config, limits.max_publications)
        """Where the session is published."""
        self.text_speaker = TextSpeaker(session, synthesizer)
        """Says texts in this session."""
        self.leaving = asyncio.Event()
        """Set to end the session."""
        self.closing = asyncio.Event()
        """Set when the session ends, however that came."""
        self.farewell = ""
        """What pages are told when the server ends the session."""
        self._metrics = metrics
        self._max_bots = limits.max_bots
        self._microphone: MicrophoneUse = microphone
        self._page: Connection | None = None
        self._viewers: dict[str, Connection] = {}
        self._joining: set[asyncio.Task[str]] = set()
        self._bots = 0
        self._served = False
        self._alone_since = asyncio.get_running_loop().time()
        session.subscribe(self._tell_pages)

    async def answer(self, offer_sdp: str) -> str:
        """Connect the page, whose microphone is heard: offer in, answer with all candidates out.

        Raises:
            SessionNotFoundError: if the session is ending.
            PageConnectedError: if a page is connected already.
            OfferError: if the offer can't be answered.
        """
        self._check_open()
        if self._page is not None:
            raise PageConnectedError("This session has its page; open another one.")
        self._page = page = self._connect(is_page=True)
        try:
            sdp = await self._answer(page, offer_sdp)
        except BaseException:
            self._page = None
            await page.peer.close()
            if not (self._bots or self._viewers or self.publications):
                self.leaving.set()  # its page has failed: another session may have its place at once
            raise
        self.session.listen(page.peer.microphone(), self._microphone)
        return sdp

    async def watch(self, offer_sdp: str, *, matte: bool = False) -> tuple[str, str]:
        """Connect a viewer; returns its id and the answer.

        Args:
            offer_sdp: what the viewer offers to receive.
            matte: send the presenter without its background, and to its right its matte.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many viewers.
            MattingError: if there is no matte.
            OfferError: if the offer can't be answered.
        """
        self._check_open()
        if len(self._viewers) >= MAX_VIEWERS:
            raise CapacityError(f"This session has {MAX_VIEWERS} viewers already.")
        viewer_id = secrets.token_urlsafe(12)
        self._viewers[viewer_id] = viewer = self._connect(matte=matte)
        try:
            if matte:
                await self.session.cut_out()
            return viewer_id, await self._answer(viewer, offer_sdp)
        except BaseException:
            self._viewers.pop(viewer_id, None)
            await viewer.peer.close()
            raise

    def _check_open(self) -> None:
        if self.leaving.is_set() or self.closing.is_set():
            raise SessionNotFoundError("The session is ending.")

    def _connect(self, *, is_page: bool = False, matte: bool = False) -> Connection:
        return Connection(
            self.playback,
            self.peer_config,
            on_playout_delay=self._update_playout_delay,
            on_interrupt=self.session.interrupt if is_page else None,
            hears=is_page,
            matte=matte,
        )

    async def _answer(self, connection: Connection, offer_sdp: str) -> str:
        joining = asyncio.create_task(connection.peer.answer(offer_sdp))
        self._joining.add(joining)
        joining.add_done_callback(self._joining.discard)
        try:
            sdp = await joining
        except StreamError as error:
            raise OfferError(str(error)) from error
        self._check_open()  # it may have ended meanwhile
        self._served = True
        self.session.start()
        return sdp

    async def unwatch(self, viewer_id: str) -> None:
        """Disconnect a viewer.

        Raises:
            ViewerNotFoundError: if there is none of this id.
        """
        viewer = self._viewers.pop(viewer_id, None)
        if viewer is None:
            raise ViewerNotFoundError("There is no such viewer; it may have left.")
        await viewer.peer.close()

    async def publish(self, url: str, token: str | None) -> str:
        """Publish the session to a media server by WHIP; returns the publication's id.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many publications.
            PublishError: if the server can't be reached or refuses.
        """
        self._check_open()
        publication_id = await self.publications.add(url, token)
        self._served = True
        self.session.start()
        return publication_id

    @contextlib.contextmanager
    def bot(self) -> Iterator[Session]:
        """Count a bot while it is connected, so that the session goes on.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many bots.
        """
        self._check_open()
        if self._bots >= self._max_bots:
            raise CapacityError(f"This session has {self._bots} bots; server.max_bots allows no more.")
        self._bots += 1
        self._served = True
        self.session.start()
        try:
            yield self.session
        finally:
            self._bots -= 1

    async def serve(self) -> str:
        """Report to the pages until the session is over; return why."""
        while (reason := self._over()) is None:
            self._report()
            try:
                await asyncio.wait_for(self.leaving.wait(), STATS_INTERVAL_S)
            except TimeoutError:
                await self._clear_away()
        return reason

    def _over(self) -> str | None:
        if self.leaving.is_set():
            return "closed on request" if self._served else "closed before anybody connected"
        if self.session.failed:
            self.farewell = "The presenter stopped because of a fault in the server."
            return "rendering failed"
        now = asyncio.get_running_loop().time()
        page_left = self._page is not None and self._page.is_over()
        others = self._bots or self._viewers or self.publications
        if others or (self._page is not None and not page_left):
            self._alone_since = now
        elif page_left:
            return "its page left"
        elif now - self._alone_since > connections.CONNECT_TIMEOUT_S:
            return "everybody left" if self._served else "nobody connected"
        return None

    async def _clear_away(self) -> None:
        """Forget the page and the viewers that have left, and the publications that have ended."""
        if self._page is not None and self._page.is_over():
            page, self._page = self._page, None  # others are here, and another page may come
            page.count_losses(self._metrics)
            await page.peer.close()
        self.publications.forget_ended()
        gone = [viewer_id for viewer_id, viewer in self._viewers.items() if viewer.is_over()]
        for viewer_id in gone:
            viewer = self._viewers.pop(viewer_id)
            viewer.count_losses(self._metrics)
            await viewer.peer.close()
        self._update_playout_delay()

    def _update_playout_delay(self) -> None:
        """Let the session know when sound is heard: by the page, or else by the viewer who hears it first."""
        told = [viewer.playout_delay_ms for viewer in self._viewers.values() if viewer.playout_delay_ms is not None]
        page_ms = self._page.playout_delay_ms if self._page else None
        self.session.playout_delay_ms = page_ms if page_ms is not None else min(told, default=0.0)

    def _connections(self) -> list[Connection]:
        return [*([self._page] if self._page else []), *self._viewers.values()]

    def _report(self) -> None:
        figures = self.session.stats()
        for connection in self._connections():
            connection.report(figures, connection.count_losses(self._metrics))

    def _tell_pages(self, event: SessionEvent) -> None:
        """Pass on what a page shows or has to do at once."""
        if (message := page_message(event, self.playback.clock)) is not None:
            for connection in self._connections():
                connection.peer.send(message)

    async def close(self) -> None:
        """Disconnect everybody and end the session."""
        self.closing.set()
        self.text_speaker.stop()
        if self._joining:  # a peer that is closed while it gathers candidates keeps their sockets open
            await asyncio.wait(self._joining, timeout=JOIN_TIMEOUT_S)
        connections = self._connections()
        try:
            await asyncio.gather(*(connection.say_goodbye(self.farewell) for connection in connections))
            for connection in connections:
                connection.count_losses(self._metrics)  # what was lost since the last report
        finally:
            try:
                peers = (connection.peer.close() for connection in connections)
                await asyncio.gather(*peers, self.publications.close())
            finally:
                await self.session.close()
