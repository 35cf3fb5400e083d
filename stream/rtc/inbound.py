"""Incoming audio over WebRTC: packets of a remote track become chunks without buffering.

aiortc (1.16) buffers four audio packets (80 ms) to reorder them, and after one lost packet
its buffer keeps 320 ms for the rest of the call, because it releases one packet for each that
arrives. For live speech either is too much delay: here every packet is decoded when it arrives, one
that arrives after its successor is dropped, and what is missing is replaced by silence.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import av
from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import MAX_MISORDER, JitterBuffer, JitterFrame
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt

from stream.media import AudioChunk
from stream.pcm.chunk_queue import ChunkQueue
from stream.pcm.chunker import LEAD_IN_MS, Chunker, silent_like
from stream.rtc.aiortc_internals import ReceiverInternals

_MAX_FILL_S = 1  # a longer gap is a restart of the source, not loss
_RESTART_PACKETS = 3  # this many in a row with a new numbering are a restart of the source, not stray packets


class InOrder(JitterBuffer):
    """A jitter buffer of size zero: packets pass in order or are dropped.

    A source that starts over, with another SSRC or far back in its numbers, is followed once a few
    of its packets came in a row (RFC 3550 appendix A.1 asks for the same care).
    """

    def __init__(self) -> None:
        """Accept any first packet."""
        super().__init__(capacity=1)
        self._newest: int | None = None
        self._ssrc = 0
        self._restart: tuple[int, int] | None = None  # SSRC and number that would confirm a restart
        self._restart_seen = 0
        self.late = 0
        """Packets dropped because a later one had arrived, or to distinguish a restart from a stray packet."""

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Return the packet's content at once, or nothing if it is out of order."""
        number = packet.sequence_number
        if not self._is_next(packet.ssrc, number) and not self._is_restart(packet.ssrc, number):
            self.late += 1
            return False, None
        self._newest, self._ssrc, self._restart = number, packet.ssrc, None
        if not packet.payload:
            return False, None  # padding: a decoder would take it for the end of the stream
        # The whole payload is the frame: codecs for audio have no payload header.
        return False, JitterFrame(data=packet.payload, timestamp=packet.timestamp)

    def _is_next(self, ssrc: int, number: int) -> bool:
        return self._newest is None or (ssrc == self._ssrc and uint16_gt(number, self._newest))

    def _is_restart(self, ssrc: int, number: int) -> bool:
        """Note a packet out of place; True once enough of them came in a row."""
        assert self._newest is not None
        if ssrc == self._ssrc and uint16_add(self._newest, -number) < MAX_MISORDER:
            return False  # an ordinary late packet
        self._restart_seen = self._restart_seen + 1 if self._restart == (ssrc, number) else 1
        self._restart = ssrc, uint16_add(number, 1)
        return self._restart_seen >= _RESTART_PACKETS


@dataclass(frozen=True, slots=True)
class InboundStats:
    """Counters of incoming audio."""

    received_ms: float = 0.0
    filled_ms: float = 0.0
    """Silence put in place of lost packets."""
    late_packets: int = 0
    dropped_ms: float = 0.0
    """Sound dropped because the reader was further behind than the bound."""


class InboundAudio:
    """Chunks of one remote audio track, read by one consumer."""

    def __init__(self, *, backlog_ms: int) -> None:
        """Keep at most `backlog_ms` for a slow reader; beyond that the oldest is dropped."""
        self._chunker = Chunker(lead_in_ms=LEAD_IN_MS)
        self._queue = ChunkQueue(backlog_ms)
        self._rate: int | None = None
        self._buffer: InOrder | None = None
        self._received = self._filled = 0.0

    def attach(self, receiver: RTCRtpReceiver) -> None:
        """Replace the receiver's jitter buffer; call it before media flows."""
        self._buffer = InOrder()
        ReceiverInternals(receiver).replace_jitter_buffer(self._buffer)

    async def read(self, track: MediaStreamTrack) -> None:
        """Read the track until it ends; run it as a task."""
        expected: int | None = None
        try:
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                expected = self._take(frame, expected)
        except MediaStreamError:
            pass
        finally:
            self.end()

    def end(self) -> None:
        """End the stream: `chunks` finishes after what is queued."""
        self._queue.end()

    def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield chunks as they complete, until the track ends."""
        return self._queue.chunks()

    def stats(self) -> InboundStats:
        """Return the counters."""
        late = self._buffer.late if self._buffer else 0
        return InboundStats(self._received, self._filled, late, self._queue.dropped_ms)

    def _take(self, frame: av.AudioFrame, expected: int | None) -> int:
        """Chunk one frame, after silence for what is missing; returns the pts that must follow."""
        rate, count = frame.sample_rate, frame.samples
        if self._rate not in (None, rate):  # the remote end changed its codec
            self._queue.put(self._chunker.flush())
            expected = None
        self._rate = rate
        pts = expected if frame.pts is None else frame.pts
        missing = 0 if expected is None or pts is None else pts - expected
        if 0 < missing <= _MAX_FILL_S * rate:
            self._filled += missing * 1000 / rate
            self._queue.put(self._chunker.push_frame(silent_like(frame, missing)))
        self._received += count * 1000 / rate
        self._queue.put(self._chunker.push_frame(frame))
        return (pts or 0) + count
