"""Phones of a clip, from the words stored next to it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats

HAS_ALIGNER = importlib.util.find_spec("pocketsphinx") is not None  # part of the extra [train]


def words_of(clip: Path) -> str:
    """What is said in a clip: `CLIP.txt`, or word times as GRID has them in `align/CLIP.align`."""
    text = clip.with_suffix(".txt")
    if text.is_file():
        return text.read_text()
    for times in (clip.parent / "align" / f"{clip.stem}.align", clip.with_suffix(".align")):
        if times.is_file():
            words = (line.split()[2] for line in times.read_text().splitlines() if len(line.split()) == 3)
            return " ".join(word for word in words if word not in ("sil", "sp"))
    return ""


def phones_of(clip: Path, pcm: Floats) -> NDArray[np.int8] | None:
    """Phone per frame `[T]` by forced alignment; None without a transcript or an aligner.

    Args:
        clip: The clip's path.
        pcm: Its sound `[T * 640]` at 16 kHz.
    """
    words = words_of(clip)
    if not words or not HAS_ALIGNER:
        return None
    from models.training.audio_corpus_phones import FRAME_SAMPLES, align, frame_labels

    segments = align((np.clip(pcm, -1, 1) * 32767).astype(np.int16), words)
    return None if segments is None else frame_labels(segments, len(pcm) // FRAME_SAMPLES)
