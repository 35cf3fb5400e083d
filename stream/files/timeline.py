"""Decoded audio on the file's timeline: silence where it starts late or has a gap, one rate and layout."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from stream.files.container import MediaInput
from stream.media import FloatArray

_GAP_S = 0.05  # shorter ones are the rounding of a container's clock
_LONGEST_GAP_S = 60  # where the length of the file is not known, longer ones are a damaged time
_SILENCE_S = 1  # of silence at a time


def place(media: MediaInput, number: int | None, rate: int, channels: int, *, cut: bool) -> Iterator[FloatArray]:
    """Yield the sound of a file from its first frame on, or from its first sample if that is earlier.

    Args:
        media: the file.
        number: which audio stream, counted from 1; None for the best.
        rate: samples per second of the result.
        channels: 1 or 2.
        cut: skip what is earlier than the first frame.

    Yields:
        float32 `[C, N]`, -1..1; samples that are NaN are silent.
    """
    stream = media.audio_stream(number)
    late_s = 0.0
    skip = 0
    converter = _Converter(rate, channels)
    gaps = _Gaps(media)
    for index, frame in enumerate(media.decode(stream)):
        if index == 0:
            late_s = _late_s(media, frame)
            skip = round(-late_s * rate) if cut and late_s < 0 else 0
            yield from _silence(late_s, rate, channels)
        yield from _silence(gaps.before(frame), rate, channels)
        for piece in converter.push(frame):
            yield from _without(piece, skip)
            skip = max(0, skip - piece.shape[1])
    for piece in converter.flush():
        yield from _without(piece, skip)
        skip = max(0, skip - piece.shape[1])
    if converter.broken:
        media.report_damage()


def _late_s(media: MediaInput, frame: av.AudioFrame) -> float:
    """By how much the first sound is later than the first frame; 0 if a time is unknown or can't be."""
    video = media.video_stream()
    if video is None or video.start_time is None or frame.pts is None:
        return 0.0
    late = float(frame.pts * Fraction(frame.time_base) - video.start_time * Fraction(video.time_base))
    length_s = (media.container.duration or 0) / 1_000_000
    return late if abs(late) < max(length_s, 1) else 0.0


def _silence(seconds: float, rate: int, channels: int) -> Iterator[FloatArray]:
    left = round(seconds * rate)
    while left > 0:
        count = min(left, rate * _SILENCE_S)
        yield np.zeros((channels, count), np.float32)
        left -= count


def _without(piece: FloatArray, skip: int) -> Iterator[FloatArray]:
    rest = piece[:, skip:]
    if rest.shape[1]:
        yield rest


class _Gaps:
    """Finds where sound is missing between frames, by their times."""

    def __init__(self, media: MediaInput) -> None:
        length = media.container.duration
        self._longest_s = length / 1_000_000 if length else _LONGEST_GAP_S
        self._expected_s: float | None = None

    def before(self, frame: av.AudioFrame) -> float:
        """Seconds of silence that belong before a frame."""
        time_s = None if frame.pts is None else float(frame.pts * Fraction(frame.time_base))
        gap_s = 0.0
        if time_s is not None:
            if self._expected_s is not None and _GAP_S < time_s - self._expected_s <= self._longest_s:
                gap_s = time_s - self._expected_s
            if gap_s or self._expected_s is None or abs(time_s - self._expected_s) > _GAP_S:
                self._expected_s = time_s
        if self._expected_s is not None:
            self._expected_s += frame.samples / frame.sample_rate
        return gap_s


class _Converter:
    """Frames of any format, also one that changes, to float of one rate and layout."""

    def __init__(self, rate: int, channels: int) -> None:
        self.broken = False
        """Whether there were samples that are NaN."""
        self._rate, self._layout = rate, "mono" if channels == 1 else "stereo"
        self._resampler: av.AudioResampler | None = None
        self._format: tuple[str, str, int] | None = None

    def push(self, frame: av.AudioFrame) -> Iterator[FloatArray]:
        """Convert one frame; its time is ignored."""
        given = (frame.format.name, frame.layout.name, frame.sample_rate)
        if given != self._format:
            yield from self.flush()
            self._resampler, self._format = av.AudioResampler("fltp", self._layout, self._rate), given
        assert self._resampler is not None
        frame.pts = None
        yield from self._arrays(self._resampler.resample(frame))

    def flush(self) -> Iterator[FloatArray]:
        """Return what the resampler still holds."""
        if self._resampler is not None:
            # A resampler with nothing to do hands its input back, at the end of the stream too: None.
            yield from self._arrays([tail for tail in self._resampler.resample(None) if tail is not None])
            self._resampler = self._format = None

    def _arrays(self, frames: list[av.AudioFrame]) -> Iterator[FloatArray]:
        for frame in frames:
            piece = frame.to_ndarray().astype(np.float32, copy=False)
            if not np.isfinite(piece).all():
                self.broken = True
                piece = np.nan_to_num(piece, nan=0.0, posinf=0.0, neginf=0.0)
            if piece.size:
                yield piece
