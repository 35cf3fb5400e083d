"""Outgoing audio and video: an `RTCRtpSender` that sends what others have encoded.

aiortc (1.16) keeps encryption, retransmission, reports and statistics for each sender. What is
replaced, for one sender at a time, is its loop: it takes frames that are encoded and cut into
payloads already, and writes their common header once a frame instead of once a packet, which is
most of what a packet costs where many viewers get the same ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from struct import pack_into
from typing import Any, Protocol

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame, random_sequence_number
from aiortc.rtp import RTP_HISTORY_SIZE, HeaderExtensionsMap, RtpPacket
from aiortc.utils import random32, uint16_add, uint32_add

from stream.clock import SessionClock, ntp
from stream.rtc.aiortc_internals import SenderInternals
from stream.rtc.bitrate import ViewerBitrate
from stream.rtc.peer_config import PeerConfig
from stream.rtc.reports import SenderReports
from stream.rtc.tracks import AudioTrack, VideoTrack

logger = logging.getLogger(__name__)

_MARKER = 0x80  # last packet of a frame


def send_track(
    pc: RTCPeerConnection,
    track: AudioTrack | VideoTrack,
    config: PeerConfig,
    clock: SessionClock,
    *,
    receives: bool = False,
) -> None:
    """Add a transceiver that sends a track; before anything is negotiated.

    Args:
        pc: where to.
        track: what; it ends with its sender.
        config: codec and bitrates.
        clock: the session's, which the sender reports follow.
        receives: let the remote end send too; its track must be read then, for aiortc decodes it
            into an unbounded queue.
    """
    transceiver = pc.addTransceiver(track.kind, direction="sendrecv" if receives else "sendonly")
    sender = transceiver.sender
    EncodedSender(sender, track, clock)
    if isinstance(track, VideoTrack):
        transceiver.setCodecPreferences(config.video_codecs())
        ViewerBitrate(sender, config.governor(), clock, track.limit)


class EncodedTrack(Protocol):
    """What is sent: frames that are encoded and cut into payloads."""

    @property
    def kind(self) -> str:
        """Return "audio" or "video"."""

    @property
    def sent_time(self) -> int | None:
        """Return the session time of the frame it gave out last, in samples at 16 kHz; None before the first."""

    async def next_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame:
        """Wait for the next frame; raises `MediaStreamError` when the track has ended."""

    def ask_keyframe(self) -> None:
        """Request a keyframe."""

    def stop(self) -> None:
        """End the track."""


class EncodedSender:
    """Lets one `RTCRtpSender` send a track that is encoded; install it before the sender starts."""

    def __init__(self, sender: RTCRtpSender, track: EncodedTrack, clock: SessionClock) -> None:
        """Replace the loop and correct the reports of this one sender.

        Args:
            sender: what sends.
            track: what to send; ends with the sender.
            clock: the session's, which the sender reports follow.
        """
        self._sender = SenderInternals(sender)
        self._track = track
        self._sequence = random_sequence_number()
        self._origin = random32()
        self._history = _History(self._sender.extensions)
        self._reports = SenderReports(self._sender, track, clock, self._origin)
        sender.replaceTrack(track)
        self._sender.replace_loop(self._run, track.ask_keyframe)

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        self._sender.start_loop(self._history)
        try:
            while True:
                frame = await self._track.next_frame(codec)
                self._reports.note_frame(frame, codec)
                await self._send(frame, codec.payloadType)
                await self._reports.note_sent()
        except (asyncio.CancelledError, ConnectionError, MediaStreamError):
            pass
        except Exception:
            logger.exception("a %s sender failed", self._track.kind)
        finally:
            self._track.stop()
            self._history.clear()
            self._sender.end_loop()

    async def _send(self, frame: RTCEncodedFrame, payload_type: int) -> None:
        header = self._header(frame, payload_type)
        last = len(frame.payloads) - 1
        for i, payload in enumerate(frame.payloads):
            pack_into("!BH", header, 1, payload_type | (_MARKER if i == last else 0), self._sequence)
            packet = bytes(header) + payload
            self._history[self._sequence % RTP_HISTORY_SIZE] = packet
            self._sequence = uint16_add(self._sequence, 1)
            await self._sender.send_rtp(packet)
        self._sender.count(len(frame.payloads), sum(map(len, frame.payloads)))

    def _header(self, frame: RTCEncodedFrame, payload_type: int) -> bytearray:
        """Return what all packets of a frame begin with (RFC 3550 section 5.1)."""
        timestamp = uint32_add(self._origin, frame.timestamp)
        packet = RtpPacket(payload_type, timestamp=timestamp, ssrc=self._sender.ssrc)
        packet.extensions.mid = self._sender.mid
        packet.extensions.abs_send_time = (ntp(time.time_ns()) >> 14) & 0x00FFFFFF  # 6.18 fixed point
        if frame.audio_level is not None:
            packet.extensions.audio_level = (False, -frame.audio_level)
        return bytearray(packet.serialize(self._sender.extensions))


class _History(dict[int, Any]):
    """The packets sent last, kept as they were sent and parsed when a retransmission is requested."""

    def __init__(self, extensions: HeaderExtensionsMap) -> None:
        super().__init__()
        self._extensions = extensions

    def get(self, index: int, default: Any = None) -> Any:
        data = super().get(index)
        return default if data is None else RtpPacket.parse(data, self._extensions)
