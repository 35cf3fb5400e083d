"""The hub: one shared encoder per codec, a tick sink of the pump each, and the tracks that subscribe to them.

Each codec is encoded once for all remote ends (`stream.rtc.shared_encoders`). An encoder exists while a track
subscribes to it: without subscribers nothing is encoded.
"""

from __future__ import annotations

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from stream.clock import SessionClock
from stream.playout.playout import TICK_SAMPLES
from stream.playout.pump import PlayoutPump
from stream.rtc.encoders import AudioEncoder, VideoEncoder, packetization_mode
from stream.rtc.shared_encoders import EncodingStats, SharedAudioEncoder, SharedVideoEncoder
from stream.rtc.tracks import AudioTrack, VideoTrack


class EncoderHub:
    """What one pump plays, encoded for any number of remote ends."""

    def __init__(self, pump: PlayoutPump) -> None:
        """Encode nothing yet."""
        self.pump = pump
        self._audio: dict[str, SharedAudioEncoder] = {}
        self._video: dict[tuple[str, bool], SharedVideoEncoder] = {}

    @property
    def clock(self) -> SessionClock:
        """The session's clock, which stamps what is encoded."""
        return self.pump.clock

    def tracks(self, *, bitrate: int, matte: bool = False) -> tuple[AudioTrack, VideoTrack]:
        """Return the two tracks of a new remote end; they start at the current time when first read.

        Args:
            bitrate: bits per second of video that the remote end can take, as far as is known.
            matte: whether it wants the matte to the right of the frame.
        """
        video = VideoTrack(
            lambda codec: self._video_encoder(codec, matte=matte), self.pump.release_matte, bitrate=bitrate
        )
        if matte:
            self.pump.request_matte(video)
        return AudioTrack(self._audio_encoder), video

    def encodings(self) -> dict[str, EncodingStats]:
        """Return the counters of each encoder at work, by the MIME type of what it makes."""
        video = {mime + "+matte" * matte: encoder.stats for (mime, matte), encoder in self._video.items()}
        return video | {mime: encoder.stats for mime, encoder in self._audio.items()}

    def _audio_encoder(self, codec: RTCRtpCodecParameters) -> SharedAudioEncoder:
        key = codec.mimeType.lower()
        if key not in self._audio:
            encoder = SharedAudioEncoder(AudioEncoder(codec), lambda: self.pump.remove(self._audio.pop(key)))
            self._audio[key] = encoder
            self.pump.add(encoder)
        return self._audio[key]

    def _video_encoder(self, codec: RTCRtpCodecParameters, *, matte: bool) -> SharedVideoEncoder:
        """Return the shared encoder of a codec, after giving it the frame on the screen for a new subscriber."""
        single = codec.name.upper() == "H264" and not packetization_mode(codec)
        key = codec.mimeType.lower() + ";packetization-mode=0" * single, matte
        if key not in self._video:
            encoder = SharedVideoEncoder(
                VideoEncoder(codec, matte=matte), lambda: self.pump.remove(self._video.pop(key))
            )
            self._video[key] = encoder
            self.pump.add(encoder)
        if (shown := self.pump.shown) is not None:
            # One tick back: the next frame may be due at the very next tick.
            self._video[key].show_again(shown, self.pump.next_time - TICK_SAMPLES)
        return self._video[key]
