"""Join everything that is known about each training clip: sound, phones, teacher features, motion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.motion_basis import to_coefficients
from models.training.audio_corpus import AudioClip, load_corpus
from models.training.audio_corpus_features import whitening
from models.training.audio_corpus_phones import FRAME_SAMPLES
from models.training.distill_batches import Example
from models.training.motion_data import MotionClip, held_out_kind, load_motion, read_sync


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where prepared data lies."""

    tracks: Path = Path("cache/tracks")
    audio: Path = Path("cache/audio")
    motion: Path = Path("cache/motion")  # sync.json, basis.npy, labels.npz, gains.json


def build_examples(
    corpus: dict[str, AudioClip], motion: dict[str, MotionClip], basis: NDArray[np.float32], white: NDArray[np.float32],
    labelled: dict[str, NDArray[np.float32]], dropped: set[str], gains: dict[str, float],
) -> list[Example]:  # fmt: skip
    """Join audio, measured motion and teacher labels; held-out and dropped clips are excluded.

    `gains` scale the motion of each filmed speaker (see `speaker_gains`).
    """
    examples = []
    for name, clip in corpus.items():
        if held_out_kind(name) or len(clip.phones) < 20:
            continue
        filmed = name in motion and name not in dropped
        target = labelled.get(name)
        if filmed:
            gain = np.float32(gains.get(motion[name].speaker, 1.0))
            target = gain * to_coefficients(motion[name].displacement, basis)
        frames = len(clip.phones)
        if target is not None:
            frames = min(frames, len(target))
        if clip.features is not None:
            frames = min(frames, len(clip.features))
        examples.append(
            Example(
                name=name,
                group=motion[name].speaker if filmed else name.split("/")[0],
                filmed=filmed,
                pcm=clip.pcm[: frames * FRAME_SAMPLES],
                phones=clip.phones[:frames],
                features=None if clip.features is None else clip.features[:frames] * white,
                motion=None if target is None else target[:frames].astype(np.float32),
            )
        )
    return examples


def load_examples(
    folders: Folders,
) -> tuple[list[Example], dict[str, AudioClip], dict[str, MotionClip], NDArray[np.float32]]:
    """Load training examples, and all audio and motion clips and the basis for evaluation."""
    shifts, dropped = read_sync(folders.motion / "sync.json")
    corpus, motion = load_corpus(folders.audio), load_motion(folders.tracks, shifts)
    basis = np.load(folders.motion / "basis.npy")
    labels = {name: array for name, array in np.load(folders.motion / "labels.npz").items()}
    gains = json.loads((folders.motion / "gains.json").read_text())
    examples = build_examples(corpus, motion, basis, whitening(folders.audio), labels, dropped, gains)
    return examples, corpus, motion, basis
