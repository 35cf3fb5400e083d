"""RTCP sender reports by the session time of a frame, instead of the time when it was sent.

A receiver lip-syncs two tracks by their sender reports: each maps an RTP timestamp to a wall
time. aiortc (1.16) writes "the last packet's timestamp, at the time it was *sent*". If video takes
200 ms longer to leave than its audio (a slow encoder, a busy machine), these reports place the frame
200 ms after its audio, and the browser keeps that error.

Here both tracks are mapped by `NTP = session epoch + pts`, independent of the delay in sending. RFC 3550
(section 6.4.1) requires exactly that: the RTP timestamp of a report corresponds to the same
instant as its NTP timestamp, on the sampling clock. The report is dated now, and the RTP timestamp
is the one that the session's clock has now.

It also corrects three faults of aiortc: no report is sent before the first packet (its fields
would be zero); the first two reports leave at once instead of after up to 1.5 s, because a
receiver can't align the tracks before; and the time kept for the round-trip estimate follows the
corrected report.

Opus's own look-ahead (6.5 ms) is not subtracted: late audio is less noticeable than early audio.
"""

from __future__ import annotations

import time
from typing import Protocol

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
from stream.rtc.aiortc_internals import SenderInternals

_EARLY_REPORTS = 2  # libwebrtc needs two before it aligns the tracks
_EARLY_INTERVAL_NS = 200_000_000
_UINT32 = 0xFFFFFFFF
_NS = 1_000_000_000


class TimedTrack(Protocol):
    """A track that remembers the session time of the frame it gave out last."""

    @property
    def sent_time(self) -> int | None:
        """Return samples at 16 kHz, or None before the first frame."""


class SenderReports:
    """Corrects the reports of one `RTCRtpSender`; install it before the sender starts."""

    def __init__(self, sender: SenderInternals, track: TimedTrack, clock: SessionClock, origin: int) -> None:
        """Take over the reports of this one sender.

        Args:
            sender: what sends.
            track: tells the session time of its frames.
            clock: the session's.
            origin: RTP timestamp of codec timestamp 0.
        """
        self._sender = sender
        self._track = track
        self._clock = clock
        self._origin = origin
        self._offset: int | None = None  # codec timestamp minus session time, in units of the codec's clock
        self._last_offset = 0
        self._rate = 0
        self._has_sent = False
        self._early_sent = 0
        self._early_due_ns = 0
        sender.filter_sent_rtcp(self._correct)

    def note_frame(self, frame: RTCEncodedFrame, codec: RTCRtpCodecParameters) -> None:
        """Learn from a frame that the track gave out how codec timestamps relate to the session.

        The first is accepted, and afterwards what two in a row agree on: where the track's time jumps, Opus's encoder
        stamps one packet as if it had not.
        """
        if self._track.sent_time is None:
            return
        self._rate = codec.clockRate
        offset = frame.timestamp - self._track.sent_time * self._rate // SAMPLE_RATE
        if self._offset is None or offset == self._last_offset:
            self._offset = offset
        self._last_offset = offset

    async def note_sent(self) -> None:
        """Note that all packets of a frame have left; sends the first two reports without the usual wait."""
        if self._offset is None:
            return
        self._has_sent = True
        now_ns = self._clock.elapsed_ns()
        if self._early_sent == _EARLY_REPORTS or now_ns < self._early_due_ns:
            return
        self._early_sent += 1
        self._early_due_ns = now_ns + _EARLY_INTERVAL_NS
        sender, ssrc = self._sender, self._sender.ssrc
        packets_sent, octets_sent = sender.counts
        info = RtcpSenderInfo(
            ntp_timestamp=0,
            rtp_timestamp=0,
            packet_count=packets_sent & _UINT32,
            octet_count=octets_sent & _UINT32,
        )
        packets: list[AnyRtcpPacket] = [RtcpSrPacket(ssrc=ssrc, sender_info=info)]
        if sender.cname is not None:
            source = RtcpSourceInfo(ssrc=ssrc, items=[(1, sender.cname.encode())])
            packets.append(RtcpSdesPacket(chunks=[source]))
        await sender.send_rtcp(packets)

    def _correct(self, packets: list[AnyRtcpPacket]) -> bool:
        """Rewrite the sender info of each report; False if there is nothing to report yet."""
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                if not self._has_sent or self._offset is None:
                    return False
                self._rewrite(packet.sender_info, self._origin + self._offset)
        return True

    def _rewrite(self, info: RtcpSenderInfo, line: int) -> None:
        """Date it now; `line` is the RTP timestamp at the session's beginning."""
        now_ns = self._clock.elapsed_ns()
        info.ntp_timestamp = self._clock.ntp(now_ns)
        info.rtp_timestamp = (line + now_ns * self._rate // _NS) & _UINT32
        # Receivers echo the middle of the NTP time; aiortc compares it to tell the round trip,
        # and takes the difference to `time.time()`.
        self._sender.note_report((info.ntp_timestamp >> 16) & _UINT32, time.time())
