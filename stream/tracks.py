"""The clock meets the queue: one task pulls the playout and hands each 20 ms to every viewer.

Audio and video of one tick are handed out in the same step of the event loop, to all viewers
alike, so matching sound and picture leave at the same instant. What a slow viewer does not fetch
is bounded here and never slows the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Generic, TypeVar

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from stream.clock import SessionClock, ms, samples
from stream.media import SAMPLE_RATE, VOICE_RATE, VOICE_RATIO, AudioChunk, VideoFrame
from stream.playout import TICK_SAMPLES, Playout, PlayoutStats, Tick

_VIDEO_CLOCK_RATE = 90_000
_AUDIO_BACKLOG_TICKS = 30  # 600 ms: more than a catch-up after a stall hands out at once
_VIDEO_BACKLOG_FRAMES = 2
_MAX_CATCH_UP = samples(500)  # after a longer stall (a suspended machine) the past is skipped

T = TypeVar("T")


class _Mailbox(Generic[T]):
    """A bounded hand-over to one reader; the oldest item gives way to the newest."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque(maxlen=capacity)
        self._changed = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        self.dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def get(self) -> T:
        while not self._items:
            if self._closed:
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()


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
        self._viewers: set[VoiceTrack | FaceTrack] = set()
        self._observers: list[Callable[[Tick], None]] = []
        self._room = asyncio.Event()
        self._time = 0

    async def run(self) -> None:
        """Release a tick every 20 ms until cancelled; ends every track on the way out."""
        self._time = self._next_tick(self.clock.now())
        try:
            while True:
                await self.clock.sleep_until(self._time)
                if self.clock.now() - self._time > _MAX_CATCH_UP:
                    self._time = self._next_tick(self.clock.now())
                tick = self._playout.pull(self._time)
                for viewer in tuple(self._viewers):
                    viewer.release(tick)
                for observe in self._observers:
                    observe(tick)
                self._room.set()
                self._time += TICK_SAMPLES
        finally:
            for viewer in tuple(self._viewers):
                viewer.stop()

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

    def tracks(self) -> tuple[VoiceTrack, FaceTrack]:
        """Return the two tracks of a new viewer; they start at the present when first read."""
        return VoiceTrack(self), FaceTrack(self)

    def join(self, viewer: VoiceTrack | FaceTrack) -> None:
        """Start to release ticks to a track; a new face track is shown the present face."""
        self._viewers.add(viewer)
        present = self._playout.last_frame
        if isinstance(viewer, FaceTrack) and present is not None:
            # One tick back: the next frame may be due at the very next tick.
            viewer.show(present, self._time - TICK_SAMPLES)

    def leave(self, viewer: VoiceTrack | FaceTrack) -> None:
        """Release no more ticks to a track."""
        self._viewers.discard(viewer)

    @staticmethod
    def _next_tick(now: int) -> int:
        return -(-now // TICK_SAMPLES) * TICK_SAMPLES


class VoiceTrack(MediaStreamTrack):
    """The voice for one viewer: s16 stereo at 48 kHz, 20 ms a frame, pts without gaps."""

    kind = "audio"

    def __init__(self, playback: Playback) -> None:
        """Join on the first `recv`, so that nothing ages while a connection is being made."""
        super().__init__()
        self._playback = playback
        self._mailbox: _Mailbox[Tick] = _Mailbox(_AUDIO_BACKLOG_TICKS)
        self._joined = False
        self.sent_time: int | None = None
        """Timestamp of the last frame given out, samples at 16 kHz of the session's clock."""

    @property
    def dropped_ms(self) -> float:
        """Sound this viewer's sender did not fetch in time."""
        return self._mailbox.dropped * ms(TICK_SAMPLES)

    def release(self, tick: Tick) -> None:
        """Take one tick from the playback."""
        self._mailbox.put(tick)

    async def recv(self) -> av.AudioFrame:
        """Wait for the next 20 ms.

        Raises:
            MediaStreamError: when the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if not self._joined:
            self._joined = True
            self._playback.join(self)
        tick = await self._mailbox.get()
        # Stereo, because libswresample would lower a mono voice by 3 dB on the way to Opus.
        stereo = np.repeat(tick.voice, 2)[None, :]
        frame = av.AudioFrame.from_ndarray(stereo, format="s16", layout="stereo")
        frame.sample_rate = VOICE_RATE
        frame.pts, frame.time_base = tick.time * VOICE_RATIO, Fraction(1, VOICE_RATE)
        self.sent_time = tick.time
        return frame

    def stop(self) -> None:
        """End the track; a pending `recv` raises."""
        super().stop()
        self._playback.leave(self)
        self._mailbox.close()


class FaceTrack(MediaStreamTrack):
    """The picture for one viewer: rgb24 frames, strictly growing pts at 90 kHz."""

    kind = "video"

    def __init__(self, playback: Playback) -> None:
        """Join on the first `recv`, so that nothing ages while a connection is being made."""
        super().__init__()
        self._playback = playback
        self._mailbox: _Mailbox[tuple[VideoFrame, int]] = _Mailbox(_VIDEO_BACKLOG_FRAMES)
        self._joined = False
        self._newest_time = -1
        self.sent_time: int | None = None
        """Timestamp of the last frame given out, samples at 16 kHz of the session's clock."""

    @property
    def dropped(self) -> int:
        """Frames this viewer's encoder did not fetch in time."""
        return self._mailbox.dropped

    def release(self, tick: Tick) -> None:
        """Take one tick from the playback."""
        if tick.frame is not None:
            self.show(tick.frame, tick.time)

    def show(self, frame: VideoFrame, time: int) -> None:
        """Queue a frame for `time`, unless something newer was queued already."""
        if time > self._newest_time:
            self._newest_time = time
            self._mailbox.put((frame, time))

    async def recv(self) -> av.VideoFrame:
        """Wait for the next frame.

        Raises:
            MediaStreamError: when the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        if not self._joined:
            self._joined = True
            self._playback.join(self)
        picture, time = await self._mailbox.get()
        # No copy, and rgb24: the encoder's own thread converts it, not the event loop.
        frame = av.VideoFrame.from_numpy_buffer(picture.rgb, format="rgb24")
        frame.pts = time * _VIDEO_CLOCK_RATE // SAMPLE_RATE
        frame.time_base = Fraction(1, _VIDEO_CLOCK_RATE)
        self.sent_time = time
        return frame

    def stop(self) -> None:
        """End the track; a pending `recv` raises."""
        super().stop()
        self._playback.leave(self)
        self._mailbox.close()
