"""Phone labels of speech: inventory, forced alignment, and times to video frames.

The inventory is ARPAbet without stress, plus silence at index 0. Labels are sampled at
the centre of every 40 ms video frame.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAME_SAMPLES = 640
SAMPLE_RATE = 16000
PHONES = [
    "SIL", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH",
    "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
]  # fmt: skip
PHONE_INDEX = {name: index for index, name in enumerate(PHONES)}
BILABIALS = tuple(PHONE_INDEX[name] for name in ("B", "M", "P"))
UNKNOWN = -1

Segment = tuple[str, float, float]  # phone name, start, end in seconds

_FLITE = {
    "AX": "AH",
    "AXR": "ER",
    "IX": "IH",
    "UX": "UW",
    "PAU": "SIL",
    "H#": "SIL",
    "NX": "N",
    "EN": "N",
    "EM": "M",
    "EL": "L",
    "DX": "T",
}
_IPA = {
    "ɑ": "AA", "a": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɔ": "AO", "b": "B", "d": "D", "ð": "DH",
    "ɛ": "EH", "e": "EY", "ɜ": "ER", "ɚ": "ER", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "ɪ": "IH", "i": "IY",
    "ᵻ": "IH", "j": "Y", "k": "K", "l": "L", "m": "M", "n": "N", "ŋ": "NG", "o": "OW", "p": "P", "ɹ": "R", "r": "R",
    "s": "S", "ʃ": "SH", "t": "T", "θ": "TH", "ʊ": "UH", "u": "UW", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH", "ɾ": "T",
    "ʔ": "T", **dict.fromkeys("_ ^$.,?!;:", "SIL"),
}  # fmt: skip


def phone_from_flite(name: str) -> str:
    """Map a flite or festival phone name to the inventory; unknown names become silence."""
    upper = name.upper().rstrip("012")
    return upper if upper in PHONE_INDEX else _FLITE.get(upper, "SIL")


def phone_from_ipa(symbol: str) -> str | None:
    """Map one espeak IPA symbol to the inventory; None for marks that prolong the previous phone."""
    return _IPA.get(symbol)


def frame_labels(segments: list[Segment], frames: int) -> NDArray[np.int8]:
    """Sample phone segments at frame centres.

    Args:
        segments: phones with start and end in seconds, in order.
        frames: number of 40 ms frames.

    Returns:
        Phone index per frame `[frames]`; silence where no segment lies.
    """
    labels = np.zeros(frames, np.int8)
    centres = (np.arange(frames) + 0.5) * FRAME_SAMPLES / SAMPLE_RATE
    for name, start, end in segments:
        labels[(centres >= start) & (centres < end)] = PHONE_INDEX[name]
    return labels


@lru_cache(maxsize=1)
def _decoder() -> object:
    import pocketsphinx

    return pocketsphinx.Decoder(lm=None, loglevel="FATAL")


@lru_cache(maxsize=1)
def _vocabulary() -> frozenset[str]:
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    return frozenset(line.split()[0] for line in path.read_text().splitlines() if line)


def align(pcm: NDArray[np.int16], text: str) -> list[Segment] | None:
    """Force-align a transcript with pocketsphinx's packaged English model.

    Args:
        pcm: mono audio at 16 kHz `[N]`.
        text: transcript; case and punctuation are ignored.

    Returns:
        Phones with times in seconds, or None when a word is outside the dictionary or no
        alignment was found.
    """
    words = re.findall(r"[a-z']+", text.lower().replace("-", " "))
    if not words or any(word not in _vocabulary() for word in words):
        return None
    decoder = _decoder()
    decoder.set_align_text(" ".join(words))  # type: ignore[attr-defined]
    if not _decode(decoder, pcm) or decoder.hyp() is None:  # type: ignore[attr-defined]
        return None
    decoder.set_alignment()  # type: ignore[attr-defined]
    if not _decode(decoder, pcm):  # the phone pass: requesting a hypothesis from it crashes pocketsphinx
        return None
    segments: list[Segment] = []
    for word in decoder.get_alignment() or ():  # type: ignore[attr-defined]
        for phone in word:
            name = phone.name if phone.name in PHONE_INDEX else "SIL"
            segments.append((name, phone.start / 100, (phone.start + phone.duration) / 100))
    return segments or None


def _decode(decoder: object, pcm: NDArray[np.int16]) -> bool:
    try:
        decoder.start_utt()  # type: ignore[attr-defined]
        decoder.process_raw(pcm.tobytes(), full_utt=True)  # type: ignore[attr-defined]
        decoder.end_utt()  # type: ignore[attr-defined]
    except RuntimeError:
        return False
    return True
