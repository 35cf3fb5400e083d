"""Opens sessions up to a limit, finds them by their ids, and closes those that are over."""

import asyncio
import contextlib
import logging
import math
import secrets

from models.identity import SpeakingStyle
from presenter.config import ServerConfig
from presenter.errors import CapacityError, IdentityDamagedError, IdentityNotFoundError, SessionNotFoundError
from presenter.runtime.frame_renderer import RendererPool
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.metrics import Metrics
from presenter.runtime.microphone import MicrophoneUse
from presenter.runtime.render_thread import make_in_thread
from presenter.runtime.session import Session
from presenter.runtime.styles import StyleStore, scaled, with_style
from presenter.server.memory import release_free_memory
from presenter.server.session_host import SessionHost
from presenter.tts.text_speaker import SpeechSynthesizer
from stream.clock import SessionClock
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import PeerConfig

CLEARING_S = 5.0
"""How long a new session waits for one that is just ending."""

_log = logging.getLogger(__name__)


class SessionManager:
    """All sessions of one server, at most one per slot of its engine."""

    def __init__(
        self,
        engine: RendererPool,
        store: IdentityStore,
        metrics: Metrics,
        limits: ServerConfig,
        peer_config: PeerConfig | None = None,
    ) -> None:
        """Hold no session yet.

        Args:
            engine: provides the renderers; sessions beyond its slots are refused.
            store: the presenters on disk.
            metrics: the server's counters.
            limits: of sessions, and of the connections of each.
            peer_config: codec, bitrates and ICE servers.
        """
        self.closed = False
        self._engine = engine
        self._store = store
        self._metrics = metrics
        self._peer_config = peer_config or PeerConfig()
        self._synthesizer = SpeechSynthesizer()
        self._limits = limits
        self.styles = StyleStore(store.own)
        """The speaking styles on disk."""
        self._hosts: dict[str, SessionHost] = {}
        self._opening = 0
        self._keepers: dict[str, asyncio.Task[None]] = {}
        metrics.sessions_limit.set(math.inf if engine.slots is None else engine.slots)

    @property
    def limit(self) -> int | None:
        """How many renderers may be in use at a time; None for any number."""
        return self._engine.slots

    @property
    def is_measured(self) -> bool:
        """Whether the limit is what this machine was measured to render, not a number that was configured."""
        return not self._limits.max_sessions

    @property
    def active(self) -> int:
        """Sessions that exist now, those still being opened included."""
        return len(self._keepers) + self._opening

    async def open(
        self,
        name: str,
        microphone: MicrophoneUse = "voice",
        style: str | None = None,
        style_strength: float = 1.0,
        framing: Framing = DEFAULT_FRAMING,
    ) -> str:
        """Start a new session with the presenter of this name and return its id.

        Args:
            name: the presenter's.
            microphone: what the page's microphone is for.
            style: the name of a speaking style; None for the presenter's own.
            style_strength: 0 (neutral) to `MAX_STRENGTH`.
            framing: how the presenter is shown.

        Raises:
            CapacityError: if there are as many sessions as there may be, or the server is shutting down.
            IdentityNotFoundError: if there is no such presenter.
            StyleNotFoundError: if there is no such style.
            MattingError: if the background is to be replaced, and there is no matte and none can be made.
        """
        await self._wait_for_leaving()
        if self.closed or self._engine.is_full:
            raise CapacityError(self._why_full())
        self._opening += 1
        try:
            pump = PlayoutPump(Playout(), SessionClock())
            stored = await asyncio.to_thread(self._store.load, name)
            wanted = await self._style(style, stored.identity.speaking_style, style_strength)
            session = await self._make(with_style(stored, wanted), pump, framing)
        finally:
            self._opening -= 1
        if self.closed:
            await session.close()
            raise CapacityError("The server is shutting down.")
        session_id = secrets.token_urlsafe(12)
        self._hosts[session_id] = host = SessionHost(
            session,
            name,
            EncoderHub(pump),
            self._peer_config,
            self._metrics,
            self._synthesizer,
            self._limits,
            microphone,
        )
        host.own_style, host.framing = stored.identity.speaking_style, framing
        host.style, host.style_strength = style, style_strength
        self._keepers[session_id] = asyncio.create_task(self._keep(session_id, host))
        self._metrics.sessions.inc()
        self._metrics.sessions_active.set(self.active)
        return session_id

    def _why_full(self) -> str:
        if self.closed:
            return "The server is shutting down."
        limit = "1 session" if self.limit == 1 else f"{self.limit} sessions"
        reason = "server.max_sessions allows" if not self.is_measured else "this machine renders in full quality"
        return f"All sessions of this server are in use: {reason} {limit} at a time; try again in a moment."

    async def _wait_for_leaving(self) -> None:
        """Wait while the server is full but a session is ending, so that a page can be reloaded."""
        deadline = asyncio.get_running_loop().time() + CLEARING_S
        while self._engine.is_full and (leaving := self._leaving()):
            left_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(leaving, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED)
            if left_s <= 0:
                return

    def _leaving(self) -> list[asyncio.Task[None]]:
        hosts = self._hosts
        return [task for key, task in self._keepers.items() if key not in hosts or hosts[key].leaving.is_set()]

    async def use_style(self, session_id: str, style: str | None, strength: float) -> None:
        """Let a session speak in another style.

        Args:
            session_id: of the session.
            style: the name of a speaking style; None for the presenter's own.
            strength: 0 (neutral) to `MAX_STRENGTH`.

        Raises:
            SessionNotFoundError: if there is no such session.
            StyleNotFoundError: if there is no such style.
        """
        host = self.host(session_id)
        host.session.use_style(await self._style(style, host.own_style, strength))
        host.style, host.style_strength = style, strength

    async def show(self, session_id: str, name: str) -> None:
        """Let a session continue with another presenter, in the middle of a word; style and framing stay.

        Args:
            session_id: of the session.
            name: the presenter's.

        Raises:
            SessionNotFoundError: if there is no such session.
            IdentityNotFoundError: if there is no such presenter.
            IdentityDamagedError: if it can't be read.
            MattingError: if it is shown without its background and has no matte; the one before stays.
        """
        host = self.host(session_id)
        async with host.changing:
            stored = await asyncio.to_thread(self._store.load, name)
            await self._exchange(host, stored, host.framing)
            host.presenter = name
            await host.reframe(host.framing)  # its frames may have another size

    async def reframe(self, session_id: str, framing: Framing) -> None:
        """Let a session show its presenter in another way; rendered anew where that shows more of the picture's detail.

        Args:
            session_id: of the session.
            framing: how.

        Raises:
            SessionNotFoundError: if there is no such session.
            MattingError: if the background is to be replaced, and there is no matte and none can be made.
        """
        host = self.host(session_id)
        async with host.changing:
            with contextlib.suppress(IdentityNotFoundError, IdentityDamagedError):  # deleted: its frames stay as fine
                stored = await asyncio.to_thread(self._store.load, host.presenter)
                if framing.frame_size(stored.identity) != host.session.rendering.size:
                    await self._exchange(host, stored, framing)
            await host.reframe(framing)

    async def _exchange(self, host: SessionHost, stored: StoredIdentity, framing: Framing) -> None:
        """Let a session continue with another renderer."""
        renderer = await asyncio.to_thread(self._engine.renderer, stored, framing=framing, replaces=True)
        if host.closing.is_set():
            renderer.close()
            raise SessionNotFoundError("The session is ending.")
        await host.session.show(renderer)
        host.own_style = stored.identity.speaking_style
        host.session.use_style(await self._style(host.style, host.own_style, host.style_strength))

    async def _style(self, name: str | None, own: SpeakingStyle | None, strength: float) -> SpeakingStyle | None:
        style = own if name is None else (await asyncio.to_thread(self.styles.load, name)).style
        return scaled(style, strength)

    async def _make(self, stored: StoredIdentity, pump: PlayoutPump, framing: Framing) -> Session:
        renderer, executor = await make_in_thread(lambda: self._engine.renderer(stored, framing=framing))
        session = Session(renderer, pump, executor, self._metrics, 1000 * self._limits.max_speech_s)
        try:
            await session.rendering.show_as(framing)
        except BaseException:
            await session.close()
            raise
        return session

    async def _keep(self, session_id: str, host: SessionHost) -> None:
        """Serve one session host until its session is over, then close it; its slot is freed even if that fails."""
        try:
            try:
                reason = await host.serve()
                _log.info("session %s: %s", session_id, reason)
            finally:
                self._hosts.pop(session_id, None)
                await host.close()
        except Exception:
            _log.exception("session %s did not end cleanly", session_id)
        finally:
            self._keepers.pop(session_id, None)
            self._metrics.sessions_active.set(self.active)
        await asyncio.to_thread(release_free_memory)

    def host(self, session_id: str) -> SessionHost:
        """Return the host of a session.

        Raises:
            SessionNotFoundError: if there is no such session.
        """
        host = self._hosts.get(session_id)
        if host is None:
            raise SessionNotFoundError("There is no such session; it may have ended.")
        return host

    async def close_one(self, session_id: str) -> None:
        """End a session and wait until its slot is free.

        Raises:
            SessionNotFoundError: if there is no such session.
        """
        self.host(session_id).leaving.set()
        await asyncio.wait({self._keepers[session_id]})

    async def close(self) -> None:
        """Refuse new sessions and end all; viewers are notified. Safe twice."""
        self.closed = True
        for host in self._hosts.values():
            host.farewell = "The server is shutting down."
            host.leaving.set()
        if self._keepers:
            await asyncio.wait(set(self._keepers.values()))
        self._synthesizer.close()
