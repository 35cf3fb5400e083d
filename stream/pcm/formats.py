"""Decodes PCM bytes to int16 samples, however they were cut into messages.

No resampling here: `stream.pcm.chunker` does that. Source: ITU-T G.711 (mu-law).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.errors import StreamError
from stream.media import Int16Array

MIN_RATE, MAX_RATE = 8_000, 48_000
SAMPLE_BYTES = {"pcm_s16le": 2, "mulaw": 1, "pcm_f32le": 4}
"""Supported encodings, and the bytes of one sample of one channel."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Format of a stream of speech.

    Raises:
        StreamError: if a value is not supported.
    """

    rate: int
    """Samples per second and channel, 8000..48000."""
    channels: int = 1
    """1, or 2 interleaved."""
    encoding: str = "pcm_s16le"
    """`pcm_s16le` (signed 16 bit, little endian), `mulaw` (G.711, 8 bit) or `pcm_f32le` (float, -1 to 1)."""

    def __post_init__(self) -> None:
        """Check the values once, at the boundary."""
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise StreamError(f"sample rate: expected {MIN_RATE}..{MAX_RATE} Hz, got {self.rate}")
        if self.channels not in (1, 2):
            raise StreamError(f"channels: expected 1 or 2, got {self.channels}")
        if self.encoding not in SAMPLE_BYTES:
            raise StreamError(f"encoding: expected {' or '.join(SAMPLE_BYTES)}, got {self.encoding!r}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return SAMPLE_BYTES[self.encoding] * self.channels

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio."""
        return self.rate * self.frame_bytes


def _mulaw_table() -> Int16Array:
    """Return the sample of each of the 256 codes, `[256]`, on a 16-bit scale.

    A code is sent inverted: sign, 3 bits of segment, 4 bits of step. 33 is G.711's bias on its 14-bit
    scale, four times that on this one.
    """
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = (((2 * step + 33) << segment) - 33) << 2
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_MULAW = _mulaw_table()


class PcmDecoder:
    """Decodes one stream of bytes; an incomplete sample waits for the rest."""

    def __init__(self, audio_format: AudioFormat) -> None:
        """Read a stream of the given format from its beginning."""
        self.format = audio_format
        self._rest = b""

    def push(self, data: bytes) -> Int16Array:
        """Add bytes and return the samples they complete.

        Returns:
            int16 `[N]` for one channel, `[N, 2]` for two; N may be 0.
        """
        data = self._rest + data
        whole = len(data) - len(data) % self.format.frame_bytes
        self._rest = data[whole:]
        if self.format.encoding == "mulaw":
            samples = _MULAW[np.frombuffer(data, np.uint8, whole)]
        elif self.format.encoding == "pcm_f32le":
            level = np.nan_to_num(np.frombuffer(data, "<f4", whole // 4), posinf=1, neginf=-1)
            samples = np.round(np.clip(level, -1, 1) * 32_767).astype(np.int16)
        else:
            samples = np.frombuffer(data, "<i2", whole // 2).astype(np.int16, copy=False)
        return samples if self.format.channels == 1 else samples.reshape(-1, 2)
