"""Read media files: any audio as pieces or chunks, any video as frames at 25 fps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import av
import numpy as np
from av.error import FFmpegError

from stream.errors import MediaFileError
from stream.files.container import MediaInput
from stream.files.timeline import place
from stream.media import FPS, AudioChunk, ByteArray, FloatArray
from stream.pcm.chunker import MAX_RATE, MIN_RATE, Chunker

_PIECE_S = 1  # seconds of audio that are handled at a time
_LONGEST_GAP_S = 600  # between two frames of a video


class Sound(Protocol):
    """Audio read in pieces, so that memory does not depend on its length."""

    @property
    def rate(self) -> int:
        """Samples per second."""

    @property
    def channels(self) -> int:
        """1 or 2."""

    @property
    def duration_s(self) -> float | None:
        """Length in seconds, None where it is not known before the end."""

    def pieces(self) -> Iterator[FloatArray]:
        """Yield float32 `[C, N]`, -1..1, N of any size."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioFile:
    """A whole recording as it was decoded: its own rate, its own channels."""

    samples: FloatArray
    """float32 `[C, N]`, -1..1, C of 1 or 2."""
    rate: int
    """Samples per second."""

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self.samples.shape[0]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate

    @property
    def chunk_count(self) -> int:
        """Number of chunks that `chunks` yields: the last one is padded with silence."""
        return -(-self.samples.shape[1] * FPS // self.rate)

    def pieces(self) -> Iterator[FloatArray]:
        """Yield a second at a time."""
        for start in range(0, self.samples.shape[1], self.rate * _PIECE_S):
            yield self.samples[:, start : start + self.rate * _PIECE_S]

    def chunks(self) -> Iterator[AudioChunk]:
        """Yield the recording as chunks of 40 ms, the first at pts 0."""
        chunker = Chunker()
        for piece in self.pieces():
            yield from chunker.push(piece.T, self.rate)
        yield from chunker.flush()


class Recording:
    """Sound in a file, decoded while it is used: see `Sound`."""

    def __init__(self, path: str | Path, *, stream: int | None = None, from_first_frame: bool = False) -> None:
        """Read the header.

        Args:
            path: an audio file, or a video with sound. More than two channels are mixed to stereo;
                a rate the pipeline can't use (below 8 kHz) is raised to 48 kHz.
            stream: which audio stream, counted from 1; None for the one that players choose.
            from_first_frame: begin with the first frame of a video even where its sound begins
                earlier, so that sample 0 belongs to the first frame of `iter_video`. Sound that
                begins later than the video keeps its position in any case: silence is put before it.

        Raises:
            MediaFileError: if there is no such file or stream, or it is no media file.
        """
        self.path, self._stream, self._cut = Path(path), stream, from_first_frame
        with MediaInput(path) as media:
            audio = media.audio_stream(stream)
            self.rate: int = audio.rate if MIN_RATE <= (audio.rate or 0) <= MAX_RATE else 48_000
            self.channels: int = 1 if audio.channels == 1 else 2
            self.duration_s: float | None = media.length_s

    def pieces(self) -> Iterator[FloatArray]:
        """Decode the file from its beginning.

        Raises:
            MediaFileError: if it can't be decoded, or there is no sound in it.
        """
        count = 0
        with MediaInput(self.path) as media:
            try:
                for piece in place(media, self._stream, self.rate, self.channels, cut=self._cut):
                    count += piece.shape[1]
                    yield piece
            except FFmpegError as error:
                raise MediaFileError(f"{self.path}: its sound can't be converted; save it as WAV or FLAC") from error
        if not count:
            raise MediaFileError(f"{self.path}: expected sound, got an audio stream without samples")


def media_length_s(path: str | Path) -> float | None:
    """Return how long a sound or video file says it is, in seconds; None where it does not say.

    Raises:
        MediaFileError: if there is no such file, or it is no media file.
    """
    with MediaInput(path) as media:
        return media.length_s


def read_audio(path: str | Path, *, stream: int | None = None, from_first_frame: bool = False) -> AudioFile:
    """Decode the sound of a file into memory; arguments and errors as those of `Recording`."""
    recording = Recording(path, stream=stream, from_first_frame=from_first_frame)
    return AudioFile(np.concatenate(list(recording.pieces()), axis=1), recording.rate)


def iter_video(path: str | Path, fps: int = FPS) -> Iterator[ByteArray]:
    """Yield the frames of a video, resampled to `fps` by showing what is on the screen then.

    Args:
        path: any file with a video stream, or a still image (one frame).
        fps: frames per second of the output; output k is the frame at time `k / fps` from the
            first frame, as a player would show it. A rotation flag is applied.

    Yields:
        uint8 RGB `[H, W, 3]`, upright.

    Raises:
        MediaFileError: if there is no such file, no video in it, or it can't be decoded.
    """
    with MediaInput(path) as media:
        stream = media.need_video()
        stream.thread_type = "AUTO"
        rate = Fraction(stream.average_rate or fps)
        yield from _resample_frames(_timed(media.decode(stream), rate), fps, rate)


class TimedFrame(NamedTuple):
    """A frame of a video as it was decoded, and when it is shown."""

    rgb: ByteArray
    """uint8 `[H, W, 3]`, upright."""
    time: Fraction
    """Seconds since the first frame of the video."""


class VideoFormat(NamedTuple):
    """The timing of a video by its header."""

    rate: Fraction
    """Frames per second on average."""
    time_base: Fraction
    """The unit in which the container keeps times, seconds."""
    frames: int | None
    """How many frames there are, None where the header does not say."""


def video_format(path: str | Path) -> VideoFormat:
    """Read the timing of a video from its header.

    Raises:
        MediaFileError: if there is no such file, or no video in it.
    """
    with MediaInput(path) as media:
        stream = media.need_video()
        rate = Fraction(stream.average_rate or FPS)
        count = stream.frames
        if not count and media.container.duration:
            count = round(media.container.duration / 1_000_000 * rate)
        return VideoFormat(rate, Fraction(stream.time_base or 1 / rate), count or None)


def iter_frames(path: str | Path, since: Fraction = Fraction(0)) -> Iterator[TimedFrame]:
    """Yield every frame of a video once, at its own time.

    Args:
        path: any file with a video stream.
        since: skip what is shown earlier, seconds; the file is searched, not decoded, up to the
            key frame before it.

    Raises:
        MediaFileError: if there is no such file, no video in it, or it can't be decoded.
    """
    with MediaInput(path) as media:
        stream = media.need_video()
        stream.thread_type = "AUTO"
        rate = Fraction(stream.average_rate or FPS)
        if not since:
            yield from _without_gaps(_timed(media.decode(stream), rate), path)
            return
        first = next(media.decode(stream), None)
        if first is None or first.pts is None or first.time_base is None:
            yield from (each for each in iter_frames(path) if each.time >= since)
            return
        start = first.pts * Fraction(first.time_base)
        media.container.seek(int((start + since) / Fraction(first.time_base)), stream=stream, backward=True)
        yield from (each for each in _timed(media.decode(stream), rate, start) if each.time >= since)


def _timed(frames: Iterator[av.VideoFrame], rate: Fraction, start: Fraction | None = None) -> Iterator[TimedFrame]:
    """Give each frame its time since `start`, by default the first frame's; by `rate` where it has none of its own."""
    for index, frame in enumerate(frames):
        if frame.pts is not None and frame.time_base is not None:
            time = frame.pts * Fraction(frame.time_base)
        else:
            time = Fraction(index) / rate
        start = time if start is None else start
        yield TimedFrame(_upright(frame), time - start)


def _without_gaps(frames: Iterator[TimedFrame], path: str | Path) -> Iterator[TimedFrame]:
    """The same; raises `MediaFileError` where a frame is shown implausibly long after the one before."""
    before = Fraction(0)
    for frame in frames:
        if frame.time - before > _LONGEST_GAP_S:
            raise MediaFileError(
                f"{path}: expected frames that follow one another, got one {float(frame.time - before):.3g} s after the"
                f" one at {float(before):.1f} s; the file's times are damaged, convert it first"
            )
        before = frame.time
        yield frame


def _resample_frames(pictures: Iterator[TimedFrame], fps: int, rate: Fraction) -> Iterator[ByteArray]:
    """Hold each frame until the next one is due, at exact rational times."""
    shown = 0
    held: ByteArray | None = None
    end = Fraction(0)
    for rgb, time in pictures:
        while held is not None and Fraction(shown, fps) < time:
            yield held
            shown += 1
        held = rgb
        end = time + 1 / rate
    while held is not None and (Fraction(shown, fps) < end or shown == 0):
        yield held
        shown += 1


def _upright(frame: av.VideoFrame) -> ByteArray:
    rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb
