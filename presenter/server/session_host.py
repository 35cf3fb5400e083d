"""The session host: one session and its connections (page, viewers, bots, publications)."""

import asyncio
import contextlib
from collections.abc import Iterator

from models.identity import SpeakingStyle
from presenter.config import ServerConfig
from presenter.errors import SessionNotFoundError
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.metrics import Metrics
from presenter.runtime.microphone import MicrophoneUse
from presenter.runtime.session import Session
from presenter.server import connections
from presenter.server.places import Places
from presenter.server.publications import Publications
from presenter.server.session_peers import SessionPeers
from presenter.tts.text_speaker import SpeechSynthesizer, TextSpeaker
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import PeerConfig
from stream.rtc.whip_targets import WhipTargets

STATS_INTERVAL_S = 0.25
MAX_OBSERVERS = 100
"""Event sockets of one session."""


class SessionHost:
    """A session and its connections; it is over when the last of them has left."""

    def __init__(
        self,
        session: Session,
        presenter: str,
        hub: EncoderHub,
        peer_config: PeerConfig,
        metrics: Metrics,
        synthesizer: SpeechSynthesizer,
        limits: ServerConfig,
        microphone: MicrophoneUse = "voice",
    ) -> None:
        """Begin without connections.

        Args:
            session: closed with the host.
            presenter: the name of who is shown.
            hub: encodes the session's output for its peers.
            peer_config: codec, bitrates and ICE servers of every peer.
            metrics: the server's counters.
            synthesizer: the TTS voice.
            limits: the numbers of bots, viewers and publications, and the allowed targets.
            microphone: what the page's microphone is for.
        """
        self.session = session
        self.publications = Publications(hub, peer_config, WhipTargets(limits.whip_targets), limits.max_publications)
        """Where the session is published."""
        self.text_speaker = TextSpeaker(session, synthesizer)
        """Speaks texts in this session."""
        self.presenter = presenter
        """The name of who is shown."""
        self.own_style: SpeakingStyle | None = None
        """The presenter's."""
        self.style: str | None = None
        """The name of the style in which it speaks; None for its own."""
        self.style_strength = 1.0
        self.changing = asyncio.Lock()
        """Held while the presenter is replaced."""
        self.framing = DEFAULT_FRAMING
        """How the presenter is shown."""
        self.leaving = asyncio.Event()
        """Set to end the session."""
        self.closing = asyncio.Event()
        """Set when the session ends, for any reason."""
        self.farewell = ""
        """The message to pages when the server ends the session."""
        self._microphone: MicrophoneUse = microphone
        self._peers = SessionPeers(session, hub, peer_config, metrics, self._check_open, limits.max_viewers)
        self._bots = Places(limits.max_bots, "bots (server.max_bots)")
        self._observers = Places(MAX_OBSERVERS, "observers")
        self._served = False
        self._alone_since = asyncio.get_running_loop().time()
        session.subscribe(self._peers.tell)

    async def answer(self, offer_sdp: str) -> str:
        """Connect the page, whose microphone is used: offer in, answer with all candidates out.

        Raises:
            SessionNotFoundError: if the session is ending.
            PageConnectedError: if a page is connected already.
            OfferError: if the offer can't be answered.
        """
        self._check_open()
        try:
            page, sdp = await self._peers.answer(offer_sdp)
        except BaseException:
            if not self._is_used():
                self.leaving.set()  # its page has failed: free its slot at once
            raise
        self._start()
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
        viewer_id, sdp = await self._peers.watch(offer_sdp, matte=matte)
        self._start()
        return viewer_id, sdp

    def _check_open(self) -> None:
        if self.leaving.is_set() or self.closing.is_set():
            raise SessionNotFoundError("The session is ending.")

    def _is_used(self) -> bool:
        """Whether there is a connection that keeps the session open."""
        return bool(self._peers.page or self._peers.viewers or self._bots.taken or self.publications)

    def _is_watched(self) -> bool:
        return bool(self._peers.page or self._peers.viewers or self.publications)

    def _start(self) -> None:
        self._served = True
        self.session.note_watched(self._is_watched())  # at once; reports check again
        self.session.start()

    async def reframe(self, framing: Framing) -> None:
        """Show the presenter in another way, from the next frame on.

        Raises:
            MattingError: if the background is to be replaced, and there is no matte and none can be made.
        """
        await self.session.rendering.show_as(framing)
        self.framing = framing

    async def unwatch(self, viewer_id: str) -> None:
        """Disconnect a viewer.

        Raises:
            ViewerNotFoundError: if there is none of this id.
        """
        await self._peers.unwatch(viewer_id)

    async def publish(self, url: str, token: str | None) -> str:
        """Publish the session to a media server by WHIP; returns the publication's id.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many publications.
            PublishTargetError: if the server is not listed in the configuration.
            PublishError: if the server can't be reached or refuses.
        """
        self._check_open()
        publication_id = await self.publications.add(url, token)
        self._start()
        return publication_id

    @contextlib.contextmanager
    def bot(self) -> Iterator[Session]:
        """Count a bot while it is connected, which keeps the session open.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many bots.
        """
        self._check_open()
        with self._bots.take():
            self._start()
            yield self.session

    @contextlib.contextmanager
    def observer(self) -> Iterator[None]:
        """Count a client that only follows the events, which does not keep the session open.

        Raises:
            SessionNotFoundError: if the session is ending.
            CapacityError: if there are too many.
        """
        self._check_open()
        with self._observers.take():
            yield

    async def serve(self) -> str:
        """Report to the pages until the session is over; return why."""
        while (reason := self._over()) is None:
            self._peers.report()
            self.session.note_watched(self._is_watched())
            try:
                await asyncio.wait_for(self.leaving.wait(), STATS_INTERVAL_S)
            except TimeoutError:
                await self._peers.forget_gone()
                self.publications.forget_ended()
        return reason

    def _over(self) -> str | None:
        if self.leaving.is_set():
            return "closed on request" if self._served else "closed before anybody connected"
        if self.session.failed:
            self.farewell = "The presenter stopped because of a fault in the server."
            return "rendering failed"
        now = asyncio.get_running_loop().time()
        page = self._peers.page
        page_left = page is not None and page.is_over()
        others = self._bots.taken or self._peers.viewers or self.publications
        if others or (page is not None and not page_left):
            self._alone_since = now
        elif page_left:
            return "its page left"
        elif now - self._alone_since > connections.CONNECT_TIMEOUT_S:
            return "everybody left" if self._served else "nobody connected"
        return None

    async def close(self) -> None:
        """Disconnect all peers and end the session."""
        self.closing.set()
        self.text_speaker.stop()
        try:
            await asyncio.gather(self._peers.close(self.farewell), self.publications.close())
        finally:
            await self.session.close()
