"""Batches for the causal network: rows of speech, true or teacher-labelled motion, phones, features, silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training.audio_corpus_phones import FRAME_SAMPLES, UNKNOWN
from models.training.distill_augment import disturb, resample
from models.training.distill_noise import NoiseBank

Array = NDArray[np.float32]
STYLE_FRAMES = 100
SYNTHETIC = frozenset({"synthetic", "espeak"})  # corpora that no person spoke
_BABBLERS = 40  # clips out of which other people's talk is mixed


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One clip with every label that exists for it."""

    name: str
    group: str  # speaker of a filmed clip, else corpus
    filmed: bool
    pcm: NDArray[np.int16]  # [T * 640]
    phones: NDArray[np.int8]  # [T]
    features: Array | None  # [T, F]
    motion: Array | None  # [T, K], measured when filmed, else by the teacher


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Tensors of one training step."""

    pcm: Tensor  # [B, T * 640]
    features: Tensor  # [B, T, F]
    has_features: Tensor  # [B, T]
    phones: Tensor  # [B, T], -1 unknown
    motion: Tensor  # [B, T, K]
    weight: Tensor  # [B, T]
    style_motion: Tensor  # [B, STYLE_FRAMES, K] of another clip of the speaker
    has_style: Tensor  # [B] bool


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """What a batch is made of."""

    batch: int = 16
    frames: int = 100
    filmed: float = 0.45  # share of rows with measured motion
    silent: float = 0.08  # share of rows without speech
    teacher_weight: float = 0.6  # of the teacher's motion against measured motion
    largest: float = 0.0  # share of filmed rows for the speaker with most film; 0 leaves it to their length
    style: float = 0.5  # share of filmed rows that are given the speaking style
    augment: float = 0.75  # share of rows that are disturbed
    coefficients: int = 32
    features: int = 128


class Sampler:
    """Draws batches; seeded, so that a run can be repeated."""

    def __init__(self, examples: list[Example], config: MixConfig, seed: int) -> None:
        """Group examples by speaker or corpus."""
        self.config = config
        self.rng = np.random.default_rng(seed)
        samples = config.frames * FRAME_SAMPLES
        heard = [example.pcm for example in examples if not example.filmed and len(example.pcm) > samples]
        voices = [heard[i].astype(np.float32) for i in self.rng.permutation(len(heard))[:_BABBLERS]]
        self.noise = NoiseBank(60, 2 * samples, self.rng, voices)
        self.filmed = _groups([e for e in examples if e.filmed and e.motion is not None], config.largest)
        self.heard = _groups([e for e in examples if not e.filmed])

    def batch(self) -> Batch:
        """Draw one batch."""
        rows = [self._row() for _ in range(self.config.batch)]
        return Batch(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))

    def _row(self) -> tuple[NDArray[Any] | np.bool_, ...]:
        config, rng = self.config, self.rng
        kind = rng.random()
        T, K = config.frames, config.coefficients
        pcm = np.zeros(T * FRAME_SAMPLES, np.float32)
        features, known = np.zeros((T, config.features), np.float32), np.zeros(T, np.float32)
        phones = np.full(T, UNKNOWN, np.int64)
        motion, weight = np.zeros((T, K), np.float32), np.zeros(T, np.float32)
        style = np.zeros((STYLE_FRAMES, K), np.float32)
        has_style: np.bool_ = np.bool_(False)
        if kind < config.silent:
            phones[:], weight[2:] = 0, 1.0
            pcm = self.noise.draw(len(pcm), rng) * np.float32(10 ** (rng.uniform(-90, -25) / 20))
            return pcm, features, known, phones, motion, weight, style, has_style
        pool = self.filmed if kind < config.silent + config.filmed or not self.heard else self.heard
        names, shares = pool[1], pool[2]
        group = pool[0][names[rng.choice(len(names), p=shares)]]
        factor = rng.uniform(0.8, 1.25) if rng.random() < 0.5 else 1.0
        at = 0
        while at < T:
            at = self._fill(at, group, factor, pcm, features, known, phones, motion, weight)
        if group[0].filmed and rng.random() < config.style:
            style, has_style = self._style(group), np.bool_(True)
        if rng.random() < config.augment:
            pcm = disturb(pcm, self.noise, rng)
        return pcm, features, known, phones, motion, weight, style, has_style

    def _fill(self, at: int, group: list[Example], factor: float, pcm: Array, features: Array, known: Array,
              phones: NDArray[np.int64], motion: Array, weight: Array) -> int:  # fmt: skip
        """Write one clip, and often a pause, from frame `at` on; returns the next free frame."""
        rng, T = self.rng, self.config.frames
        clip = group[rng.integers(len(group))]
        length = len(clip.phones)
        available = max(int(length / factor) - 1, 1)
        frames = min(available, T - at)
        first = rng.integers(0, available - frames + 1) if rng.random() < 0.7 else 0
        start = first * factor
        span = slice(at, at + frames)
        sound = clip.pcm[int(start * FRAME_SAMPLES) : int((start + frames * factor + 2) * FRAME_SAMPLES)]
        offset = start * FRAME_SAMPLES - int(start * FRAME_SAMPLES)
        pcm[at * FRAME_SAMPLES : (at + frames) * FRAME_SAMPLES] = resample(
            sound.astype(np.float32) / np.float32(32768), factor, offset, frames * FRAME_SAMPLES
        )
        centre = start + (factor - 1) / 2  # frame centres, not edges, keep their place
        if clip.features is not None:
            features[span] = resample(clip.features, factor, centre, frames)
            known[span] = 1.0
        index = np.clip(np.round(centre + factor * np.arange(frames)).astype(int), 0, length - 1)
        phones[span] = clip.phones[index]
        if clip.motion is not None:
            motion[span] = resample(clip.motion, factor, centre, frames)
            weight[at + 1 : at + frames] = 1.0 if clip.filmed else self.config.teacher_weight
        pause = int(rng.integers(8, 40)) if rng.random() < 0.4 else 0
        end = min(at + frames + pause, T)
        weight[at + frames + 4 : end - 1] = 1.0  # the mouth has closed by then
        phones[at + frames + 1 : end] = 0
        return end

    def _style(self, group: list[Example]) -> Array:
        clip = group[self.rng.integers(len(group))]
        assert clip.motion is not None
        start = self.rng.integers(0, max(len(clip.motion) - STYLE_FRAMES, 0) + 1)
        piece = clip.motion[start : start + STYLE_FRAMES]
        return np.resize(piece, (STYLE_FRAMES, piece.shape[1])).astype(np.float32)


def _groups(
    examples: list[Example], largest: float = 0.0
) -> tuple[dict[str, list[Example]], list[str], NDArray[np.float64]]:
    """Group examples; groups count by their length to the power of 3/4, synthetic voices half as much."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    names = sorted(groups)
    share = np.array([float(sum(len(e.phones) for e in groups[name])) for name in names]) ** 0.75
    share *= [0.5 if name in SYNTHETIC else 1.0 for name in names]
    share /= max(share.sum(), 1e-9)
    if largest and len(names) > 1:
        share = give_largest(share, largest)
    return groups, names, share


def give_largest(shares: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Give the largest of shares that sum to one this much, and the others the rest in proportion."""
    index = int(np.argmax(shares))
    others = shares * (1 - share) / (1 - shares[index])
    others[index] = share
    return np.asarray(others)
