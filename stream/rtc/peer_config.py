"""How peers connect, and their bitrates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiortc import RTCConfiguration, RTCIceServer, RTCRtpSender
from aiortc.rtcicetransport import parse_stun_turn_uri
from aiortc.rtcrtpparameters import RTCRtpCodecCapability

from stream.errors import StreamError
from stream.rtc.aiortc_internals import patch_process_bitrates, patch_process_h264_modes
from stream.rtc.bitrate import BitrateGovernor
from stream.rtc.ice import ice_links

_CODECS = {"vp8": "video/VP8", "h264": "video/H264"}


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """Settings of a `Peer`, in plain values; the methods turn them into aiortc's.

    Raises:
        StreamError: if a value can't be used.
    """

    video_codec: str = "vp8"
    """Preferred codec, "vp8" or "h264"; the other is the fallback."""
    start_bitrate: int = 1_500_000
    """Video bits per second before the receiver has reported what it can take."""
    min_bitrate: int = 300_000
    max_bitrate: int = 2_500_000
    """aiortc's own cap (1.5 Mbit/s for VP8) leaves a face at 512x512 visibly soft."""
    ice_servers: tuple[str, ...] = ()
    """STUN or TURN URLs; none by default: on a LAN they only delay the answer."""
    ice_username: str | None = None
    ice_credential: str | None = None
    microphone_backlog_ms: int = 2000
    """Bound on microphone sound waiting for a slow reader."""

    def __post_init__(self) -> None:
        """Check codec, bitrates and ICE servers."""
        if self.video_codec not in _CODECS:
            raise StreamError(f"video_codec: expected one of {list(_CODECS)}, got {self.video_codec}")
        if not 0 < self.min_bitrate <= self.start_bitrate <= self.max_bitrate:
            raise StreamError(
                "bitrates: expected 0 < min <= start <= max, got "
                f"{self.min_bitrate}, {self.start_bitrate}, {self.max_bitrate}"
            )
        for url in self.ice_servers:
            try:
                parse_stun_turn_uri(url)
            except ValueError as error:
                raise StreamError(f"ice_servers: expected stun:HOST:PORT or turn:HOST:PORT, got {url!r}") from error

    def rtc_configuration(self, instead: Sequence[RTCIceServer] = ()) -> RTCConfiguration:
        """Return the ICE servers as aiortc wants them; those of a media server are used where none is configured."""
        # An empty list, not None: None means a public STUN server.
        return RTCConfiguration(iceServers=self._servers() or list(instead))

    def ice_links(self) -> list[str]:
        """Return `Link` header values that name the ICE servers, with their credentials (RFC 9725, 4.6)."""
        return ice_links(self._servers())

    def _servers(self) -> list[RTCIceServer]:
        return [RTCIceServer(url, self.ice_username, self.ice_credential) for url in self.ice_servers]

    def video_codecs(self) -> list[RTCRtpCodecCapability]:
        """Return all video codecs, the preferred one first."""
        wanted = _CODECS[self.video_codec]
        capabilities = RTCRtpSender.getCapabilities("video").codecs
        return sorted(capabilities, key=lambda codec: codec.mimeType != wanted)

    def governor(self) -> BitrateGovernor:
        """Return a new bitrate rule for one viewer."""
        return BitrateGovernor(start=self.start_bitrate, low=self.min_bitrate, high=self.max_bitrate)

    def patch_process_encoders(self) -> None:
        """Set the whole process's H.264 modes, and the limits of the encoders that are made from now on."""
        patch_process_h264_modes()
        patch_process_bitrates(start=self.start_bitrate, low=self.min_bitrate, high=self.max_bitrate)
