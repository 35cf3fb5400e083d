"""Every private member of aiortc and aioice that is used, with the reason and what would replace it.

No other module of `stream` or `presenter` touches one; a test checks that, and that each exists in the installed
version. `SenderInternals` and `ReceiverInternals` change one object, before it starts and in any order;
`patch_process_...` changes a module, for the whole process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple

import av
from aioice import ice
from aiortc import RTCCertificate, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, codecs
from aiortc.codecs import h264, vpx
from aiortc.jitterbuffer import JitterBuffer
from aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase
from aiortc.rtcdtlstransport import RTCDtlsTransport, SRTPProtectionProfile
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import AnyRtcpPacket, HeaderExtensionsMap, RtpPacket
from OpenSSL import SSL

from stream.rtc.h264 import reopened_h264

LOOPBACK = "127.0.0.1"
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"  # aiortc has those for ECDSA only

_ENCODE_ONCE = "aiortc#449, aiortc#544 (closed: no way to send what is encoded already); W3C RTCRtpScriptTransform"
_REPORTS = "no issue; a track that gives the capture time of a frame for its sender reports (RFC 3550, 6.4.1)"
_STATS = "no issue; RTCRtpReceiver.getStats() without decoding, and the time map of its sender reports"
_BITRATE = "aiortc#402 (closed: no way to set a bitrate); W3C RTCRtpSender.setParameters().encodings[].maxBitrate"
_NO_DELAY = "aiortc#540 (closed: no way to set its size); W3C RTCRtpReceiver.jitterBufferTarget"
_DIRECTION = "no issue; aiortc believes an answer that sends where the offer only sends"
_RSA = "no issue; an option of aiortc for the cipher list, as Pion and libwebrtc have RSA suites by default"
_MODE_0 = "no issue; aiortc answers H.264 offers without packetization-mode, which is mode 0 (RFC 6184, 8.1)"
_NO_NETWORK = "no issue; an option of aioice, as pion/ice#497 is one of Pion's"


class Member(NamedTuple):
    """One private member, or a public name that is replaced for the whole process."""

    owner: Any
    """A class, or a module."""
    name: str
    """As in the owner's source; two leading underscores are mangled."""
    reason: str
    until: str
    """The upstream issue, or the public way that would replace it."""


MEMBERS = (
    Member(RTCRtpSender, "_run_rtp", "sends frames that all viewers share", _ENCODE_ONCE),
    Member(RTCRtpSender, "__rtp_started", "`stop` waits for it", _ENCODE_ONCE),
    Member(RTCRtpSender, "__rtp_exited", "`stop` waits for it", _ENCODE_ONCE),
    Member(RTCRtpSender, "__rtp_history", "lost packets are sent again from it", _ENCODE_ONCE),
    Member(RTCRtpSender, "__rtp_header_extensions_map", "negotiated numbers of header extensions", _ENCODE_ONCE),
    Member(RTCRtpSender, "__mid", "sent with each packet (RFC 8843)", _ENCODE_ONCE),
    Member(RTCRtpSender, "__packet_count", "reports and statistics", _ENCODE_ONCE),
    Member(RTCRtpSender, "__octet_count", "reports and statistics", _ENCODE_ONCE),
    Member(RTCDtlsTransport, "_send_rtp", "encrypts and sends a packet", _ENCODE_ONCE),
    Member(RTCRtpSender, "_ssrc", "of packets, reports and estimates", "W3C getParameters().encodings[].ssrc"),
    Member(RTCRtpSender, "_send_keyframe", "a viewer lost a picture", "W3C RTCRtpScriptTransformer.onkeyframerequest"),
    Member(RTCRtpSender, "_send_rtcp", "sender reports follow the time of content, not of sending", _REPORTS),
    Member(RTCRtpSender, "__cname", "of early reports", _REPORTS),
    Member(RTCRtpSender, "__lsr", "the round trip is told from the corrected report", _REPORTS),
    Member(RTCRtpSender, "__lsr_time", "the round trip is told from the corrected report", _REPORTS),
    Member(RTCRtpSender, "_handle_rtcp_packet", "a viewer's estimates go to the shared encoder", _BITRATE),
    *(Member(module, f"{limit}_BITRATE", "limits of encoders made from now on", _BITRATE)
      for module in (vpx, h264) for limit in ("MIN", "DEFAULT", "MAX")),
    Member(h264.H264Encoder, "_encode_frame", "NVENC, or x264's preset", "aiortc#711 (closed: other encoders)"),
    Member(h264.H264Encoder, "codec", "NVENC, or x264's preset", "aiortc#711 (closed: other encoders)"),
    Member(codecs, "CODECS", "H.264 in packetization mode 0", _MODE_0),
    Member(RTCPeerConnection, "__certificates", "DTLS with remote ends whose certificate is RSA", _RSA),
    Member(RTCCertificate, "_create_ssl_context", "DTLS with remote ends whose certificate is RSA", _RSA),
    Member(RTCRtpReceiver, "__jitter_buffer", "no sound is held back", _NO_DELAY),
    Member(RTCRtpReceiver, "_enabled", "media not asked for is not decoded", _DIRECTION),
    Member(RTCRtpReceiver, "_handle_rtp_packet", "measurements look at packets", _STATS),
    Member(RTCRtpReceiver, "_handle_rtcp_packet", "measurements look at reports", _STATS),
    Member(RTCRtpReceiver, "__remote_streams", "measurements count packets without decoding them", _STATS),
    Member(ice, "get_host_addresses", "two peers on a machine without a network", _NO_NETWORK),
)  # fmt: skip
"""All of them. Names without an underscore are undocumented as well, or changed in their module."""


class SenderInternals:
    """The private side of one `RTCRtpSender`."""

    def __init__(self, sender: RTCRtpSender) -> None:
        """Change nothing yet."""
        self._sender: Any = sender

    @property
    def ssrc(self) -> int:
        """The SSRC of its packets."""
        return self._sender._ssrc

    @property
    def mid(self) -> str | None:
        """The negotiated name of its media section; None before."""
        return self._sender._RTCRtpSender__mid

    @property
    def cname(self) -> str | None:
        """The name of the source in its reports; None before it starts."""
        return self._sender._RTCRtpSender__cname

    @property
    def extensions(self) -> HeaderExtensionsMap:
        """The negotiated numbers of header extensions."""
        return self._sender._RTCRtpSender__rtp_header_extensions_map

    async def send_rtp(self, packet: bytes) -> None:
        """Encrypt and send a packet."""
        await self._sender.transport._send_rtp(packet)

    @property
    def counts(self) -> tuple[int, int]:
        """Packets and octets sent."""
        return self._sender._RTCRtpSender__packet_count, self._sender._RTCRtpSender__octet_count

    def count(self, packets: int, octets: int) -> None:
        """Add to `counts`."""
        self._sender._RTCRtpSender__packet_count += packets
        self._sender._RTCRtpSender__octet_count += octets

    def replace_loop(
        self, run: Callable[[RTCRtpCodecParameters], Awaitable[None]], ask_keyframe: Callable[[], None]
    ) -> None:
        """Replace the loop that reads the track, encodes and sends, and the handler of picture loss."""
        self._sender._run_rtp = run
        self._sender._send_keyframe = ask_keyframe

    def start_loop(self, history: dict[int, Any]) -> None:
        """Note that the loop runs, and where packets are kept for retransmission."""
        self._sender._RTCRtpSender__rtp_history = history
        self._sender._RTCRtpSender__rtp_started.set()

    def end_loop(self) -> None:
        """Note that the loop has ended: `stop` waits for it."""
        self._sender._RTCRtpSender__rtp_exited.set()

    async def send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        """Send reports, through the filter too."""
        await self._sender._send_rtcp(packets)

    def filter_sent_rtcp(self, passes: Callable[[list[AnyRtcpPacket]], bool]) -> None:
        """Call a function with all reports before they are sent, to change them; False drops them."""
        self._sender._send_rtcp = _filtered(self._sender._send_rtcp, passes)

    def filter_received_rtcp(self, passes: Callable[[AnyRtcpPacket], bool]) -> None:
        """Call a function with all feedback before the sender processes it; False drops it."""
        self._sender._handle_rtcp_packet = _filtered(self._sender._handle_rtcp_packet, passes)

    def note_report(self, middle_of_ntp: int, at_s: float) -> None:
        """Set what the next receiver report is compared with to tell the round trip: 32 bits, and `time.time()`."""
        self._sender._RTCRtpSender__lsr = middle_of_ntp
        self._sender._RTCRtpSender__lsr_time = at_s


class ReceiverInternals:
    """The private side of one `RTCRtpReceiver`."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        """Change nothing yet."""
        self._receiver: Any = receiver

    def replace_jitter_buffer(self, buffer: JitterBuffer) -> None:
        """Put another jitter buffer in place; before media flows."""
        self._receiver._RTCRtpReceiver__jitter_buffer = buffer

    def discard_media(self) -> None:
        """Drop all that arrives from now on."""
        self._receiver._enabled = False

    def observe_rtp(self, see: Callable[[RtpPacket], object]) -> None:
        """Call a function with each packet before it is handled."""
        self._receiver._handle_rtp_packet = _observed(self._receiver._handle_rtp_packet, see)

    def observe_rtcp(self, see: Callable[[AnyRtcpPacket], object]) -> None:
        """Call a function with each report before it is handled."""
        self._receiver._handle_rtcp_packet = _observed(self._receiver._handle_rtcp_packet, see)

    def only_count(self, clock_rate: int) -> dict[int, StreamStatistics]:
        """Decode nothing from now on; returns the statistics that it reports, by SSRC, and keeps them up to date."""
        known: dict[int, StreamStatistics] = self._receiver._RTCRtpReceiver__remote_streams

        async def handle(packet: RtpPacket, arrival_time_ms: int) -> None:
            if packet.ssrc not in known:
                known[packet.ssrc] = StreamStatistics(clock_rate)
            known[packet.ssrc].add(packet)

        self._receiver._handle_rtp_packet = handle
        return known


def _filtered(handle: Callable[[Any], Awaitable[None]], passes: Callable[[Any], bool]) -> Any:
    async def filtered(packets: Any) -> None:
        if passes(packets):
            await handle(packets)

    return filtered


def _observed(handle: Callable[..., Awaitable[None]], see: Callable[[Any], object]) -> Callable[..., Awaitable[None]]:
    async def observed(packet: Any, **more: Any) -> None:
        see(packet)
        await handle(packet, **more)

    return observed


class _Certificate(RTCCertificate):
    """A certificate of this side; the remote end's may be ECDSA or RSA."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(_CIPHERS)
        return context


def accept_rsa_certificates(pc: RTCPeerConnection) -> None:
    """Let a connection without media sections yet connect to remote ends whose certificate is RSA, in either role."""
    connection: Any = pc
    connection._RTCPeerConnection__certificates = [_Certificate.generateCertificate()]


class LiveH264Encoder(h264.H264Encoder):
    """aiortc's H.264 encoder with another codec; see `stream.rtc.h264`."""

    single_nal = False  # packetization mode 0: each NAL unit is one payload (RFC 6184, 6.2)

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Encode a frame to RTP payloads and its timestamp."""
        if not self.single_nal:
            return super().encode(frame, force_keyframe)
        timestamp = convert_timebase(frame.pts, frame.time_base, VIDEO_TIME_BASE)  # encoding changes both
        return list(self._encode_frame(frame, force_keyframe)), timestamp

    def _encode_frame(self, frame: av.VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        """Open the codec before the base class would, which then finds nothing to do."""
        if (codec := reopened_h264(self, frame, small_slices=self.single_nal)) is not None:
            self.codec = codec
        yield from super()._encode_frame(frame, force_keyframe)


def patch_process_h264_modes() -> None:
    """Let this process negotiate H.264 in packetization mode 0 too, after mode 1; safe to repeat."""
    known = codecs.CODECS["video"]
    unused = 1 + max(codec.payloadType for codec in known)
    modes = {codec.payloadType: codec.parameters.get("packetization-mode") for codec in known}
    if "0" not in modes.values():
        long = [codec for codec in known if modes[codec.payloadType] == "1"]
        for number, codec in enumerate(long, unused):
            known.append(replace(codec, payloadType=number, parameters=codec.parameters | {"packetization-mode": "0"}))


def patch_process_bitrates(*, start: int, low: int, high: int) -> None:
    """Set the limits of all encoders that this process makes from now on, in bits per second."""
    for module in (vpx, h264):
        limits = vars(module)
        limits["MIN_BITRATE"] = low
        limits["DEFAULT_BITRATE"] = start
        limits["MAX_BITRATE"] = high


def patch_process_host_addresses() -> None:
    """Let ICE in this process fall back to the loopback address where it finds no other; safe to repeat.

    aioice (0.10 to 0.13) never offers that address (RFC 8445, 5.1.1.1): without a network two peers on one machine have
    none at all. Chromium needs `--allow-loopback-in-peer-connection` then.
    """
    addresses = ice.get_host_addresses
    if hasattr(addresses, "__wrapped__"):
        return

    @wraps(addresses)
    def with_fallback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ([LOOPBACK] if use_ipv4 else [])

    vars(ice)["get_host_addresses"] = with_fallback
