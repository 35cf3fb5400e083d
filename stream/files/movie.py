"""Write a film: frames and the original audio, both encoded exactly once, in MP4, MOV or WebM."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from stream.errors import MediaFileError
from stream.files.output import PartialFile, errors_of
from stream.media import FPS, ByteArray, FloatArray

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_OPUS_RATE = 48_000
_AAC_FRAME, _OPUS_FRAME = 1024, 960
_AAC_MAX_BITS = 6144  # per channel and frame: the format's own limit
_VP9 = {"deadline": "good", "cpu-used": "4", "row-mt": "1", "b": "0"}
_FRAGMENTS = (
    "frag_keyframe+delay_moov+default_base_moof"  # needs no seeking; the delayed index knows where streams begin
)


@dataclass(frozen=True)
class _Container:
    format: str
    video: str
    options: dict[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"

    def coding(self, crf: int, preset: str) -> dict[str, str]:
        """Options of the codec."""
        if self.video == "prores_ks":
            return {"profile": "4444", "alpha_bits": "8"}
        quality = {"crf": str(crf)}
        if self.video == "libx264":
            return quality | {"preset": preset}
        # VP9 codes no alpha in frames that are not shown.
        return quality | _VP9 | ({"auto-alt-ref": "0"} if self.pixels == "yuva420p" else {})


_CONTAINERS = {
    ".mp4": _Container("mp4", "libx264", {"movflags": "+faststart"}),
    ".mov": _Container("mov", "libx264", {"movflags": "+faststart"}),
    ".webm": _Container("webm", "libvpx-vp9"),
}
_WITH_ALPHA = {
    ".mov": _Container("mov", "prores_ks", {"movflags": "+faststart"}, "yuva444p10le"),
    ".webm": _Container("webm", "libvpx-vp9", pixels="yuva420p"),
}
ALPHA_SUFFIXES = tuple(_WITH_ALPHA)
"""Those whose films may have an alpha channel."""
MOVIE_SUFFIXES = tuple(_CONTAINERS)
"""What a film's name may end in; the ending decides the container."""


@dataclass(frozen=True)
class SoundFormat:
    """The sound of a film."""

    rate: int
    """Samples per second, kept where the codec has it: AAC has most, Opus only 48 kHz."""
    channels: int
    """1 or 2."""


class MovieWriter:
    """A context manager: add sound and frames in step, leave the block, find the file complete under its name.

    While it is written the file has another name beside the final one; if the block is left by
    an exception nothing remains. The audio begins with the first frame, and is written to its
    last sample even when there are fewer frames. Nothing but what the encoders hold is kept in memory.
    """

    def __init__(
        self,
        target: str | Path | IO[bytes],
        size: tuple[int, int],
        fps: int | Fraction = FPS,
        audio: SoundFormat | None = None,
        *,
        overwrite: bool = True,
        endless: bool = False,
        time_base: Fraction | None = None,
        crf: int = 16,
        preset: str = "medium",
        comment: str = "",
        alpha: bool = False,
    ) -> None:
        """Describe the film; nothing is written before the block is entered.

        Args:
            target: the final name, of a suffix in `MOVIE_SUFFIXES`, or a stream of bytes that can't be
                rewound, which gets an MP4 in fragments and is left open.
            size: (height, width) of the frames, both even.
            fps: frames per second; on average, where `time_base` is given.
            audio: of the recording that comes with the frames; None for a film without sound.
            overwrite: whether a file of that name is replaced.
            endless: write an MP4 or MOV in fragments, whose index needs no memory however long the film is.
            time_base: the unit of the times that `write` gets, seconds; None for a constant rate.
            crf: constant quality, lower is better; 16 is visually lossless.
            preset: speed of x264.
            comment: kept in the container's metadata; empty for none.
            alpha: whether frames carry straight alpha, which the formats of `ALPHA_SUFFIXES` keep.

        Raises:
            MediaFileError: if the size is odd, or the suffix unknown.
        """
        self._stream = None if isinstance(target, str | Path) else target
        self._path = Path(target) if isinstance(target, str | Path) else Path("standard output")
        suffix = ".mp4" if self._stream is not None else self._path.suffix.lower()
        known = _WITH_ALPHA if alpha else _CONTAINERS
        if suffix not in known:
            raise MediaFileError(f"{self._path}: expected a name that ends in {' or '.join(known)}")
        if size[0] % 2 or size[1] % 2 or min(size) < 2:
            raise MediaFileError(f"{self._path}: expected an even height and width, got {size}")
        self._kind = known[suffix]
        self._channels = 4 if alpha else 3
        fragmented = self._kind.options and (endless or self._stream is not None)
        self._muxing = {"movflags": _FRAGMENTS} if fragmented else self._kind.options
        self._size, self._fps, self._format = size, fps, audio
        self._options = self._kind.coding(crf, preset)
        self._overwrite = overwrite
        self._comment = comment
        self._time_base = time_base or 1 / Fraction(fps)
        self._samples = 0
        self._next_pts = 0

    def __enter__(self) -> Self:
        """Open the file under its temporary name."""
        with errors_of(self._path):
            self._partial = None if self._stream else PartialFile(self._path, overwrite=self._overwrite)
        try:
            with errors_of(self._path):
                self._open()
        except BaseException:
            if self._partial is not None:
                self._partial.discard()
            raise
        return self

    def write(self, rgb: ByteArray, time: Fraction | None = None) -> None:
        """Add the next frame.

        Args:
            rgb: uint8 `[H, W, 3]`, or `[H, W, 4]` with alpha.
            time: when it is shown, in seconds and later than the one before; None for the next time unit.

        Raises:
            MediaFileError: if the frame has another size, or the disk is full.
        """
        wanted_shape = (*self._size, self._channels)
        if rgb.shape != wanted_shape or rgb.dtype != np.uint8:
            raise MediaFileError(
                f"{self._path}: expected frames uint8 {list(wanted_shape)}, got {rgb.dtype} {list(rgb.shape)}"
            )
        given = "rgb24" if self._channels == 3 else "rgba"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format=given)
        picture = picture.reformat(
            format=self._kind.pixels,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        wanted = 0 if time is None else round(time / self._time_base)
        picture.pts, picture.time_base = max(wanted, self._next_pts), self._time_base
        self._next_pts = picture.pts + 1
        with errors_of(self._path):
            self._container.mux(self._video.encode(picture))

    def write_sound(self, piece: FloatArray) -> None:
        """Add the next sound, float32 `[C, N]`, within a few seconds of its frames.

        Raises:
            MediaFileError: if it has other channels than were announced, or the disk is full.
        """
        if self._format is None or piece.shape[0] != self._format.channels:
            raise MediaFileError(f"{self._path}: expected sound of {self._format}, got {list(piece.shape)}")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=self._layout)
        frame.sample_rate = self._format.rate
        frame.pts, frame.time_base = self._samples, Fraction(1, self._format.rate)
        self._samples += piece.shape[1]
        with errors_of(self._path):
            for part in self._resampler.resample(frame):
                self._container.mux(self._audio.encode(part))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish and rename, or remove the partial file."""
        try:
            if kind is not None:
                with contextlib.suppress(FFmpegError, OSError):  # the error that ended the block matters more
                    self._container.close()
                return
            with errors_of(self._path):
                self._finish()
                self._container.close()
                if self._stream is not None:
                    self._stream.flush()
                elif self._partial is not None:
                    self._partial.commit()
        finally:
            if self._partial is not None:
                self._partial.discard()

    def _open(self) -> None:
        if self._partial is None:
            assert self._stream is not None
            self._container = av.open(self._stream, "w", format="mp4", options=self._muxing)
        else:
            # An absolute name is never taken for one with a protocol in front.
            name = os.fspath(self._partial.temporary)
            self._container = av.open(name, "w", format=self._kind.format, options=self._muxing)
        if self._comment:
            self._container.metadata["comment"] = self._comment
        self._add_video_stream()
        if self._format is not None:
            self._add_audio_stream(self._format)

    def _add_video_stream(self) -> None:
        self._video = self._container.add_stream(self._kind.video, rate=self._fps, options=self._options)
        self._video.height, self._video.width = self._size
        self._video.pix_fmt = self._kind.pixels
        if self._kind.pixels == "yuva420p":
            self._video.metadata["alpha_mode"] = "1"  # without it players take a WebM for opaque
        context = self._video.codec_context
        context.time_base = self._time_base
        # Record how the colours were converted, so that no player has to guess by the size.
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = 1, 1  # BT.709

    def _add_audio_stream(self, audio: SoundFormat) -> None:
        self._layout = "mono" if audio.channels == 1 else "stereo"
        if self._kind.format == "webm":
            rate, frame, sample_format = _OPUS_RATE, _OPUS_FRAME, "flt"
            self._audio = self._container.add_stream("libopus", rate=rate)
            self._audio.bit_rate = 96_000 * audio.channels
        else:
            rate = audio.rate if audio.rate in _AAC_RATES else 48_000
            frame, sample_format = _AAC_FRAME, "fltp"
            self._audio = self._container.add_stream("aac", rate=rate)
            self._audio.bit_rate = min(192_000, _AAC_MAX_BITS * rate * audio.channels // _AAC_FRAME)
        self._audio.layout = self._layout
        self._audio.codec_context.format = sample_format
        self._resampler = av.AudioResampler(sample_format, self._layout, rate, frame)

    def _finish(self) -> None:
        """Write what the encoders still hold."""
        self._container.mux(self._video.encode(None))
        self._finish_sound()

    def _finish_sound(self) -> None:
        if self._format is not None:
            for part in self._resampler.resample(None) if self._samples else ():
                self._container.mux(self._audio.encode(part))
            self._container.mux(self._audio.encode(None))
