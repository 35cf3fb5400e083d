"""Write an MP4: H.264 from frames, AAC from the original voice, both encoded exactly once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from stream.errors import MediaFileError
from stream.files.reader import AudioFile
from stream.media import FPS, ByteArray, FloatArray

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_AAC_FRAME = 1024
_AAC_MAX_BITS = 6144  # per channel and frame: the format's own limit


class Mp4Writer:
    """A context manager: add frames, leave the block, find the file complete under its name.

    While it is written the file has another name beside the final one; if the block is left by
    an exception nothing remains. The voice begins with the first frame, and is written to its
    last sample even when there are fewer frames.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        fps: int = FPS,
        audio: AudioFile | None = None,
        *,
        crf: int = 16,
        preset: str = "medium",
    ) -> None:
        """Describe the file; nothing is written before the block is entered.

        Args:
            path: the final name.
            size: (height, width) of the frames, both even.
            fps: frames per second.
            audio: the original recording; encoded at its own rate (at 48 kHz where AAC has none).
            crf: constant quality of x264, lower is better; 16 is visually lossless.
            preset: speed of x264.

        Raises:
            MediaFileError: if the size is odd.
        """
        if size[0] % 2 or size[1] % 2 or min(size) < 2:
            raise MediaFileError(f"{path}: expected an even height and width, got {size}")
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.stem}.{os.getpid()}.part.mp4")
        self._size, self._fps, self._audio = size, fps, audio
        self._options = {"crf": str(crf), "preset": preset}
        self._frames = 0
        self._samples = 0

    def __enter__(self) -> Mp4Writer:
        """Open the file under its temporary name."""
        with self._errors_of_this_file():
            self._temporary.touch()  # libav would notice a missing folder only at the first packet
            self._container = av.open(str(self._temporary), "w", options={"movflags": "+faststart"})
        self._add_video_stream()
        if self._audio is not None:
            self._add_audio_stream(self._audio)
        return self

    def write(self, rgb: ByteArray) -> None:
        """Add the next frame, uint8 `[H, W, 3]`, and the sound that goes with it.

        Raises:
            MediaFileError: if the frame has another size.
        """
        if rgb.shape != (*self._size, 3) or rgb.dtype != np.uint8:
            raise MediaFileError(
                f"{self._path}: expected frames uint8 {[*self._size, 3]}, got {rgb.dtype} {list(rgb.shape)}"
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        picture = picture.reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        picture.pts, picture.time_base = self._frames, Fraction(1, self._fps)
        self._frames += 1
        with self._errors_of_this_file():
            self._container.mux(self._video.encode(picture))
            if self._audio is not None:
                self._write_audio(self._audio, self._frames * self._audio.rate // self._fps)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish and rename, or remove what was begun."""
        try:
            if kind is not None:
                with contextlib.suppress(FFmpegError):  # what ended the block matters more
                    self._container.close()
                return
            with self._errors_of_this_file():
                self._finish()
                self._container.close()
                os.replace(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _add_video_stream(self) -> None:
        self._video = self._container.add_stream("libx264", rate=self._fps, options=self._options)
        self._video.height, self._video.width = self._size
        self._video.pix_fmt = "yuv420p"
        context = self._video.codec_context
        # Say how the colours were converted, so that no player has to guess by the size.
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = 1, 1  # BT.709

    def _add_audio_stream(self, audio: AudioFile) -> None:
        rate = audio.rate if audio.rate in _AAC_RATES else 48_000
        channels = audio.samples.shape[0]
        self._voice = self._container.add_stream("aac", rate=rate)
        self._voice.layout = "mono" if channels == 1 else "stereo"
        self._voice.bit_rate = min(192_000, _AAC_MAX_BITS * rate * channels // _AAC_FRAME)
        self._resampler = av.AudioResampler("fltp", self._voice.layout, rate, _AAC_FRAME)

    def _write_audio(self, audio: AudioFile, until: int) -> None:
        """Encode the recording up to sample `until`, no further than its end."""
        piece: FloatArray = audio.samples[:, self._samples : until]
        if piece.shape[1]:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(piece), format="fltp", layout=self._voice.layout.name
            )
            frame.sample_rate = audio.rate
            frame.pts, frame.time_base = self._samples, Fraction(1, audio.rate)
            self._samples += piece.shape[1]
            for part in self._resampler.resample(frame):
                self._container.mux(self._voice.encode(part))

    def _finish(self) -> None:
        """Write what the encoders still hold, and the rest of the voice."""
        self._container.mux(self._video.encode(None))
        if self._audio is not None:
            self._write_audio(self._audio, self._audio.samples.shape[1])
            for part in self._resampler.resample(None):
                self._container.mux(self._voice.encode(part))
            self._container.mux(self._voice.encode(None))

    @contextlib.contextmanager
    def _errors_of_this_file(self) -> Iterator[None]:
        """Turn what libav and the disk report into the error of this package."""
        try:
            yield
        except (FFmpegError, OSError) as error:
            raise MediaFileError(f"{self._path}: can't be written: {error}") from error
