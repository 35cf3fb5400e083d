"""Types exchanged between the packages: audio chunks and video frames.

Time is an integer number of samples at the model's rate (16 kHz), everywhere. One video frame
lasts exactly one chunk, so a frame and the sound that belongs to it carry the same `pts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.errors import StreamError
from stream.yuv import i420, rgb_of

SAMPLE_RATE = 16_000
"""Rate of the session's clock and of the model's input, in Hz."""
FPS = 25
"""Video frames per second."""
CHUNK_SAMPLES = SAMPLE_RATE // FPS
"""Length of one chunk and of one video frame: 640 samples = 40 ms."""
PLAYOUT_RATE = 48_000
"""Rate of played audio, in Hz: the rate at which Opus works."""
PLAYOUT_SAMPLES = PLAYOUT_RATE // FPS
"""Played samples in one chunk: 1920."""
PLAYOUT_RATIO = PLAYOUT_RATE // SAMPLE_RATE
"""Played samples per sample of the session's clock: 3."""
QUIET_DBFS = -48.0
"""A chunk below this level is a pause."""

FloatArray = npt.NDArray[np.float32]
Int16Array = npt.NDArray[np.int16]
ByteArray = npt.NDArray[np.uint8]


def _check(name: str, array: npt.NDArray[np.generic], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise StreamError(
            f"{name}: expected {np.dtype(dtype).name} {list(shape)}, got {array.dtype.name} {list(array.shape)}"
        )


def _check_picture(name: str, array: ByteArray, shape: tuple[int, ...]) -> None:
    _check(f"VideoFrame.{name}", array, np.uint8, shape)
    if not array.flags["C_CONTIGUOUS"]:
        raise StreamError(f"VideoFrame.{name}: expected a C-contiguous array, got a strided view")


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """40 ms of audio at two rates: the model's input and the listener's output.

    Both arrays cover the same instants, aligned to within one sample at 16 kHz.

    Raises:
        StreamError: if an array has another type or shape.
    """

    pcm: FloatArray
    """The model's input: float32 `[640]`, 16 kHz, -1..1."""
    audio: Int16Array
    """What is played: int16 `[1920]`, 48 kHz mono."""
    pts: int
    """First sample of the chunk on the source's timeline, in samples at 16 kHz."""

    def __post_init__(self) -> None:
        """Check types and shapes once, at the boundary."""
        _check("AudioChunk.pcm", self.pcm, np.float32, (CHUNK_SAMPLES,))
        _check("AudioChunk.audio", self.audio, np.int16, (PLAYOUT_SAMPLES,))


class VideoFrame:
    """One video frame; it owns its arrays, which are not written after construction.

    It is given in RGB or in YUV 4:2:0, and converted once to the other where that is wanted.
    """

    __slots__ = ("_i420", "_rgb", "cutout", "pts")

    pts: int
    """Equal to the `pts` of the chunk it belongs to."""
    cutout: ByteArray | None
    """The same without its background, uint8 `[H, W, 4]`: colour and straight alpha; None if no subscriber needs it."""

    def __init__(self, rgb: ByteArray, pts: int, cutout: ByteArray | None = None) -> None:
        """Take a frame in RGB.

        Args:
            rgb: uint8 `[H, W, 3]`, C-contiguous.
            pts: samples at 16 kHz.
            cutout: uint8 `[H, W, 4]`, C-contiguous.

        Raises:
            StreamError: if an array has another type, shape or layout.
        """
        _check_picture("rgb", rgb, (*rgb.shape[:2], 3))
        if cutout is not None:
            _check_picture("cutout", cutout, (*rgb.shape[:2], 4))
        self.pts, self.cutout = pts, cutout
        self._rgb: ByteArray | None = rgb
        self._i420: ByteArray | None = None

    @classmethod
    def of_i420(cls, planes: ByteArray, pts: int) -> VideoFrame:
        """Take a frame in YUV 4:2:0, uint8 `[3 H / 2, W]`, C-contiguous; see `stream.yuv`.

        Raises:
            StreamError: if it has another type, shape or layout.
        """
        _check_picture("planes", planes, (planes.shape[0] // 3 * 3, planes.shape[-1] // 2 * 2))
        frame = cls.__new__(cls)
        frame.pts, frame.cutout, frame._rgb, frame._i420 = pts, None, None, planes
        return frame

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)`."""
        if self._rgb is not None:
            return self._rgb.shape[0], self._rgb.shape[1]
        assert self._i420 is not None
        return self._i420.shape[0] * 2 // 3, self._i420.shape[1]

    @property
    def rgb(self) -> ByteArray:
        """uint8 `[H, W, 3]`, C-contiguous."""
        if self._rgb is None:  # two threads may both convert it, to the same
            assert self._i420 is not None
            self._rgb = rgb_of(self._i420)
        return self._rgb

    def i420(self) -> ByteArray:
        """Return the frame as YUV 4:2:0 `[3 H / 2, W]`, see `stream.yuv`: converted once, for all encoders.

        Raises:
            StreamError: if a side is odd.
        """
        height, width = self.size
        if height % 2 or width % 2:
            raise StreamError(f"VideoFrame.i420: expected even sides, got {width} x {height}")
        if self._i420 is None:  # as above
            self._i420 = i420(self.rgb)
        return self._i420


def silence(pts: int) -> AudioChunk:
    """Return one chunk of digital silence at `pts` (samples at 16 kHz)."""
    pcm = np.zeros(CHUNK_SAMPLES, np.float32)
    return AudioChunk(pcm, np.zeros(PLAYOUT_SAMPLES, np.int16), pts)


def is_quiet(chunk: AudioChunk, level_dbfs: float = QUIET_DBFS) -> bool:
    """Return whether the mean power of a chunk is below a level, so that dropping it is inaudible."""
    power = float(np.mean(np.square(chunk.pcm, dtype=np.float64)))
    return bool(power < 10.0 ** (level_dbfs / 10.0))
