"""Recognises audio that is not the PCM that was announced, so that it is refused instead of played as noise.

Sources: ISO 11172-3, 2.4.1 (MPEG audio header); ISO 13818-7, 6.2 (ADTS); RFC 3533 (Ogg); RFC 9639 (FLAC).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MAGIC = {
    b"OggS": "an Ogg file",
    b"fLaC": "a FLAC file",
    b"\x1aE\xdf\xa3": "a WebM or Matroska file",
    b"FORM": "an AIFF file",
    b"ID3\x02": "an MP3 file",
    b"ID3\x03": "an MP3 file",
    b"ID3\x04": "an MP3 file",
}
_WORDS = (
    *(b"DONE", b"SKIP", b"STOP", b"END", b"EOS", b"EOF", b"CLEAR", b"FLUSH", b"CLOSE", b"PING", b"PONG"),
    *(b"START", b"CANCEL", b"INTERRUPT", b"SILENCE", b"PLAY_IMMEDIATE"),
)
_BITRATES = {  # kbit/s by index, of MPEG-1 and of MPEG-2 and 2.5, layer 3
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MPEG_FRAMES = 3  # headers in a row that PCM does not have by chance

_SCANNED_BYTES = 4096  # of a stream that may begin within a frame

_FLOAT_PAIRS = 64
_FLOAT_SHARE = 0.95
_ANNOUNCED_SHARE = 0.5  # of samples that are announced as float
_LOW, _HIGH = 0x3080, 0x3FFF  # upper halves of float32 samples of magnitude 1e-9 to 2
_NOISE = 4000  # mean step between the halves of a float32 sample; neighbouring PCM samples are closer


def control_word(data: bytes) -> str | None:
    """Return the word that a binary message consists of, as some protocols send it."""
    return data.decode() if len(data) <= 16 and data.strip().upper() in _WORDS else None


def find_container(data: bytes) -> tuple[bool, str | None]:
    """Look at the first bytes of a stream.

    Returns:
        Whether they suffice to decide, and what they are if they are not PCM.
    """
    if (found := _MAGIC.get(data[:4])) is not None:
        return True, found
    if data[4:8] == b"ftyp":
        return True, "an MP4 file"
    if data[:4] == b"RIFF":
        return len(data) >= 12, "a RIFF file that is no WAV" if len(data) >= 12 else None
    decided, found = _follow_frames(data, 0)
    at = data.find(b"\xff", 1, _SCANNED_BYTES)
    while found is None and at >= 0:
        found = _follow_frames(data, at)[1]
        at = data.find(b"\xff", at + 1, _SCANNED_BYTES)
    return (decided and len(data) >= 8) or found is not None, found


def _follow_frames(data: bytes, at: int) -> tuple[bool, str | None]:
    """Tell whether `_MPEG_FRAMES` frames follow each other from a place on, as `find_container` does."""
    name = None
    for _ in range(_MPEG_FRAMES):
        if at + 7 > len(data):
            return False, None
        length, name = _frame(data[at : at + 7])
        if not length:
            return True, None
        at += length
    return True, name


def _frame(header: bytes) -> tuple[int, str]:
    """Return the length of an MPEG or ADTS frame in bytes, 0 if it is none, and its name."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0, ""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    if layer == 0 and header[1] & 0xF0 == 0xF0:
        return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5, "an AAC stream"
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if layer != 1 or version == 1 or bitrate in (0, 15) or rate == 3:
        return 0, ""
    kbit, samples = _BITRATES[version == 3][bitrate], 1152 if version == 3 else 576
    return samples // 8 * kbit * 1000 // _RATES[version][rate] + padding, "an MP3 stream"


def looks_like_float(data: bytes) -> bool | None:
    """Distinguish float32 samples from int16 ones; None if too few are not silent.

    The upper half of a float32 sample of magnitude 1e-9 to 2 is a number from a narrow range, its lower half is noise.
    """
    if (share := _float_share(halves := _halves(data))) is None:
        return None
    signed = halves.view(np.int16).astype(np.int32)
    return share >= _FLOAT_SHARE and bool(np.abs(signed[:, 0] - signed[:, 1]).mean() > _NOISE)


def is_float(data: bytes) -> bool | None:
    """Whether what was announced as float32 samples between -1 and 1 is that; None if too few are not silent."""
    share = _float_share(_halves(data))
    return None if share is None else share >= _ANNOUNCED_SHARE


def _halves(data: bytes) -> npt.NDArray[np.uint16]:
    """Return the lower and the upper half of each float32 sample that is not silent, `[N, 2]`."""
    halves: npt.NDArray[np.uint16] = np.frombuffer(data, "<u2", len(data) // 4 * 2).reshape(-1, 2)
    return halves[halves[:, 1] != 0]


def _float_share(halves: npt.NDArray[np.uint16]) -> float | None:
    if len(halves) < _FLOAT_PAIRS:
        return None
    magnitude = halves[:, 1] & 0x7FFF
    return float(np.mean((magnitude >= _LOW) & (magnitude <= _HIGH)))
