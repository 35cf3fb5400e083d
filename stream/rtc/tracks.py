"""One remote end's two tracks: each subscribes to a shared encoder and queues what is encoded for one RTP sender."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame

from stream.rtc.encoders import EncodedFrame
from stream.rtc.frame_queue import EncodedFrameQueue
from stream.rtc.shared_encoders import SharedAudioEncoder, SharedVideoEncoder

_AUDIO_BACKLOG = 30  # 600 ms
_VIDEO_BACKLOG = 8  # 320 ms


class Track(ABC):
    """One subscriber of a shared encoder: returns frames that are encoded already.

    Replaces a `MediaStreamTrack` in an `RTCRtpSender`, see `stream.rtc.outbound`.
    """

    kind: ClassVar[str]

    def __init__(self, backlog: int) -> None:
        """Subscribe on the first `next_frame`, so that nothing is queued while a connection is being made."""
        self.id = str(uuid.uuid4())
        self.sent_time: int | None = None
        """Timestamp of the last frame returned, samples at 16 kHz of the session's clock."""
        self._frames = EncodedFrameQueue(backlog, self.ask_keyframe)
        self._missed = 0
        self._joined = self._stopped = False

    @property
    def dropped(self) -> int:
        """Frames that were not encoded, or not fetched by this track's sender, in time."""
        return self._missed + self._frames.dropped

    async def next_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame:
        """Wait for the next frame in the negotiated codec.

        Raises:
            MediaStreamError: when the track has ended.
        """
        if self._stopped:
            raise MediaStreamError
        if not self._joined:
            self._joined = True
            self._join(codec)
        frame = await self._frames.get()
        self.sent_time = frame.time
        return RTCEncodedFrame(frame.payloads, frame.timestamp, frame.audio_level)

    def put(self, frame: EncodedFrame) -> None:
        """Take a frame from the shared encoder."""
        self._frames.put(frame)

    def miss(self) -> None:
        """Note that a frame was dropped before it was encoded."""
        self._missed += 1

    def stop(self) -> None:
        """End the track; a pending `next_frame` raises."""
        self._stopped = True
        self._frames.close()
        self._leave()

    @abstractmethod
    def ask_keyframe(self) -> None:
        """Request a keyframe."""

    @abstractmethod
    def _join(self, codec: RTCRtpCodecParameters) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...


class AudioTrack(Track):
    """The session's sound for one remote end, 20 ms a frame, without gaps."""

    kind = "audio"

    def __init__(self, find_encoder: Callable[[RTCRtpCodecParameters], SharedAudioEncoder]) -> None:
        """Subscribe later, to the shared encoder of the codec that will have been negotiated."""
        super().__init__(_AUDIO_BACKLOG)
        self._find_encoder = find_encoder
        self._encoder: SharedAudioEncoder | None = None

    def ask_keyframe(self) -> None:
        """Do nothing: a frame of sound depends on no other."""

    def _join(self, codec: RTCRtpCodecParameters) -> None:
        self._encoder = self._find_encoder(codec)
        self._encoder.subscribe(self)

    def _leave(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.unsubscribe(self)


class VideoTrack(Track):
    """The session's video for one remote end, from a keyframe on, with strictly growing timestamps."""

    kind = "video"

    def __init__(
        self,
        find_encoder: Callable[[RTCRtpCodecParameters], SharedVideoEncoder],
        on_stop: Callable[[VideoTrack], None],
        *,
        bitrate: int,
    ) -> None:
        """Subscribe later, to the shared encoder of the codec that will have been negotiated."""
        super().__init__(_VIDEO_BACKLOG)
        self.bitrate = bitrate
        """Bits per second that the remote end can take."""
        self._find_encoder = find_encoder
        self._on_stop = on_stop
        self._encoder: SharedVideoEncoder | None = None

    def limit(self, bitrate: int) -> None:
        """Set what the remote end can take, in bits per second; the encoder follows from the next frame on."""
        self.bitrate = bitrate

    def ask_keyframe(self) -> None:
        """Request a keyframe: the remote end has lost something."""
        if self._encoder is not None:
            self._encoder.ask_keyframe()

    def _join(self, codec: RTCRtpCodecParameters) -> None:
        self._encoder = self._find_encoder(codec)
        self._encoder.subscribe(self)

    def _leave(self) -> None:
        self._on_stop(self)
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.unsubscribe(self)
