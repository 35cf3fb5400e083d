"""Which clips are never trained on."""

from __future__ import annotations

from zlib import crc32

OPEN_VALIDATION = "av_open_validate"  # corpus of open-vocabulary speakers whose terms allow to measure on them only
UNSEEN_SPEAKERS = frozenset({"fadg0", "feifeili", "reagan", "jen"})
_HELD_OUT_EVERY = 10


def is_held_out(corpus: str, clip: str, speaker: str) -> bool:
    """Say whether a clip is for validation: all clips of unseen speakers, and 1 in 10 of others.

    Args:
        corpus: Corpus folder, such as `grid_s1`.
        clip: File name without suffix.
        speaker: Who speaks.
    """
    if speaker in UNSEEN_SPEAKERS or corpus == OPEN_VALIDATION:
        return True
    return corpus in ("grid_s1", "faces") and crc32(clip.encode()) % _HELD_OUT_EVERY == 0
