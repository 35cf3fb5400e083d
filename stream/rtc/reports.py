"""RTCP sender reports that tell the truth about when a frame belongs, not when it was sent.

A receiver lip-syncs two tracks by their sender reports: each maps an RTP timestamp to a wall
time. aiortc (1.16) writes "the last packet's timestamp, at the time it was *sent*". If video takes
200 ms longer to leave than its audio (an encoder's hiccup, a busy machine), these reports say that
the frame *belongs* 200 ms after its audio, and the browser faithfully keeps that error.

Here both tracks get the line `NTP = session epoch + pts`, whatever the delay in sending. RFC 3550
(section 6.4.1) asks for exactly that: the RTP timestamp of a report corresponds to the same
instant as its NTP timestamp, on the sampling clock. The report is dated now, and the RTP timestamp
is the one that the session's clock has now.

Three gaps of aiortc are closed on the way: no report is sent before the first packet (its fields
would be zero); the first two reports leave at once instead of after up to 1.5 s, because a
receiver can't align the tracks before; and the time kept for the round-trip estimate follows the
corrected report.

Opus's own look-ahead (6.5 ms) is not subtracted: it makes audio late, which is the harmless side.
"""

from __future__ import annotations

import time
from typing import Any, Protocol, cast

from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from stream.clock import SessionClock
from stream.media import SAMPLE_RATE

_EARLY_REPORTS = 2  # libwebrtc needs two before it aligns the tracks
_EARLY_INTERVAL_NS = 200_000_000
_UINT32 = 0xFFFFFFFF
_NS = 1_000_000_000


class TimedTrack(Protocol):
    """A track that remembers the session time of the frame it gave out last."""

    sent_time: int | None
    """Samples at 16 kHz, or None before the first frame."""


class SenderReports:
    """Corrects the reports of one `RTCRtpSender`; install it before the sender starts."""

    def __init__(self, sender: RTCRtpSender, track: TimedTrack, clock: SessionClock) -> None:
        """Wrap two methods of this one sender; other senders of the process are not touched."""
        self._sender = cast(Any, sender)  # its internals are not part of its type
        self._track = track
        self._clock = clock
        self._encoded: int | None = None  # codec timestamp of the frame before this one
        self._origin: int | None = None  # RTP timestamp of codec timestamp 0, random per sender
        self._offset = 0  # codec timestamp minus session time, in units of the codec's clock
        self._last_offset = 0
        self._rate = 0
        self._early_sent = 0
        self._early_due_ns = 0
        self._encode_next = sender._next_encoded_frame
        self._send = sender._send_rtcp
        self._sender._next_encoded_frame = self._note_frame
        self._sender._send_rtcp = self._correct

    async def _note_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        """Learn how this sender's timestamps relate to the session, frame by frame."""
        if self._encoded is not None:
            # aiortc asks for the next frame only after the last packet of the one before.
            sent = int(self._sender._RTCRtpSender__rtp_timestamp)
            self._origin = (sent - self._encoded) & _UINT32
            await self._report_early()
        frame = await self._encode_next(codec)
        if frame is not None and self._track.sent_time is not None:
            self._rate = codec.clockRate
            self._note_offset(frame.timestamp - self._track.sent_time * self._rate // SAMPLE_RATE)
            self._encoded = frame.timestamp
        return frame

    def _note_offset(self, offset: int) -> None:
        """Believe the first frame, and afterwards what two frames in a row agree on.

        Where the track's time jumps, Opus's encoder stamps one packet as if it had not.
        """
        if self._encoded is None or offset == self._last_offset:
            self._offset = offset
        self._last_offset = offset

    async def _report_early(self) -> None:
        now_ns = self._clock.elapsed_ns()
        if self._early_sent == _EARLY_REPORTS or now_ns < self._early_due_ns:
            return
        self._early_sent += 1
        self._early_due_ns = now_ns + _EARLY_INTERVAL_NS
        sender, ssrc = self._sender, self._sender._ssrc
        info = RtcpSenderInfo(
            ntp_timestamp=0,
            rtp_timestamp=0,
            packet_count=sender._RTCRtpSender__packet_count & _UINT32,
            octet_count=sender._RTCRtpSender__octet_count & _UINT32,
        )
        packets: list[AnyRtcpPacket] = [RtcpSrPacket(ssrc=ssrc, sender_info=info)]
        cname = sender._RTCRtpSender__cname
        if cname is not None:
            source = RtcpSourceInfo(ssrc=ssrc, items=[(1, cname.encode())])
            packets.append(RtcpSdesPacket(chunks=[source]))
        await self._correct(packets)

    async def _correct(self, packets: list[AnyRtcpPacket]) -> None:
        """Rewrite the sender info of each report, then send."""
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                if self._origin is None:
                    return
                self._rewrite(packet.sender_info, self._origin)
        await self._send(packets)

    def _rewrite(self, info: RtcpSenderInfo, origin: int) -> None:
        now_ns = self._clock.elapsed_ns()
        info.ntp_timestamp = self._clock.ntp(now_ns)
        info.rtp_timestamp = (origin + self._offset + now_ns * self._rate // _NS) & _UINT32
        # Receivers echo the middle of the NTP time; aiortc compares it to tell the round trip,
        # and takes the difference to `time.time()`.
        self._sender._RTCRtpSender__lsr = (info.ntp_timestamp >> 16) & _UINT32
        self._sender._RTCRtpSender__lsr_time = time.time()
