"""WHIP: publishes a session to a media server, which sends it on (RFC 9725)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from aiortc import RTCPeerConnection, RTCSessionDescription
from yarl import URL

from stream.errors import NegotiationError, StreamError
from stream.loopback import allow_loopback
from stream.outbound import send_track
from stream.peer_config import PeerConfig
from stream.tracks import Playback

logger = logging.getLogger(__name__)

_SDP = "application/sdp"
_MAX_REDIRECTS = 5
_TIMEOUT = ClientTimeout(total=15)
_MAX_ANSWER_BYTES = 65_536


class WhipPublisher:
    """One publication. `publish` once, `close` at any time.

    The encoders are those of the session's other viewers. ICE servers that the endpoint offers in
    `Link` headers are not used, since they come after the candidates were sent: configure them.
    """

    def __init__(self, playback: Playback, config: PeerConfig | None = None) -> None:
        """Prepare to publish `playback`; `config` says codec, bitrates and ICE servers."""
        self._config = config or PeerConfig()
        self._playback = playback
        self._tracks = playback.tracks(bitrate=self._config.start_bitrate)
        self._pc: RTCPeerConnection | None = None
        self._resource: URL | None = None
        self._headers: dict[str, str] = {}
        self._closing = False
        self.connected = asyncio.Event()
        """Set when media can flow."""
        self.closed = asyncio.Event()
        """Set when the publication has ended, by either side or by failure."""

    async def publish(self, url: str, token: str | None = None) -> None:
        """Offer voice and face to an endpoint and take its answer.

        Args:
            url: the WHIP endpoint, http or https; redirects 307 and 308 are followed.
            token: sent as a bearer token, if there is one; not to another host after a redirect.

        Raises:
            NegotiationError: if the answer can't be used; the publication is closed then.
            StreamError: if the endpoint can't be reached or refuses, or this publisher was used before.
        """
        if self._pc is not None or self._closing:
            raise StreamError("WhipPublisher.publish: expected a new publisher, got one that was used before")
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        try:
            await self._negotiate(url)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the publication and delete it at the endpoint; works at any time and twice."""
        if self._closing:
            await self.closed.wait()
            return
        self._closing = True
        for track in self._tracks:
            track.stop()
        try:
            if self._pc is not None:
                await self._pc.close()
            if self._resource is not None:
                await self._delete(self._resource)
        finally:
            self.closed.set()

    async def _negotiate(self, url: str) -> None:
        allow_loopback()
        self._config.apply_to_encoders()
        self._pc = pc = RTCPeerConnection(self._config.rtc_configuration())
        pc.on("connectionstatechange", self._on_state)
        for track in self._tracks:
            send_track(pc, track, self._config, self._playback.clock, "sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        answer = await self._post(url, str(pc.localDescription.sdp))
        try:
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as error:  # aiortc raises whatever a malformed SDP leads to
            raise NegotiationError(f"WHIP: expected an SDP answer, got {answer[:60]!r} ({error})") from error

    async def _post(self, url: str, offer: str) -> str:
        """Exchange offer for answer, and note where the publication can be deleted."""
        headers = self._headers | {"Content-Type": _SDP, "Accept": _SDP}
        async with (
            _session() as http,
            http.post(url, data=offer, headers=headers, max_redirects=_MAX_REDIRECTS) as response,
        ):
            text = (await response.content.read(_MAX_ANSWER_BYTES)).decode(errors="replace")
            if response.status != HTTPStatus.CREATED:
                raise StreamError(
                    f"WHIP: expected status 201 from {_where(response)}, got {response.status} {text[:200]!r}"
                )
            location = response.headers.get("Location")
            if location is None:
                raise StreamError(f"WHIP: expected a Location header from {_where(response)}, got none")
            self._resource = response.url.join(URL(location))
            if self._resource.origin() != URL(url).origin():
                self._headers.pop("Authorization", None)  # the token was not meant for another host
            if response.content_type != _SDP:
                raise StreamError(f"WHIP: expected {_SDP} from {_where(response)}, got {response.content_type}")
            return text

    async def _delete(self, resource: URL) -> None:
        try:
            async with _session() as http, http.delete(resource, headers=self._headers) as response:
                if response.status >= HTTPStatus.BAD_REQUEST:
                    logger.warning("WHIP: DELETE %s: expected status 200, got %d", resource, response.status)
        except StreamError as error:
            logger.warning("WHIP: DELETE %s: %s", resource, error)

    async def _on_state(self) -> None:
        state = self._pc.connectionState if self._pc else "closed"
        logger.info("WHIP: %s", state)
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            await self.close()


@asynccontextmanager
async def _session() -> AsyncIterator[ClientSession]:
    """Open an HTTP client whose failures are errors of the streaming layer."""
    try:
        async with ClientSession(timeout=_TIMEOUT) as http:
            yield http
    except (ClientError, TimeoutError, ValueError) as error:
        raise StreamError(f"WHIP: expected an endpoint that answers, got {type(error).__name__}: {error}") from error


def _where(response: ClientResponse) -> str:
    return str(response.url.with_query(None).with_user(None))
