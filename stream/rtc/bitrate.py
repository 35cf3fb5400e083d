"""Video bitrate by a viewer's estimates (REMB), in few steps, because each step makes a new encoder.

A receiver reports its estimate (REMB) several times a second. aiortc (1.16) makes a new VP8 encoder
whenever that has moved by 10 %, and a new encoder starts with a keyframe: a burst many times the
size of a frame, on a path that is congested already. Here an estimate is applied at once when it
falls, and in few, large steps when it rises. How the targets of all viewers
are combined is up to the encoder they share (`stream.rtc.shared_encoders`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from aiortc import RTCRtpSender
from aiortc.rtp import RTCP_PSFB_APP, AnyRtcpPacket, RtcpPsfbPacket, unpack_remb_fci

from stream.clock import SessionClock
from stream.rtc.aiortc_internals import SenderInternals

_FALL = 0.9  # an estimate below this share of the target is applied at once
_RISE = 1.3  # one above this share is applied, after the pause
_PAUSE_S = 4.0
_HEADROOM = 0.95  # of a fallen estimate: queues in the network have to drain


class BitrateGovernor:
    """The rule, sans-I/O: estimates and times in, changes of the target out."""

    def __init__(self, *, start: int, low: int, high: int) -> None:
        """Begin at `start`; all in bits per second."""
        self._low, self._high = low, high
        self._changed_s: float | None = None
        self.target = start
        """Bits per second that the encoder is to make."""

    def update(self, estimate: int, now_s: float) -> bool:
        """Take one estimate (bits per second) at a monotonic time; True if the target changed."""
        if estimate < _FALL * self.target:
            wanted = int(_HEADROOM * estimate)
        elif self._changed_s is not None and now_s - self._changed_s < _PAUSE_S:
            return False
        elif estimate >= min(_RISE * self.target, self._high):
            wanted = estimate
        else:
            return False
        wanted = max(self._low, min(wanted, self._high))
        if wanted == self.target:
            return False
        self.target, self._changed_s = wanted, now_s
        return True


class ViewerBitrate:
    """Applies the rule to the estimates that one `RTCRtpSender` receives."""

    def __init__(
        self, sender: RTCRtpSender, governor: BitrateGovernor, clock: SessionClock, on_change: Callable[[int], None]
    ) -> None:
        """Take over the estimates of this one sender.

        Args:
            sender: of video.
            governor: the rule.
            clock: the session's.
            on_change: called with each new target, in bits per second.
        """
        internals = SenderInternals(sender)
        self._ssrc = internals.ssrc
        self._governor = governor
        self._clock = clock
        self._on_change = on_change
        internals.filter_received_rtcp(self._passes)

    def _passes(self, packet: AnyRtcpPacket) -> bool:
        """Keep estimates; let everything else through."""
        if not isinstance(packet, RtcpPsfbPacket) or packet.fmt != RTCP_PSFB_APP:
            return True
        try:
            estimate, ssrcs = unpack_remb_fci(packet.fci)
        except (ValueError, IndexError, struct.error):
            return False  # an application message that is not an estimate
        if self._ssrc in ssrcs and self._governor.update(estimate, self._clock.elapsed_ns() / 1e9):
            self._on_change(self._governor.target)
        return False
