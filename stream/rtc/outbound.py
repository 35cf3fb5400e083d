"""Voice and face on their way out: an `RTCRtpSender` that sends what others have encoded.

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
from typing import Any, cast

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame, random_sequence_number
from aiortc.rtp import RTP_HISTORY_SIZE, HeaderExtensionsMap, RtpPacket
from aiortc.utils import random32, uint16_add, uint32_add

from stream.clock import SessionClock, ntp
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
        receives: let the remote end send too; somebody must read that then, for aiortc decodes it
            into a queue without bound.
    """
    transceiver = pc.addTransceiver(track.kind, direction="sendrecv" if receives else "sendonly")
    sender = transceiver.sender
    EncodedSender(sender, track)
    SenderReports(sender, track, clock)
    if isinstance(track, VideoTrack):
        transceiver.setCodecPreferences(config.video_codecs())
        ViewerBitrate(sender, config.governor(), clock, track.limit)


class EncodedSender:
    """Lets one `RTCRtpSender` send a track that is encoded; install it before the sender starts."""

    def __init__(self, sender: RTCRtpSender, track: AudioTrack | VideoTrack) -> None:
        """Replace three methods of this one sender; other senders of the process are not touched."""
        self._sender = cast(Any, sender)  # its internals are not part of its type
        self._track = track
        self._sequence = random_sequence_number()
        self._origin = random32()
        self._sender.replaceTrack(track)
        self._sender._run_rtp = self._run
        self._sender._next_encoded_frame = track.next_frame
        self._sender._send_keyframe = track.ask_keyframe  # a picture was lost (PLI, FIR)

    async def _run(self, codec: RTCRtpCodecParameters) -> None:
        sender = self._sender
        sender._RTCRtpSender__rtp_history = _History(sender._RTCRtpSender__rtp_header_extensions_map)
        sender._RTCRtpSender__rtp_started.set()
        try:
            while True:
                # By the sender, where `SenderReports` has put itself in between.
                await self._send(await sender._next_encoded_frame(codec), codec.payloadType)
        except (asyncio.CancelledError, ConnectionError, MediaStreamError):
            pass
        except Exception:
            logger.exception("a %s sender failed", self._track.kind)
        finally:
            self._track.stop()
            sender._RTCRtpSender__rtp_exited.set()  # `stop` waits for it

    async def _send(self, frame: RTCEncodedFrame, payload_type: int) -> None:
        sender = self._sender
        timestamp, now = uint32_add(self._origin, frame.timestamp), ntp(time.time_ns())
        header = self._header(frame, payload_type, timestamp, now)
        history, send_rtp = sender._RTCRtpSender__rtp_history, sender.transport._send_rtp
        last = len(frame.payloads) - 1
        for i, payload in enumerate(frame.payloads):
            pack_into("!BH", header, 1, payload_type | (_MARKER if i == last else 0), self._sequence)
            packet = bytes(header) + payload
            history[self._sequence % RTP_HISTORY_SIZE] = packet
            self._sequence = uint16_add(self._sequence, 1)
            await send_rtp(packet)
        sender._RTCRtpSender__ntp_timestamp = now
        sender._RTCRtpSender__rtp_timestamp = timestamp
        sender._RTCRtpSender__packet_count += len(frame.payloads)
        sender._RTCRtpSender__octet_count += sum(map(len, frame.payloads))

    def _header(self, frame: RTCEncodedFrame, payload_type: int, timestamp: int, now: int) -> bytearray:
        """Return what all packets of a frame begin with (RFC 3550 section 5.1)."""
        sender = self._sender
        packet = RtpPacket(payload_type, timestamp=timestamp, ssrc=sender._ssrc)
        packet.extensions.mid = sender._RTCRtpSender__mid
        packet.extensions.abs_send_time = (now >> 14) & 0x00FFFFFF  # 6.18 fixed point
        if frame.audio_level is not None:
            packet.extensions.audio_level = (False, -frame.audio_level)
        return bytearray(packet.serialize(sender._RTCRtpSender__rtp_header_extensions_map))


class _History(dict[int, Any]):
    """The packets sent last, kept as they were sent and taken apart when one is asked for again."""

    def __init__(self, extensions: HeaderExtensionsMap) -> None:
        super().__init__()
        self._extensions = extensions

    def get(self, index: int, default: Any = None) -> Any:
        data = super().get(index)
        return default if data is None else RtpPacket.parse(data, self._extensions)
