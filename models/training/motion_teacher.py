"""The motion teacher: non-causal, on Whisper features, trained on every audio-visual clip.

It never runs live. It labels speech without pictures, checks the sync of clips, and is the ceiling against
which the causal network is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """Size and training of the teacher."""

    features: int = 288  # of `teacher_inputs`
    coefficients: int = 32
    width: int = 128
    speaker_dim: int = 8
    steps: int = 300  # more overfit
    batch: int = 24
    frames: int = 75
    members: int = 4  # independently trained networks whose outputs are averaged
    learning_rate: float = 2e-3


class MotionTeacher(nn.Module):
    """A bidirectional GRU over teacher features, with a speaker code that training often hides."""

    def __init__(self, config: TeacherConfig, speakers: int) -> None:
        """Create a network for `speakers` training speakers; index 0 is no particular speaker."""
        super().__init__()
        self.speaker = nn.Embedding(speakers + 1, config.speaker_dim)
        self.enter = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(config.features + config.speaker_dim, config.width), nn.GELU(), nn.Dropout(0.2)
        )
        self.recurrent = nn.GRU(config.width, config.width, 2, batch_first=True, dropout=0.3, bidirectional=True)
        self.leave = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * config.width, config.coefficients))

    def forward(self, features: Tensor, speaker: Tensor) -> Tensor:
        """Features `[B, T, F]` and speaker index `[B]` to coefficients `[B, T, K]`."""
        code = self.speaker(speaker)[:, None].expand(-1, features.shape[1], -1)
        hidden, _ = self.recurrent(self.enter(torch.cat([features, code], -1)))
        y: Tensor = self.leave(hidden)
        return y


@dataclass(frozen=True, slots=True, eq=False)
class TeacherClip:
    """One training clip: features `[T, F]`, coefficients `[T, K]`, speaker."""

    features: Array
    coefficients: Array
    speaker: str


def motion_losses(predicted: Tensor, true: Tensor, weight: Tensor, rows: Tensor, lips: Tensor) -> Tensor:
    """Lip-weighted L1 with velocity, opening, width, closure and amplitude terms, per sequence.

    L1 alone shrinks uncertain motion and leaves lips ajar: the amplitude term matches the spread of opening and
    width over the sequence, and frames with closed lips count more.

    Args:
        predicted: coefficients `[B, T, K]`.
        true: coefficients `[B, T, K]`.
        weight: `[B, T]`, 0 where there is no truth.
        rows: opening and width as functions of coefficients `[2, K]`.
        lips: basis rows of the vertices that count `[K, V]`.

    Returns:
        Loss of each sequence `[B]`; 0 for one without truth.
    """
    count = weight.sum(1).clamp(min=1.0)
    error = predicted - true
    vertex = ((error @ lips).abs().mean(-1) * weight).sum(1) / count
    both = weight[:, 1:] * weight[:, :-1]
    velocity = ((torch.diff(error, dim=1) @ lips).abs().mean(-1) * both).sum(1) / count
    mouth, true_mouth = predicted @ rows.T, true @ rows.T  # [B, T, 2]
    closed = 1.0 + 2.0 * (true_mouth[..., 0] < 0.02)
    gap = ((mouth - true_mouth).abs().sum(-1) * closed * weight).sum(1) / count
    spread, true_spread = (_spread(x, weight, count) for x in (mouth, true_mouth))
    amplitude = (spread - true_spread).abs().sum(-1)
    return 20 * vertex + 20 * velocity + 8 * gap + 6 * amplitude


def _spread(series: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    """Standard deviation over the weighted frames of `[B, T, D]`: `[B, D]`."""
    mean = (series * weight[..., None]).sum(1, keepdim=True) / count[:, None, None]
    return (((series - mean).square() * weight[..., None]).sum(1) / count[:, None]).add(1e-6).sqrt()


def motion_loss(predicted: Tensor, true: Tensor, weight: Tensor, rows: Tensor, lips: Tensor) -> Tensor:
    """Mean of `motion_losses` over sequences, each counting by its frames with a truth."""
    count = weight.sum(1)
    return (motion_losses(predicted, true, weight, rows, lips) * count).sum() / count.sum().clamp(min=1.0)


def _batch(clips: list[TeacherClip], config: TeacherConfig, order: NDArray[np.float64], rng: np.random.Generator,
           speakers: list[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    features = np.zeros((config.batch, config.frames, config.features), np.float32)
    target = np.zeros((config.batch, config.frames, config.coefficients), np.float32)
    weight = np.zeros((config.batch, config.frames), np.float32)
    speaker = np.zeros(config.batch, np.int64)
    for row in range(config.batch):
        clip = clips[rng.choice(len(clips), p=order)]
        frames = min(len(clip.features), len(clip.coefficients), config.frames)
        start = rng.integers(0, min(len(clip.features), len(clip.coefficients)) - frames + 1)
        features[row, :frames] = clip.features[start : start + frames]
        target[row, :frames] = clip.coefficients[start : start + frames]
        weight[row, :frames] = 1.0
        if rng.random() < 0.5:
            speaker[row] = 1 + speakers.index(clip.speaker)
    features += rng.normal(0, 0.05, features.shape).astype(np.float32)
    return tuple(torch.from_numpy(x) for x in (features, target, weight, speaker))  # type: ignore[return-value]


def speaker_gains(clips: list[TeacherClip], row: Array, limits: tuple[float, float] = (0.6, 1.7)) -> dict[str, float]:
    """Factor per speaker that gives everyone the same spread of the lip opening, so that timing and shape count.

    Args:
        clips: training clips.
        row: opening as a function of coefficients `[K]`.
        limits: of the factor.
    """
    speakers = sorted({clip.speaker for clip in clips})
    joined = (np.concatenate([c.coefficients for c in clips if c.speaker == name]) for name in speakers)
    spread = np.array([float((coefficients @ row).std()) for coefficients in joined])
    gains = np.clip(np.median(spread) / np.maximum(spread, 1e-6), *limits)
    return dict(zip(speakers, gains.tolist(), strict=True))


def amplify(coefficients: Array, rows: Array, factors: Array) -> Array:
    """Scale the lip opening and the mouth width of motion by the least change of its coefficients.

    Args:
        coefficients: `[T, K]`.
        rows: opening and width as functions of coefficients `[2, K]`.
        factors: of opening and width `[2]`.
    """
    change = (coefficients @ rows.T) * (factors - 1)
    return np.asarray(coefficients + change @ np.linalg.pinv(rows).T, np.float32)


def sampling(clips: list[TeacherClip], largest_share: float = 0.2) -> NDArray[np.float64]:
    """Probability of each clip: speakers count by the square root of their frames, none above a share."""
    names = sorted({clip.speaker for clip in clips})
    frames = np.array([sum(len(c.coefficients) for c in clips if c.speaker == n) for n in names], float)
    share = np.sqrt(frames) / np.sqrt(frames).sum()
    share = np.minimum(share, largest_share)
    own = np.array([len(clip.coefficients) for clip in clips], float)
    index = np.array([names.index(clip.speaker) for clip in clips])
    order = own / frames[index] * share[index]
    return np.asarray(order / order.sum())


def train_teacher(
    clips: list[TeacherClip], rows: Array, lips: Array, config: TeacherConfig
) -> tuple[list[MotionTeacher], list[str]]:
    """Train the ensemble.

    Args:
        clips: training clips, hold-outs excluded.
        rows: from `mouth_rows`.
        lips: basis rows of the vertices that count `[K, V]`.
        config: sizes and steps.

    Returns:
        Networks in evaluation mode and the speakers in the order of their codes.
    """
    speakers = sorted({clip.speaker for clip in clips})
    order = sampling(clips)
    linear = torch.from_numpy(rows), torch.from_numpy(lips)
    members = []
    for member in range(config.members):
        torch.manual_seed(member)
        rng = np.random.default_rng(member)
        network = MotionTeacher(config, len(speakers)).train()
        optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, config.steps)
        for _ in tqdm(range(config.steps), desc=f"teacher {member + 1}/{config.members}"):
            features, target, weight, speaker = _batch(clips, config, order, rng, speakers)
            predicted = network(features, speaker)
            loss = motion_loss(predicted, target, weight, *linear)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        members.append(network.eval())
    return members, speakers


@torch.inference_mode()
def predict(members: list[MotionTeacher], features: Array, speaker: int = 0) -> Array:
    """Average the ensemble's coefficients `[T, K]` for one clip's features `[T, F]`."""
    x = torch.from_numpy(features)[None]
    index = torch.tensor([speaker])
    return np.asarray(torch.stack([network(x, index)[0] for network in members]).mean(0))
