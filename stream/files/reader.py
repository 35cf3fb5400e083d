"""Read media files: any audio as chunks, any video as pictures at 25 fps (see `stream.files.mp4`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from stream.errors import MediaFileError
from stream.media import FPS, AudioChunk, ByteArray, FloatArray
from stream.pcm.chunker import MAX_RATE, MIN_RATE, Chunker

_PIECE_S = 1  # seconds of audio that are chunked at a time


@dataclass(frozen=True, slots=True, eq=False)
class AudioFile:
    """A whole recording as it was decoded: its own rate, its own channels."""

    samples: FloatArray
    """float32 `[C, N]`, -1..1, C of 1 or 2."""
    rate: int
    """Samples per second."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate

    @property
    def chunk_count(self) -> int:
        """Number of chunks that `chunks` yields: the last one is padded with silence."""
        return -(-self.samples.shape[1] * FPS // self.rate)

    def chunks(self) -> Iterator[AudioChunk]:
        """Yield the recording as chunks of 40 ms, the first at pts 0."""
        chunker = Chunker()
        interleaved = self.samples.T
        for start in range(0, len(interleaved), self.rate * _PIECE_S):
            piece = interleaved[start : start + self.rate * _PIECE_S]
            yield from chunker.push(piece, self.rate)
        yield from chunker.flush()


def read_audio(path: str | Path, *, from_first_frame: bool = False) -> AudioFile:
    """Decode the first audio stream of any container.

    Args:
        path: an audio file, or a video with sound. More than two channels are mixed to stereo;
            a rate the pipeline can't use (below 8 kHz) is raised to 48 kHz.
        from_first_frame: begin with the first picture of a video instead of the first sample, so
            that sample 0 belongs to the first frame of `iter_video`: what is missing is silent,
            what came before is cut.

    Raises:
        MediaFileError: if there is no such file, no audio in it, or it can't be decoded.
    """
    with _open(path) as container:
        if not container.streams.audio:
            raise MediaFileError(f"{path}: expected an audio stream, got {_streams(container)}")
        try:
            pieces, rate = _decode_audio(container)
        except FFmpegError as error:
            raise MediaFileError(f"{path}: audio can't be decoded: {error}") from error
        late_s = _sound_after_picture_s(container) if from_first_frame else Fraction(0)
    if not pieces:
        raise MediaFileError(f"{path}: expected sound, got an audio stream without samples")
    samples = np.concatenate(pieces, axis=1)
    late = round(late_s * rate)
    return AudioFile(np.pad(samples, ((0, 0), (max(0, late), 0)))[:, max(0, -late) :], rate)


def iter_video(path: str | Path, fps: int = FPS) -> Iterator[ByteArray]:
    """Yield the pictures of a video, resampled to `fps` by showing what is on the screen then.

    Args:
        path: any file with a video stream, or a still image (one frame).
        fps: frames per second of the output; output k is the picture at time `k / fps` from the
            first frame, as a player would show it. A rotation flag is applied.

    Yields:
        uint8 RGB `[H, W, 3]`, upright.

    Raises:
        MediaFileError: if there is no such file, no video in it, or it can't be decoded.
    """
    with _open(path) as container:
        if not container.streams.video:
            raise MediaFileError(f"{path}: expected a video stream, got {_streams(container)}")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            yield from _resample_frames(container.decode(stream), fps, stream.average_rate)
        except FFmpegError as error:
            raise MediaFileError(f"{path}: video can't be decoded: {error}") from error


def _open(path: str | Path) -> av.container.InputContainer:
    if not Path(path).is_file():
        raise MediaFileError(f"{path}: expected a file, got nothing there")
    try:
        return av.open(str(path), "r")
    except FFmpegError as error:
        raise MediaFileError(f"{path}: expected audio or video, got: {error}") from error


def _streams(container: av.container.InputContainer) -> str:
    return ", ".join(stream.type for stream in container.streams) or "no streams"


def _decode_audio(container: av.container.InputContainer) -> tuple[list[FloatArray], int]:
    stream = container.streams.audio[0]
    layout = "mono" if stream.channels == 1 else "stereo"
    rate = stream.rate if MIN_RATE <= stream.rate <= MAX_RATE else 48_000
    resampler = av.AudioResampler("fltp", layout, rate)
    converted = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
    # A resampler with nothing to do hands its input back, at the end of the stream too: None.
    converted += [tail for tail in resampler.resample(None) if tail is not None]
    pieces = [part.to_ndarray().astype(np.float32, copy=False) for part in converted]
    return [piece for piece in pieces if piece.size], rate


def _sound_after_picture_s(container: av.container.InputContainer) -> Fraction:
    """Return by how much the first sample is later than the first frame; 0 if a time is unknown."""
    starts = [
        stream.start_time * Fraction(stream.time_base)
        for stream in (*container.streams.audio[:1], *container.streams.video[:1])
        if stream.start_time is not None and stream.time_base is not None
    ]
    return starts[0] - starts[1] if len(starts) == 2 else Fraction(0)


def _resample_frames(frames: Iterator[av.VideoFrame], fps: int, average_rate: Fraction | None) -> Iterator[ByteArray]:
    """Hold each picture until the next one is due, at exact rational times."""
    start: Fraction | None = None
    shown = 0
    held: ByteArray | None = None
    end = Fraction(0)
    for index, frame in enumerate(frames):
        if frame.pts is not None and frame.time_base is not None:
            time = frame.pts * Fraction(frame.time_base)
        else:
            time = Fraction(index) / (average_rate or fps)
        start = time if start is None else start
        while held is not None and Fraction(shown, fps) < time - start:
            yield held
            shown += 1
        held = _upright(frame)
        end = time - start + 1 / Fraction(average_rate or fps)
    while held is not None and (Fraction(shown, fps) < end or shown == 0):
        yield held
        shown += 1


def _upright(frame: av.VideoFrame) -> ByteArray:
    rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb
