"""The WebRTC peers of one session: its page, whose microphone is used, and its viewers."""

import asyncio
import secrets
from collections.abc import Callable

from presenter.errors import CapacityError, OfferError, PageConnectedError, ViewerNotFoundError
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from presenter.server.connections import Connection, page_message
from stream.errors import StreamError
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import PeerConfig

JOIN_TIMEOUT_S = 10.0
"""How long the end of a session waits for offers that are being answered."""


class SessionPeers:
    """Connects peers, reports to them, and drops those that have left."""

    def __init__(
        self,
        session: Session,
        hub: EncoderHub,
        peer_config: PeerConfig,
        metrics: Metrics,
        check_open: Callable[[], None],
        max_viewers: int,
    ) -> None:
        """Begin without connections.

        Args:
            session: interrupted by the page; gets the playout delay.
            hub: source of audio and video.
            peer_config: codec, bitrates and ICE servers.
            metrics: the server's counters.
            check_open: raises if the session has ended while an offer was answered.
            max_viewers: at a time, those still connecting included.
        """
        self.page: Connection | None = None
        self.viewers: dict[str, Connection] = {}
        self._session = session
        self._hub = hub
        self._peer_config = peer_config
        self._metrics = metrics
        self._underruns = 0
        self._check_open = check_open
        self._max_viewers = max_viewers
        self._joining: set[asyncio.Task[str]] = set()

    async def answer(self, offer_sdp: str) -> tuple[Connection, str]:
        """Connect the page; returns it and the answer, with all candidates.

        Raises:
            PageConnectedError: if a page is connected already.
            OfferError: if the offer can't be answered.
        """
        if self.page is not None:
            raise PageConnectedError("This session has its page; open another one.")
        self.page = page = self._connect(is_page=True)
        try:
            return page, await self._answer(page, offer_sdp)
        except BaseException:
            self.page = None
            await page.peer.close()
            raise

    async def watch(self, offer_sdp: str, *, matte: bool) -> tuple[str, str]:
        """Connect a viewer; returns its id and the answer. See `SessionHost.watch`."""
        if len(self.viewers) >= self._max_viewers:
            raise CapacityError(f"This session has {self._max_viewers} viewers; server.max_viewers allows no more.")
        viewer_id = secrets.token_urlsafe(12)
        self.viewers[viewer_id] = viewer = self._connect(matte=matte)
        try:
            if matte:
                await self._session.rendering.add_matte()
            return viewer_id, await self._answer(viewer, offer_sdp)
        except BaseException:
            self.viewers.pop(viewer_id, None)
            await viewer.peer.close()
            raise

    def _connect(self, *, is_page: bool = False, matte: bool = False) -> Connection:
        return Connection(
            self._hub,
            self._peer_config,
            on_playout_delay=self._update_playout_delay,
            on_interrupt=self._session.interrupt if is_page else None,
            receives_microphone=is_page,
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
        self._check_open()
        return sdp

    async def unwatch(self, viewer_id: str) -> None:
        """Disconnect a viewer.

        Raises:
            ViewerNotFoundError: if there is none of this id.
        """
        viewer = self.viewers.pop(viewer_id, None)
        if viewer is None:
            raise ViewerNotFoundError("There is no such viewer; it may have left.")
        await viewer.peer.close()

    async def forget_gone(self) -> None:
        """Close and drop the page and the viewers that have left."""
        if self.page is not None and self.page.is_over():
            page, self.page = self.page, None  # other connections remain, and another page may connect
            page.count_losses(self._metrics)
            await page.peer.close()
        gone = [viewer_id for viewer_id, viewer in self.viewers.items() if viewer.is_over()]
        for viewer_id in gone:
            if (viewer := self.viewers.pop(viewer_id, None)) is not None:
                viewer.count_losses(self._metrics)
                await viewer.peer.close()
        self._update_playout_delay()

    def _update_playout_delay(self) -> None:
        """Pass the playout delay to the session: the page's, or else that of the first viewer."""
        told = [viewer.playout_delay_ms for viewer in self.viewers.values() if viewer.playout_delay_ms is not None]
        page_ms = self.page.playout_delay_ms if self.page else None
        self._session.playout_delay_ms = page_ms if page_ms is not None else min(told, default=0.0)

    def _all(self) -> list[Connection]:
        return [*([self.page] if self.page else []), *self.viewers.values()]

    def report(self) -> None:
        """Send all peers the session's figures."""
        figures = self._session.stats()
        self._metrics.underruns.inc(figures["underruns"] - self._underruns)
        self._underruns = figures["underruns"]
        for connection in self._all():
            connection.report(figures, connection.count_losses(self._metrics))

    def tell(self, event: SessionEvent) -> None:
        """Pass on an event that pages show or must act on at once."""
        if (message := page_message(event, self._hub.clock)) is not None:
            for connection in self._all():
                connection.peer.send(message)

    async def close(self, message: str) -> None:
        """Disconnect all peers.

        Args:
            message: why, for the pages; may be empty.
        """
        if self._joining:  # a peer that is closed while it gathers candidates keeps their sockets open
            await asyncio.wait(self._joining, timeout=JOIN_TIMEOUT_S)
        everybody = self._all()
        try:
            await asyncio.gather(*(connection.say_goodbye(message) for connection in everybody))
            for connection in everybody:
                connection.count_losses(self._metrics)  # what was lost since the last report
        finally:
            await asyncio.gather(*(connection.peer.close() for connection in everybody))
