"""WHIP: publishes a session to a media server, which distributes it (RFC 9725)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from aiortc import RTCIceServer, RTCPeerConnection, RTCSessionDescription
from yarl import URL

from stream.errors import NegotiationError, StreamError, TargetError
from stream.rtc.aiortc_internals import ReceiverInternals, accept_rsa_certificates, patch_process_host_addresses
from stream.rtc.hub import EncoderHub
from stream.rtc.ice import linked_servers, without_end_of_candidates
from stream.rtc.outbound import send_track
from stream.rtc.peer_config import PeerConfig
from stream.rtc.sdp import MAX_SDP_BYTES, bounded, check_answer
from stream.rtc.whip_targets import TargetResolver, WhipTargets

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 20.0
"""A publication that is not connected this long after the answer is closed."""

_SDP = "application/sdp"
_MAX_REDIRECTS = 5
_REDIRECTS = (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)  # those that keep the method
_TIMEOUT = ClientTimeout(total=15)
_ANSWER_TIMEOUT_S = 10.0


class WhipPublisher:
    """One publication. `publish` once, `close` at any time.

    The encoders are shared with the session's other remote ends. ICE servers that the endpoint names in `Link` headers
    are used if none is configured. They arrive after the candidates were sent, so a second offer is made then.
    """

    def __init__(self, hub: EncoderHub, targets: WhipTargets, config: PeerConfig | None = None) -> None:
        """Prepare to publish what `hub` encodes.

        Args:
            hub: what is published.
            targets: where it may go.
            config: codec, bitrates and ICE servers.
        """
        self._config = config or PeerConfig()
        self._hub = hub
        self._targets = targets
        self._tracks = hub.tracks(bitrate=self._config.start_bitrate)
        self._pc: RTCPeerConnection | None = None
        self._resource: URL | None = None
        self._expiry: asyncio.Task[None] | None = None
        self._headers: dict[str, str] = {}
        self._linked: list[RTCIceServer] = []
        self._closing = False
        self.connected = asyncio.Event()
        """Set when media can flow."""
        self.closed = asyncio.Event()
        """Set when the publication has ended, by either side or by failure."""

    async def publish(self, url: str, token: str | None = None) -> None:
        """Offer audio and video to an endpoint and take its answer.

        Args:
            url: the WHIP endpoint, http or https; redirects 307 and 308 to listed targets are followed.
            token: sent as a bearer token, if there is one; not to another host after a redirect.

        Raises:
            NegotiationError: if the answer can't be used; the publication is closed then.
            TargetError: if the endpoint, or where it redirects to, is not listed.
            StreamError: if the endpoint can't be reached or refuses, or this publisher was used or closed
                before the answer came.
        """
        if self._pc is not None or self._closing:
            raise StreamError("WhipPublisher.publish: expected a new publisher, got one that was used before")
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        try:
            await self._negotiate(url)
        except BaseException:
            await self.close()
            await self._delete()  # what the endpoint made while this was closed
            raise

    async def close(self) -> None:
        """End the publication and delete it at the endpoint; works at any time and twice."""
        if self._closing:
            await self.closed.wait()
            return
        self._closing = True
        if self._expiry is not None and self._expiry is not asyncio.current_task():
            self._expiry.cancel()
        for track in self._tracks:
            track.stop()
        try:
            if self._pc is not None:
                await self._pc.close()
            await self._delete()
        finally:
            self.closed.set()

    async def _negotiate(self, url: str) -> None:
        patch_process_host_addresses()
        self._config.patch_process_encoders()
        endpoint = self._checked(url)
        pc, answer = await self._offer(endpoint)
        if self._linked and not self._config.ice_servers:
            pc.remove_all_listeners()
            await pc.close()
            await self._delete()
            pc, answer = await self._offer(endpoint)
        self._expiry = asyncio.create_task(self._expire())
        await self._accept(pc, answer)
        for transceiver in pc.getTransceivers():
            # aiortc accepts an answer with more media than was offered, which would never be read.
            ReceiverInternals(transceiver.receiver).discard_media()

    async def _offer(self, endpoint: URL) -> tuple[RTCPeerConnection, str]:
        """Make a connection and return it with the answer to its offer."""
        if self._closing:
            raise StreamError("WHIP: expected a publication that is open, got one that was closed meanwhile")
        self._pc = pc = RTCPeerConnection(self._config.rtc_configuration(self._linked))
        pc.on("connectionstatechange", self._on_state)
        accept_rsa_certificates(pc)
        for track in self._tracks:
            send_track(pc, track, self._config, self._hub.clock)
        await pc.setLocalDescription(await pc.createOffer())
        answer = await self._post(endpoint, str(pc.localDescription.sdp))
        if self._closing:
            raise StreamError("WHIP: expected an answer before the publication was closed, got it afterwards")
        return pc, answer

    async def _accept(self, pc: RTCPeerConnection, answer: str) -> None:
        try:
            answer = without_end_of_candidates(bounded(answer, "WHIP answer"))
            await asyncio.to_thread(check_answer, answer)
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except NegotiationError:
            raise
        except Exception as error:  # aiortc raises many types for malformed SDP; it may quote the endpoint
            raise NegotiationError("WHIP: expected an SDP answer that fits the offer, got another text") from error

    def _checked(self, url: str) -> URL:
        try:
            endpoint = URL(url)
            self._targets.check(endpoint)
        except ValueError as error:
            raise TargetError("WHIP: expected a URL of http or https") from error
        return endpoint

    async def _post(self, endpoint: URL, offer: str) -> str:
        """Exchange offer for answer, and note where the publication can be deleted.

        No error or log quotes the body: a client that may choose the endpoint may not be allowed to read from it.
        """
        async with self._session() as http:
            for _ in range(_MAX_REDIRECTS + 1):
                headers = self._headers | {"Content-Type": _SDP, "Accept": _SDP}
                async with http.post(endpoint, data=offer, headers=headers, allow_redirects=False) as response:
                    if response.status not in _REDIRECTS:
                        return await self._read_answer(response)
                    following = self._location(response)
                    self._targets.check(following)
                    if following.origin() != endpoint.origin():
                        self._headers.pop("Authorization", None)  # the token was not meant for another host
                    endpoint = following
        raise StreamError(f"WHIP: expected at most {_MAX_REDIRECTS} redirects, got more")

    async def _read_answer(self, response: ClientResponse) -> str:
        if response.status != HTTPStatus.CREATED:
            raise StreamError(f"WHIP: expected status 201 from {_where(response)}, got {response.status}")
        resource = self._location(response)
        if resource.origin() != response.url.origin():
            raise StreamError(f"WHIP: expected a Location on {response.url.origin()}, got one elsewhere")
        self._resource = resource
        self._linked = linked_servers(response.headers.getall("Link", ()))
        if response.content_type != _SDP:
            raise StreamError(f"WHIP: expected {_SDP} from {_where(response)}, got another type")
        answer = await _read(response, MAX_SDP_BYTES + 1)
        if len(answer) > MAX_SDP_BYTES:
            raise StreamError(f"WHIP: expected at most {MAX_SDP_BYTES} bytes from {_where(response)}, got more")
        return answer.decode(errors="replace")

    @staticmethod
    def _location(response: ClientResponse) -> URL:
        location = response.headers.get("Location")
        if location is None:
            raise StreamError(f"WHIP: expected a Location header from {_where(response)}, got none")
        return response.url.join(URL(location))

    async def _delete(self) -> None:
        """Delete the publication at the endpoint, once; nothing to do if it made none."""
        resource, self._resource = self._resource, None
        if resource is None:
            return
        try:
            async with (
                self._session() as http,
                http.delete(resource, headers=self._headers, allow_redirects=False) as response,
            ):
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    logger.warning(
                        "WHIP: DELETE at %s: expected status 200, got %d", resource.origin(), response.status
                    )
        except StreamError as error:
            logger.warning("WHIP: DELETE at %s: %s", resource.origin(), error)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[ClientSession]:
        """Open an HTTP client whose failures are errors of the streaming layer."""
        connector = TCPConnector(resolver=TargetResolver(self._targets))
        try:
            async with ClientSession(connector=connector, timeout=_TIMEOUT) as http:
                yield http
        except (ClientError, TimeoutError, ValueError) as error:  # whose text may quote the endpoint
            raise StreamError(f"WHIP: expected an endpoint that answers, got {type(error).__name__}") from error

    async def _expire(self) -> None:
        """Close the publication if it does not connect in time: aiortc sets no bound to its DTLS."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self.connected.wait()
        except TimeoutError:
            logger.warning("WHIP: expected a connection within %g s of the answer, got none", CONNECT_TIMEOUT_S)
            await self.close()

    async def _on_state(self) -> None:
        state = self._pc.connectionState if self._pc else "closed"
        logger.info("WHIP: %s", state)
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            await self.close()


async def _read(response: ClientResponse, limit: int) -> bytes:
    """Return the body, up to `limit` bytes of it, in however many pieces it arrives."""
    try:
        return await response.content.readexactly(limit)
    except asyncio.IncompleteReadError as body:
        return body.partial


def _where(response: ClientResponse) -> str:
    return str(response.url.origin())
