"""One WebRTC peer: an offer in, an answer out; receives the microphone, sends audio and video.

Transport only. The use of the microphone and the source of the video are up to the caller.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError, OperationError

from stream.clock import ms
from stream.errors import NegotiationError, StreamError
from stream.media import AudioChunk
from stream.playout.playout import TICK_SAMPLES
from stream.rtc.aiortc_internals import accept_rsa_certificates, patch_process_host_addresses
from stream.rtc.hub import EncoderHub
from stream.rtc.ice import without_end_of_candidates
from stream.rtc.inbound import InboundAudio, InboundStats
from stream.rtc.outbound import send_track
from stream.rtc.peer_config import PeerConfig
from stream.rtc.sdp import bounded, offered_kinds

__all__ = ["Peer", "PeerConfig", "PeerStats"]

logger = logging.getLogger(__name__)

NEGOTIATION_TIMEOUT_S = 10.0
"""An offer whose description isn't applied by then is refused: it may name hosts that can't be resolved."""

_MAX_MESSAGE_BYTES = 16_384
_MAX_BUFFERED_BYTES = 65_536  # of messages that the remote end has not acknowledged


@dataclass(frozen=True, slots=True)
class PeerStats:
    """What one peer lost, and where."""

    microphone: InboundStats = InboundStats()
    audio_dropped_ms: float = 0.0
    """Sound that was not encoded, or not fetched by its sender, in time."""
    frames_dropped: int = 0
    """Frames that were not encoded, or not fetched by its sender, in time."""


class Peer:
    """One remote end. `answer` once, then use `microphone`, `send`; `close` at any time."""

    def __init__(
        self,
        hub: EncoderHub,
        config: PeerConfig | None = None,
        on_message: Callable[[dict[str, Any]], None] | None = None,
        *,
        receives_microphone: bool = True,
        matte: bool = False,
    ) -> None:
        """Prepare a peer that plays what `hub` encodes.

        Args:
            hub: source of audio and video, and of the clock that the reports follow.
            config: codec, bitrates, ICE.
            on_message: called on the event loop with each JSON object that arrives on the data
                channel (at most 16 KiB each; others are ignored).
            receives_microphone: take the remote microphone, if there is one; no other media is ever taken.
            matte: send the matte, grey, to the right of the frame.
        """
        self._hub = hub
        self._config = config or PeerConfig()
        self._on_message = on_message
        self._on_message_failed = False
        self._receives_microphone = receives_microphone
        self._audio, self._video = hub.tracks(bitrate=self._config.start_bitrate, matte=matte)
        self._inbound = InboundAudio(backlog_ms=self._config.microphone_backlog_ms)
        self._reader: asyncio.Task[None] | None = None
        self._channel: RTCDataChannel | None = None
        self._pc: RTCPeerConnection | None = None
        self._closing = False
        self.connected = asyncio.Event()
        """Set when media can flow."""
        self.closed = asyncio.Event()
        """Set when the connection has ended, by either side or by failure."""

    @property
    def state(self) -> str:
        """W3C connection state: new, connecting, connected, failed or closed."""
        return str(self._pc.connectionState) if self._pc else "closed" if self._closing else "new"

    async def answer(self, offer_sdp: str) -> str:
        """Accept an offer and return the answer, with all ICE candidates in it.

        Raises:
            NegotiationError: if the offer can't be parsed or answered; the peer is closed then.
            StreamError: if the peer was used or closed before.
        """
        if self._pc is not None or self._closing:
            raise StreamError("Peer.answer: expected a new peer, got one that was used before")
        try:
            return await self._negotiate(without_end_of_candidates(offer_sdp))
        except BaseException as error:
            await self.close()
            if isinstance(error, NegotiationError) or not isinstance(error, Exception):
                raise
            if not isinstance(error, (OperationError, ValueError)):  # not how aiortc refuses: perhaps a bug
                logger.warning("an offer could not be answered", exc_info=error)
            raise NegotiationError(f"offer can't be answered: {error or type(error).__name__}") from error

    def microphone(self) -> AsyncIterator[AudioChunk]:
        """Return the remote microphone, chunk by chunk; ends with the connection. Empty unless the peer receives it."""
        return self._inbound.chunks()

    def send(self, message: Mapping[str, Any]) -> bool:
        """Send a JSON object on the data channel; False if there is none open, or it is 64 KiB behind."""
        channel = self._channel
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > _MAX_BUFFERED_BYTES:
            return False
        try:
            channel.send(json.dumps(message))
        except (ConnectionError, InvalidStateError):  # it is closing just now
            return False
        return True

    def stats(self) -> PeerStats:
        """Return the loss counters."""
        return PeerStats(self._inbound.stats(), self._audio.dropped * ms(TICK_SAMPLES), self._video.dropped)

    async def close(self) -> None:
        """End the connection; works before `answer`, and any number of times."""
        if self._closing:
            await self.closed.wait()
            return
        self._closing = True
        self._audio.stop()
        self._video.stop()
        try:
            if self._pc is not None:
                await self._pc.close()
        except Exception:  # of a connection whose negotiation failed half-way
            logger.warning("a peer connection did not close cleanly", exc_info=True)
        finally:
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
            self._inbound.end()
            self._pc = self._reader = self._channel = None  # they refer to this peer
            self.closed.set()

    async def _negotiate(self, offer_sdp: str) -> str:
        patch_process_host_addresses()
        self._config.patch_process_encoders()
        offer_sdp = bounded(offer_sdp, "offer")
        kinds = await asyncio.to_thread(offered_kinds, offer_sdp)
        if self._closing:
            raise StreamError("Peer.answer: expected an open peer, got one that was closed meanwhile")
        self._pc = pc = RTCPeerConnection(self._config.rtc_configuration())
        pc.on("datachannel", self._on_datachannel)
        pc.on("connectionstatechange", self._on_state)
        accept_rsa_certificates(pc)
        self._add_tracks(pc, kinds)
        # Not around the rest: a peer that is closed while it gathers candidates keeps their sockets open.
        async with asyncio.timeout(NEGOTIATION_TIMEOUT_S):
            await pc.setRemoteDescription(RTCSessionDescription(sdp=offer_sdp, type="offer"))
        if self._receives_microphone:
            self._attach_microphone(pc)
        await pc.setLocalDescription(await pc.createAnswer())
        return str(pc.localDescription.sdp)

    def _add_tracks(self, pc: RTCPeerConnection, kinds: set[str]) -> None:
        """Add the tracks that the offer has sections for; a track without a counterpart would never connect."""
        for track in (self._audio, self._video):
            if track.kind in kinds:
                receives = self._receives_microphone and track is self._audio
                send_track(pc, track, self._config, self._hub.clock, receives=receives)

    def _attach_microphone(self, pc: RTCPeerConnection) -> None:
        """Read the audio track that the remote end sends, if it sends one."""
        for transceiver in pc.getTransceivers():
            track = transceiver.receiver.track
            if transceiver.kind == "audio" and track is not None:
                self._inbound.attach(transceiver.receiver)
                self._reader = asyncio.create_task(self._inbound.read(track))
                self._reader.add_done_callback(_log_failure)
                return

    def _on_datachannel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._receive)

    def _receive(self, data: str | bytes) -> None:
        if self._on_message is None or len(data) > _MAX_MESSAGE_BYTES:
            return
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            logger.info("data channel: expected a JSON object, got %.40r", data)
            return
        try:
            self._on_message(message)
        except Exception:  # it would end aiortc's reception
            if not self._on_message_failed:  # logged once: the remote end controls how often it happens
                logger.exception("a message on the data channel was not handled")
            self._on_message_failed = True

    async def _on_state(self) -> None:
        state = self.state
        logger.info("peer connection: %s", state)
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            await self.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the microphone can't be read any more", exc_info=error)
