"""The only queue between processing and network: bounded in ms, audio master, sans-I/O.

Rules, in order:

1. Audio that was accepted is played, in order, without gaps. It is never dropped for being late.
2. Audio does not wait for its frame, which may be attached until the audio starts, and leaves at that
   instant. A later frame is dropped, unless the caller requests to show it late. A chunk without
   a frame keeps the last one on the screen.
3. When there is nothing to play, silence is played and the last frame stays; play resumes with
   once the jitter target is reached again.
4. `put` refuses what would exceed `max_ms`: the caller waits. A live source can't wait, so its
   delay is corrected where that is inaudible: in a pause, quiet chunks are skipped with their frames
   when more is held than jitter needs, and the pause is lengthened when less is. Only elastic chunks
   are treated so; speech received ahead of time is played unchanged, pauses included.
5. `clear` drops all that is not released yet; what is put next leaves at the next tick, and so does
   what follows it.

Time is an argument, in samples at 16 kHz of the session's clock. Not thread-safe: it belongs to
the event loop.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from stream.clock import ms, samples
from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, PLAYOUT_RATIO, AudioChunk, Int16Array, VideoFrame, is_quiet
from stream.playout.config import PlayoutConfig

__all__ = ["TICK_SAMPLES", "TICK_PLAYOUT_SAMPLES", "Playout", "PlayoutConfig", "PlayoutStats", "Tick"]

TICK_SAMPLES = CHUNK_SAMPLES // 2
"""One pull: 20 ms, the packet time of Opus; 320 samples at 16 kHz."""
TICK_PLAYOUT_SAMPLES = TICK_SAMPLES * PLAYOUT_RATIO
"""Played samples per pull: 960 at 48 kHz."""
_CLOSING_STARTS = 2  # one for each frame in which the mouth closes, should the second be late
_HOLD_SAMPLES = samples(200)  # the last frame is repeated this often while nothing new comes
_FADE_SAMPLES = 240  # 5 ms at 48 kHz: an interrupt must not click


@dataclass(frozen=True, slots=True)
class Tick:
    """What leaves in one step of 20 ms. `time` is the output timeline, which never stops."""

    time: int
    """Instant of release = timestamp of the audio, in samples at 16 kHz."""
    audio: Int16Array
    """int16 `[960]`, 48 kHz mono; zeros when there is nothing to play."""
    source_pts: int | None
    """Position of `audio` on the source's timeline, or None for silence that was inserted."""
    frame: VideoFrame | None = None
    """The frame that leaves now, if one does; `time` is its timestamp as well."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One chunk that waits, since when, and whether it may be dropped or delayed while it is quiet."""

    chunk: AudioChunk
    frame: VideoFrame | None
    arrived: int
    elastic: bool


@dataclass(frozen=True, slots=True)
class PlayoutStats:
    """Counters since construction, and the level now."""

    queued_ms: float = 0.0
    target_ms: float = 0.0
    played_ms: float = 0.0
    silence_ms: float = 0.0
    trimmed_ms: float = 0.0
    cleared_ms: float = 0.0
    underruns: int = 0
    refused: int = 0
    shown: int = 0
    held: int = 0
    late: int = 0
    """Frames that were dropped because their audio had started."""


class Playout:
    """Queue of matched audio and frames, pulled every 20 ms by `stream.playout.pump.PlayoutPump`."""

    def __init__(self, config: PlayoutConfig | None = None) -> None:
        """Start empty and silent."""
        self._config = config or PlayoutConfig()
        self._waiting: deque[_Entry] = deque()
        self._current: AudioChunk | None = None
        self._current_left = 0
        self._next_frame: VideoFrame | None = None
        self._urgent_starts = 0
        self._fading: Int16Array | None = None
        self._last_frame: VideoFrame | None = None
        self._last_frame_time = -_HOLD_SAMPLES
        self._jitter_target = self._config.jitter_target()
        self._stats = PlayoutStats()

    @property
    def queued_ms(self) -> float:
        """Sound that was accepted and has not left yet, in ms."""
        return ms(len(self._waiting) * CHUNK_SAMPLES + self._current_left)

    @property
    def last_frame(self) -> VideoFrame | None:
        """The frame on the screen now: what a viewer who joins late gets first."""
        return self._last_frame

    def has_room(self) -> bool:
        """Whether one more chunk fits under `max_ms`."""
        return self.queued_ms + ms(CHUNK_SAMPLES) <= self._config.max_ms

    def put(self, chunk: AudioChunk, frame: VideoFrame | None, now: int, *, elastic: bool = True) -> bool:
        """Accept a chunk and the frame that belongs to it.

        Args:
            chunk: 40 ms of sound; contiguous with the chunk before or not.
            frame: of the same pts; None if it was not rendered.
            now: the session's clock, samples at 16 kHz.
            elastic: it is from a live source or fills a pause, so that it may be dropped or delayed while it is
                quiet.

        Returns:
            False, and nothing is kept, when the queue is full: wait, then put it again.

        Raises:
            StreamError: if the two have different pts.
        """
        if frame is not None and frame.pts != chunk.pts:
            raise StreamError(f"frame.pts: expected {chunk.pts} (chunk.pts), got {frame.pts}")
        if not self.has_room():
            self._count(refused=1)
            return False
        self._waiting.append(_Entry(chunk, frame, now, elastic))
        return True

    def attach(self, frame: VideoFrame, *, late: bool = False) -> bool:
        """Attach a frame to its chunk, by pts.

        Args:
            frame: what was rendered.
            late: show it at the next tick if its audio has started: for silence, or instead of a frozen frame.

        Returns:
            False if the frame is dropped.
        """
        for index, entry in enumerate(self._waiting):
            if entry.chunk.pts == frame.pts:
                self._waiting[index] = replace(entry, frame=frame)
                return True
        newest = self._next_frame or self._last_frame
        if late and (newest is None or newest.pts < frame.pts):
            self._next_frame = frame
            return True
        self._count(late=1)
        return False

    def first_unrendered(self, ahead_ms: float, stride: int = 1) -> int | None:
        """Return the pts of the next chunk that a frame can still be rendered for, or None.

        Args:
            ahead_ms: how long rendering takes: the chunk is due no sooner.
            stride: only every so many chunks get a frame.
        """
        due_ms = ms(self._current_left)
        for entry in self._waiting:
            wanted = entry.frame is None and entry.chunk.pts // CHUNK_SAMPLES % stride == 0
            if wanted and due_ms >= ahead_ms:
                return entry.chunk.pts
            due_ms += ms(CHUNK_SAMPLES)
        return None

    def hold(self, ahead_ms: float) -> None:
        """Keep at least so much audio queued that a frame which takes `ahead_ms` to render is ready in time."""
        self._jitter_target.hold(ahead_ms)

    def clear(self) -> None:
        """Drop everything that has not left: the next tick fades what was playing, in 5 ms."""
        self._count(cleared_ms=self.queued_ms)
        if self._current is not None and self._current_left:
            self._fading = self._rest_of_current()[:_FADE_SAMPLES]
        self._waiting.clear()
        self._current, self._current_left, self._next_frame = None, 0, None
        self._urgent_starts = _CLOSING_STARTS

    def cut_pause(self, keep_ms: float) -> None:
        """Shorten the pause at the end of the queue to `keep_ms` in all, so that what follows starts sooner."""
        while self._waiting and self.queued_ms > keep_ms and self._is_pause(self._waiting[-1]):
            self._waiting.pop()
            self._jitter_target.take(ms(CHUNK_SAMPLES))
            self._count(trimmed_ms=ms(CHUNK_SAMPLES))

    def pull(self, time: int) -> Tick:
        """Release what is due at `time`; call it every 20 ms with growing times."""
        if not self._current_left:
            self._advance(time)
        if self._current is None or not self._current_left:
            return self._show(time, self._silence(), None)
        audio = self._rest_of_current()[:TICK_PLAYOUT_SAMPLES]
        source_pts = self._current.pts + CHUNK_SAMPLES - self._current_left
        self._current_left -= TICK_SAMPLES
        self._jitter_target.observe(self.queued_ms)
        self._count(played_ms=ms(TICK_SAMPLES))
        return self._show(time, audio, source_pts)

    def stats(self) -> PlayoutStats:
        """Return the counters and the present level."""
        return replace(self._stats, queued_ms=self.queued_ms, target_ms=self._jitter_target.target_ms)

    def _rest_of_current(self) -> Int16Array:
        assert self._current is not None
        return self._current.audio[len(self._current.audio) - self._current_left * PLAYOUT_RATIO :]

    def _advance(self, time: int) -> None:
        """Start the next chunk, or note that there is none."""
        if self._current is not None:
            self._leave(time)
        if self._current is None and not self._may_start(time):
            return
        self._trim()
        entry = self._waiting.popleft()
        self._current, self._next_frame = entry.chunk, entry.frame or self._next_frame
        self._current_left = CHUNK_SAMPLES

    def _leave(self, time: int) -> None:
        """Drop a chunk that was played; playout stops if nothing follows, or a pause can be lengthened."""
        if not self._waiting:
            self._count(underruns=1)
            if not self._urgent_starts:
                self._jitter_target.starve(time)
            self._current = None
        elif self._config.live and self._jitter_target.is_thin and self._is_pause(self._waiting[0]):
            self._current = None

    def _may_start(self, time: int) -> bool:
        if not self._waiting:
            return False
        waited_ms = ms(time - self._waiting[0].arrived)
        if not self._urgent_starts:
            self._jitter_target.refill(time)
        # After an interrupt only silence is queued, and the mouth has to close.
        if self._urgent_starts:
            self._urgent_starts -= 1
        elif not self._jitter_target.is_reached(self.queued_ms, waited_ms):
            return False
        self._jitter_target.start()
        return True

    def _trim(self) -> None:
        """Skip quiet chunks at the head while more is buffered than the jitter target."""
        chunk_ms = ms(CHUNK_SAMPLES)
        while (
            self._config.live
            and len(self._waiting) > 1
            and self._jitter_target.slack_ms >= chunk_ms
            and self._is_pause(self._waiting[0])
        ):
            self._waiting.popleft()
            self._jitter_target.take(chunk_ms)
            self._count(trimmed_ms=chunk_ms)

    def _is_pause(self, entry: _Entry) -> bool:
        return entry.elastic and is_quiet(entry.chunk, self._config.quiet_dbfs)

    def _silence(self) -> Int16Array:
        audio = np.zeros(TICK_PLAYOUT_SAMPLES, np.int16)
        if self._fading is not None:
            ramp = np.linspace(1.0, 0.0, len(self._fading))
            audio[: len(self._fading)] = (self._fading * ramp).astype(np.int16)
            self._fading = None
        self._count(silence_ms=ms(TICK_SAMPLES))
        return audio

    def _show(self, time: int, audio: Int16Array, source_pts: int | None) -> Tick:
        """Add the frame that leaves with this sound."""
        frame, self._next_frame = self._next_frame, None
        if frame is not None:
            self._last_frame, self._last_frame_time = frame, time
            self._count(shown=1)
            return Tick(time, audio, source_pts, frame)
        if self._last_frame is not None and time - self._last_frame_time >= _HOLD_SAMPLES:
            self._last_frame_time = time
            self._count(held=1)
            return Tick(time, audio, source_pts, self._last_frame)
        return Tick(time, audio, source_pts)

    def _count(self, **deltas: float) -> None:
        changed = {name: getattr(self._stats, name) + delta for name, delta in deltas.items()}
        self._stats = replace(self._stats, **changed)
