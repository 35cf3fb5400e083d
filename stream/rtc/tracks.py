"""The clock meets the queue: one task pulls the playout and hands each 20 ms to every feed.

Audio and video of one tick are handed out in the same step of the event loop, so matching sound
and picture leave at the same instant. Each codec is encoded once (`stream.rtc.shared_encoders`) for all
viewers; what a slow viewer does not fetch is bounded here and never slows the others.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol

from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame

from stream.clock import SessionClock, samples
from stream.media import AudioChunk, VideoFrame
from stream.playout.playout import TICK_SAMPLES, Playout, PlayoutStats, Tick
from stream.rtc.encoders import AudioEncoder, EncodedFrame, VideoEncoder
from stream.rtc.frame_queue import EncodedFrameQueue
from stream.rtc.shared_encoders import EncodingStats, SharedAudioEncoder, SharedVideoEncoder

_VOICE_BACKLOG = 30  # 600 ms
_FACE_BACKLOG = 8  # 320 ms
_MAX_CATCH_UP = samples(500)  # after a longer stall (a suspended machine) the past is skipped


class TickSink(Protocol):
    """Who takes ticks from a playback."""

    def release(self, tick: Tick) -> None:
        """Take one tick; called on the event loop, must not wait."""

    def stop(self) -> None:
        """End: nothing more will come."""


class Playback:
    """Drives one `Playout` by one `SessionClock` for any number of viewers.

    Make it, run `run()` as a task, put matched pairs in, give each viewer its two tracks.
    """

    real_time = True
    """Ticks leave by the clock, whether something is ready or not."""

    def __init__(self, playout: Playout, clock: SessionClock) -> None:
        """Nothing runs yet."""
        self.clock = clock
        self._playout = playout
        self._observers: list[Callable[[Tick], None]] = []
        self._sinks: set[TickSink] = set()
        self._voices: dict[str, SharedAudioEncoder] = {}
        self._faces: dict[tuple[str, bool], SharedVideoEncoder] = {}
        self._matte_takers: set[VideoTrack | TickSink] = set()
        self._room = asyncio.Event()
        self._time = 0

    @property
    def matte_wanted(self) -> bool:
        """Whether any viewer or sink has asked for the matte beside the picture; may be read from any thread."""
        return bool(self._matte_takers)

    async def run(self) -> None:
        """Release a tick every 20 ms until cancelled; ends every sink on the way out."""
        self._time = self._next_tick(self.clock.now())
        try:
            while True:
                await self.clock.sleep_until(self._time)
                if self.clock.now() - self._time > _MAX_CATCH_UP:
                    self._time = self._next_tick(self.clock.now())
                tick = self._playout.pull(self._time)
                for sink in tuple(self._sinks):
                    sink.release(tick)
                for observe in self._observers:
                    observe(tick)
                self._room.set()
                self._time += TICK_SAMPLES
        finally:
            for sink in tuple(self._sinks):
                sink.stop()

    @property
    def queued_ms(self) -> float:
        """Sound that was put and has not left yet."""
        return self._playout.queued_ms

    @property
    def shown_pts(self) -> int | None:
        """`pts` of the frame on the screen, or None before the first."""
        frame = self._playout.last_frame
        return None if frame is None else frame.pts

    def observe(self, function: Callable[[Tick], None]) -> None:
        """Call a function with every tick, after the viewers have it."""
        self._observers.append(function)

    def has_room(self) -> bool:
        """Whether one more pair can be put now."""
        return self._playout.has_room()

    def put_now(self, chunk: AudioChunk, frame: VideoFrame | None, *, elastic: bool = True) -> None:
        """Queue a matched pair, for which there must be room; see `Playout.put`."""
        accepted = self._playout.put(chunk, frame, self.clock.now(), elastic=elastic)
        assert accepted, "put_now without room"

    async def put(self, chunk: AudioChunk, frame: VideoFrame | None) -> None:
        """Queue a matched pair, waiting while the queue is full."""
        while not self.has_room():
            self._room.clear()
            await self._room.wait()
        self.put_now(chunk, frame)

    def clear(self) -> None:
        """Interrupt: what has not left is forgotten, silence follows within 20 ms."""
        self._playout.clear()
        self._room.set()

    def cut_pause(self, keep_ms: float) -> None:
        """Shorten the pause at the end of the queue; see `Playout.cut_pause`."""
        self._playout.cut_pause(keep_ms)

    def stats(self) -> PlayoutStats:
        """Return the playout's counters and level."""
        return self._playout.stats()

    def encodings(self) -> dict[str, EncodingStats]:
        """Return the counters of each encoder at work, by the MIME type of what it makes."""
        faces = {mime + "+matte" * matte: feed.stats for (mime, matte), feed in self._faces.items()}
        return faces | {mime: feed.stats for mime, feed in self._voices.items()}

    def tracks(self, *, bitrate: int, matte: bool = False) -> tuple[AudioTrack, VideoTrack]:
        """Return the two tracks of a new viewer; they start at the present when first read.

        Args:
            bitrate: bits per second of video that the viewer can take, as far as is known.
            matte: whether the viewer wants the matte to the right of the picture.
        """
        face = VideoTrack(self, bitrate=bitrate, matte=matte)
        if matte:
            self._matte_takers.add(face)
        return AudioTrack(self), face

    def forget(self, track: VideoTrack) -> None:
        """Note that a viewer's picture has ended."""
        self._matte_takers.discard(track)

    def add(self, sink: TickSink, *, matte: bool = False) -> None:
        """Release ticks to a sink from now on; with `matte` it wants frames to carry their `cutout`."""
        self._sinks.add(sink)
        if matte:
            self._matte_takers.add(sink)

    def remove(self, sink: TickSink) -> None:
        """Release no more ticks to a sink."""
        self._sinks.discard(sink)
        self._matte_takers.discard(sink)

    def audio_encoder(self, codec: RTCRtpCodecParameters) -> SharedAudioEncoder:
        """Return the one feed of this audio codec."""
        key = codec.mimeType.lower()
        if key not in self._voices:
            feed = SharedAudioEncoder(AudioEncoder(codec), lambda: self.remove(self._voices.pop(key)))
            self._voices[key] = feed
            self.add(feed)
        return self._voices[key]

    def video_encoder(self, codec: RTCRtpCodecParameters, *, matte: bool) -> SharedVideoEncoder:
        """Return the one feed of this video codec, and show it the present face."""
        key = codec.mimeType.lower(), matte
        if key not in self._faces:
            feed = SharedVideoEncoder(VideoEncoder(codec, matte=matte), lambda: self.remove(self._faces.pop(key)))
            self._faces[key] = feed
            self.add(feed)
        present = self._playout.last_frame
        if present is not None:
            # One tick back: the next frame may be due at the very next tick.
            self._faces[key].show(present, self._time - TICK_SAMPLES)
        return self._faces[key]

    @staticmethod
    def _next_tick(now: int) -> int:
        return -(-now // TICK_SAMPLES) * TICK_SAMPLES


class Track(ABC):
    """One viewer's end of a feed: gives out frames that are encoded already.

    Stands in for a `MediaStreamTrack` in an `RTCRtpSender`, see `stream.rtc.outbound`.
    """

    kind: ClassVar[str]

    def __init__(self, playback: Playback, backlog: int) -> None:
        """Join on the first `next_frame`, so that nothing ages while a connection is being made."""
        self.id = str(uuid.uuid4())
        self.sent_time: int | None = None
        """Timestamp of the last frame given out, samples at 16 kHz of the session's clock."""
        self._playback = playback
        self._frames = EncodedFrameQueue(backlog, self.ask_keyframe)
        self._missed = 0
        self._joined = self._stopped = False

    @property
    def dropped(self) -> int:
        """Frames that were not encoded, or not fetched by this viewer's sender, in time."""
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
        """Take a frame from the feed."""
        self._frames.put(frame)

    def miss(self) -> None:
        """Note that a frame was given up before it was encoded."""
        self._missed += 1

    def stop(self) -> None:
        """End the track; a pending `next_frame` raises."""
        self._stopped = True
        self._frames.close()
        self._leave()

    @abstractmethod
    def ask_keyframe(self) -> None:
        """Ask for a frame that can be decoded without the ones before."""

    @abstractmethod
    def _join(self, codec: RTCRtpCodecParameters) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...


class AudioTrack(Track):
    """The voice for one viewer, 20 ms a frame, without gaps."""

    kind = "audio"

    def __init__(self, playback: Playback) -> None:
        """Join later."""
        super().__init__(playback, _VOICE_BACKLOG)
        self._encoder: SharedAudioEncoder | None = None

    def ask_keyframe(self) -> None:
        """Do nothing: a frame of voice depends on no other."""

    def _join(self, codec: RTCRtpCodecParameters) -> None:
        self._encoder = self._playback.audio_encoder(codec)
        self._encoder.join(self)

    def _leave(self) -> None:
        if self._encoder is not None:
            self._encoder.leave(self)


class VideoTrack(Track):
    """The picture for one viewer, from a keyframe on, with strictly growing timestamps."""

    kind = "video"

    def __init__(self, playback: Playback, *, bitrate: int, matte: bool) -> None:
        """Join later."""
        super().__init__(playback, _FACE_BACKLOG)
        self.bitrate = bitrate
        """Bits per second that this viewer can take."""
        self._matte = matte
        self._encoder: SharedVideoEncoder | None = None

    def limit(self, bitrate: int) -> None:
        """Set what this viewer can take, in bits per second; its feed heeds it from the next frame on."""
        self.bitrate = bitrate

    def ask_keyframe(self) -> None:
        """Ask for a keyframe: the viewer has lost something."""
        if self._encoder is not None:
            self._encoder.ask_keyframe()

    def _join(self, codec: RTCRtpCodecParameters) -> None:
        self._encoder = self._playback.video_encoder(codec, matte=self._matte)
        self._encoder.join(self)

    def _leave(self) -> None:
        self._playback.forget(self)
        if self._encoder is not None:
            self._encoder.leave(self)
