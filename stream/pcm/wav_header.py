"""Header of a WAV stream, read as its bytes arrive.

Source: Microsoft's RIFF and WAVEFORMATEX; RFC 2361 for the format tags.
"""

from __future__ import annotations

from stream.errors import StreamError
from stream.pcm.formats import AudioFormat

MAX_HEADER_BYTES = 16_384
"""A header with longer chunks before its audio is refused: it is buffered."""

_ENCODINGS = {(1, 16): "pcm_s16le", (3, 32): "pcm_f32le", (7, 8): "mulaw"}  # by format tag and bits per sample
_EXTENSIBLE = 0xFFFE
_UNKNOWN_SIZES = (0, 0xFFFF_FFFF)  # written by services that do not know the length yet


def is_wav(data: bytes) -> bool:
    """Whether bytes begin a WAV file; at least 12 are needed."""
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


class WavHeader:
    """Finds the format and where the audio begins."""

    def __init__(self) -> None:
        """Begin before the first byte."""
        self._data = b""
        self.format: AudioFormat | None = None
        """Known once the header is complete."""
        self.audio_bytes: int | None = None
        """Length of the audio, or None if the header does not tell."""

    def push(self, data: bytes) -> bytes:
        """Add bytes; returns those behind the header, none while it is incomplete.

        Raises:
            StreamError: if the format is not supported, or the header is malformed.
        """
        self._data += data
        at = 12
        found: AudioFormat | None = None
        while at + 8 <= len(self._data):
            name, size = self._data[at : at + 4], int.from_bytes(self._data[at + 4 : at + 8], "little")
            at += 8
            if name == b"data":
                if found is None:
                    raise StreamError("WAV: expected a fmt chunk before the data chunk, got none")
                self.format = found
                self.audio_bytes = None if size in _UNKNOWN_SIZES else size
                return self._data[at:]
            if name == b"fmt " and at + size <= len(self._data):
                found = _read_format(self._data[at : at + size])
            at += size + size % 2
        if max(at, len(self._data)) > MAX_HEADER_BYTES:
            raise StreamError(f"WAV: expected audio within the first {MAX_HEADER_BYTES} bytes, got other chunks")
        return b""


def _read_format(chunk: bytes) -> AudioFormat:
    if len(chunk) < 16:
        raise StreamError(f"WAV: expected a fmt chunk of 16 bytes or more, got {len(chunk)}")
    tag, channels = int.from_bytes(chunk[:2], "little"), int.from_bytes(chunk[2:4], "little")
    rate, bits = int.from_bytes(chunk[4:8], "little"), int.from_bytes(chunk[14:16], "little")
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        raise StreamError(f"WAV: expected 16-bit PCM, 32-bit float or 8-bit mu-law, got format {tag} of {bits} bits")
    return AudioFormat(rate, channels, encoding)
