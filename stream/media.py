"""Types exchanged between the packages: audio chunks and video frames.

Time is an integer number of samples at the model's rate (16 kHz), everywhere. One video frame
lasts exactly one chunk, so a frame and the sound that belongs to it carry the same `pts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.errors import StreamError
from stream.yuv import i420

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


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One video frame; it owns its arrays, which are not written after construction.

    Raises:
        StreamError: if `rgb` is not contiguous uint8 `[H, W, 3]`, or `cutout` not contiguous uint8 `[H, W, 4]`.
    """

    rgb: ByteArray
    """uint8 `[H, W, 3]`, C-contiguous."""
    pts: int
    """Equal to the `pts` of the chunk it belongs to."""
    cutout: ByteArray | None = None
    """The same without its background, uint8 `[H, W, 4]`: colour and straight alpha; None if no subscriber needs it."""
    _i420: ByteArray | None = field(default=None, init=False, repr=False)

    def i420(self) -> ByteArray:
        """Return `rgb` as YUV 4:2:0 `[3 H / 2, W]`, see `stream.yuv`: converted once, for all encoders.

        Raises:
            StreamError: if a side is odd.
        """
        if self.rgb.shape[0] % 2 or self.rgb.shape[1] % 2:
            raise StreamError(f"VideoFrame.i420: expected even sides, got {self.rgb.shape[1]} x {self.rgb.shape[0]}")
        if self._i420 is None:  # two threads may both convert it, to the same
            object.__setattr__(self, "_i420", i420(self.rgb))
        assert self._i420 is not None
        return self._i420

    def __post_init__(self) -> None:
        """Check type, shape and layout once, at the boundary."""
        shape = self.rgb.shape[:2]
        for name, array, expected in (("rgb", self.rgb, (*shape, 3)), ("cutout", self.cutout, (*shape, 4))):
            if array is None:
                continue
            _check(f"VideoFrame.{name}", array, np.uint8, expected)
            if not array.flags["C_CONTIGUOUS"]:
                raise StreamError(f"VideoFrame.{name}: expected a C-contiguous array, got a strided view")


def silence(pts: int) -> AudioChunk:
    """Return one chunk of digital silence at `pts` (samples at 16 kHz)."""
    pcm = np.zeros(CHUNK_SAMPLES, np.float32)
    return AudioChunk(pcm, np.zeros(PLAYOUT_SAMPLES, np.int16), pts)


def is_quiet(chunk: AudioChunk, level_dbfs: float = QUIET_DBFS) -> bool:
    """Return whether the mean power of a chunk is below a level, so that dropping it is inaudible."""
    power = float(np.mean(np.square(chunk.pcm, dtype=np.float64)))
    return bool(power < 10.0 ** (level_dbfs / 10.0))
