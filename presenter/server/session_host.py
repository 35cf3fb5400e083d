"""The session host: a session, and all who are connected to it: its page, viewers and bots."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

from models.matting import MattingError
from presenter.runtime.metrics import Metrics
from presenter.runtime.microphone import MicrophoneUse
from presenter.runtime.session import Session
from presenter.runtime.sink import Flush, SessionEvent
from presenter.server import connections
from presenter.server.connections import Connection
from presenter.server.middleware import ApiError
from presenter.tts.text_speaker import SpeechSynthesizer, TextSpeaker
from stream.clock import ms
from stream.errors import StreamError
from stream.playout.progress import WordBegins
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import PeerConfig
from stream.rtc.whip import WhipPublisher
from stream.wire import StateChanged

STATS_INTERVAL_S = 0.25
MAX_VIEWERS = 100
"""Viewers of one session."""


class SessionHost:
    """A session and its connections; it is over when the last of them has left."""

    def __init__(
        self,
        session: Session,
        hub: EncoderHub,
        peer_config: PeerConfig,
        metrics: Metrics,
        synthesizer: SpeechSynthesizer,
        microphone: MicrophoneUse = "voice",
    ) -> None:
        """Connect nobody yet.

        Args:
            session: closed with the host.
            hub: encodes what the session plays, for its peers.
            peer_config: codec, bitrates and ICE servers of every peer.
            metrics: the server's counters.
            synthesizer: the voice for texts.
            microphone: what the page's microphone is for.
        """
        self.session = session
        self.hub = hub
        self.peer_config = peer_config
        self.text_speaker = TextSpeaker(session, synthesizer)
        """Says texts in this session."""
        self.leaving = asyncio.Event()
        """Set to end the session."""
        self.closing = asyncio.Event()
        """Set when the session ends, however that came."""
        self.farewell = ""
        """What pages are told when the server ends the session."""
        self._metrics = metrics
        self._microphone: MicrophoneUse = microphone
        self._page: Connection | None = None
        self._viewers: dict[str, Connection] = {}
        self._publications: dict[str, WhipPublisher] = {}
        self._bots = 0
        self._served = False
        self._alone_since = asyncio.get_running_loop().time()
        session.subscribe(self._tell_pages)

    async def answer(self, offer_sdp: str) -> str:
        """Connect the page, whose microphone is received: offer in, answer with all candidates out.

        Raises:
            ApiError: if a page is connected already, or the offer can't be answered.
        """
        if self._page is not None:
            raise ApiError(409, "already_connected", "This session has its page; open another one.")
        self._page = page = self._connect(is_page=True)
        try:
            sdp = await self._answer(page, offer_sdp)
        except BaseException:
            self._page = None
            if not (self._bots or self._viewers or self._publications):
                self.leaving.set()  # its page has failed: somebody else may have the host at once
            raise
        self.session.listen(page.peer.microphone(), self._microphone)
        return sdp

    async def watch(self, offer_sdp: str, *, matte: bool = False) -> tuple[str, str]:
        """Connect a viewer; returns its id and the answer.

        Args:
            offer_sdp: what the viewer offers to receive.
            matte: send the presenter without its background, and to its right its matte.

        Raises:
            ApiError: if the offer can't be answered, there are too many viewers, or there is no matte.
        """
        if len(self._viewers) >= MAX_VIEWERS:
            raise ApiError(503, "capacity", f"This session has {MAX_VIEWERS} viewers already.")
        viewer_id = secrets.token_urlsafe(12)
        self._viewers[viewer_id] = viewer = self._connect(matte=matte)
        try:
            if matte:
                await self.session.add_matte()
            return viewer_id, await self._answer(viewer, offer_sdp)
        except BaseException as error:
            self._viewers.pop(viewer_id, None)
            await viewer.peer.close()
            if isinstance(error, MattingError):
                raise ApiError(422, "no_matte", str(error)) from error
            raise

    def _connect(self, *, is_page: bool = False, matte: bool = False) -> Connection:
        return Connection(
            self.hub,
            self.peer_config,
            on_playout_delay=self._update_playout_delay,
            on_interrupt=self.session.interrupt if is_page else None,
            receives_microphone=is_page,
            matte=matte,
        )

    async def _answer(self, connection: Connection, offer_sdp: str) -> str:
        try:
            sdp = await connection.peer.answer(offer_sdp)
        except StreamError as error:
            raise ApiError(400, "bad_offer", str(error)) from error
        self._served = True
        self.session.start()
        return sdp

    async def unwatch(self, viewer_id: str) -> None:
        """Disconnect a viewer.

        Raises:
            ApiError: if there is none of this id.
        """
        viewer = self._viewers.pop(viewer_id, None)
        if viewer is None:
            raise ApiError(404, "viewer_not_found", "There is no such viewer; it may have left.")
        await viewer.peer.close()

    async def publish(self, url: str, token: str | None) -> str:
        """Publish the session to a media server by WHIP; returns the publication's id.

        Raises:
            ApiError: if the server can't be reached or refuses.
        """
        publication_id = secrets.token_urlsafe(12)
        self._publications[publication_id] = publisher = WhipPublisher(self.hub, self.peer_config)
        try:
            await publisher.publish(url, token)
        except StreamError as error:
            raise ApiError(502, "whip_failed", str(error)) from error
        finally:
            if publisher.closed.is_set():
                self._publications.pop(publication_id, None)
        self._served = True
        self.session.start()
        return publication_id

    async def unpublish(self, publication_id: str) -> None:
        """End a publication.

        Raises:
            ApiError: if there is none of this id.
        """
        publisher = self._publications.pop(publication_id, None)
        if publisher is None:
            raise ApiError(404, "publication_not_found", "There is no such publication; it may have ended.")
        await publisher.close()

    @contextlib.contextmanager
    def bot(self) -> Iterator[Session]:
        """Hold the host for a bot while it is connected, and let the presenter live."""
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
                await self._remove_gone()
        return reason

    def _over(self) -> str | None:
        if self.leaving.is_set():
            return "closed on request" if self._served else "closed before anybody connected"
        if self.session.failed:
            self.farewell = "The presenter stopped because of a fault in the server."
            return "rendering failed"
        now = asyncio.get_running_loop().time()
        page_left = self._page is not None and self._page.is_over()
        others = self._bots or self._viewers or self._publications
        if others or (self._page is not None and not page_left):
            self._alone_since = now
        elif page_left:
            return "its page left"
        elif now - self._alone_since > connections.CONNECT_TIMEOUT_S:
            return "everybody left" if self._served else "nobody connected"
        return None

    async def _remove_gone(self) -> None:
        """Remove the page and the viewers that have left, and the publications that have ended."""
        if self._page is not None and self._page.is_over():
            page, self._page = self._page, None  # others are here, and another page may come
            page.count_losses(self._metrics)
            await page.peer.close()
        self._publications = {key: one for key, one in self._publications.items() if not one.closed.is_set()}
        gone = [viewer_id for viewer_id, viewer in self._viewers.items() if viewer.is_over()]
        for viewer_id in gone:
            viewer = self._viewers.pop(viewer_id)
            viewer.count_losses(self._metrics)
            await viewer.peer.close()
        self._update_playout_delay()

    def _update_playout_delay(self) -> None:
        """Tell the session the playout delay: the page's, or else the shortest that a viewer reports."""
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
        clock = self.hub.clock
        if isinstance(event, Flush):
            message: dict[str, Any] = {"type": "flush", "until_ms": event.unix_ms}
        elif isinstance(event, StateChanged):
            message = {"type": "state", "state": event.state}
        elif isinstance(event, WordBegins):
            begins_ms = clock.unix_ms() + ms(event.time - clock.now())
            word = event.word
            ends_ms = begins_ms + word.end_ms - word.start_ms
            message = {"type": "caption", "text": word.text, "start_ms": begins_ms, "end_ms": ends_ms}
        else:
            return
        for connection in self._connections():
            connection.peer.send(message)

    async def close(self) -> None:
        """Disconnect everybody and end the session."""
        self.closing.set()
        self.text_speaker.stop()
        connections = self._connections()
        try:
            await asyncio.gather(*(connection.say_goodbye(self.farewell) for connection in connections))
            for connection in connections:
                connection.count_losses(self._metrics)  # what was lost since the last report
        finally:
            try:
                peers = (connection.peer.close() for connection in connections)
                await asyncio.gather(*peers, *(one.close() for one in self._publications.values()))
            finally:
                await self.session.close()
