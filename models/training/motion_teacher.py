"""The motion teacher: non-causal, on Whisper features, trained on every audio-visual clip.

It never runs live. It labels speech without pictures, checks the sync of clips, and is the ceiling against
which the causal network is judged.
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

    features: int = 128
    coefficients: int = 32
    width: int = 160
    speaker_dim: int = 8
    steps: int = 700
    batch: int = 24
    frames: int = 75
    members: int = 1  # independently trained networks whose outputs are averaged
    learning_rate: float = 2e-3


class MotionTeacher(nn.Module):
    """Dilated convolutions over teacher features, with a speaker code that training often hides."""

    def __init__(self, config: TeacherConfig, speakers: int) -> None:
        """Create a network for `speakers` training speakers; index 0 is nobody in particular."""
        super().__init__()
        self.speaker = nn.Embedding(speakers + 1, config.speaker_dim)
        self.enter = nn.Conv1d(config.features + config.speaker_dim, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, config.width),
                nn.Conv1d(config.width, config.width, 3, padding=dilation, dilation=dilation),
                nn.GELU(),
                nn.Dropout(0.2),
                nn.Conv1d(config.width, config.width, 1),
            )
            for dilation in (1, 2, 4, 1)
        )
        self.leave = nn.Conv1d(config.width, config.coefficients, 1)

    def forward(self, features: Tensor, speaker: Tensor) -> Tensor:
        """Features `[B, T, F]` and speaker index `[B]` to coefficients `[B, T, K]`."""
        code = self.speaker(speaker)[:, None].expand(-1, features.shape[1], -1)
        x = self.enter(torch.cat([features, code], -1).transpose(1, 2))
        for block in self.blocks:
            x = x + block(x)
        y: Tensor = self.leave(x).transpose(1, 2)
        return y


@dataclass(frozen=True, slots=True, eq=False)
class TeacherClip:
    """One training clip: features `[T, F]`, coefficients `[T, K]`, speaker."""

    features: Array
    coefficients: Array
    speaker: str


def motion_loss(predicted: Tensor, true: Tensor, weight: Tensor, rows: Tensor, lips: Tensor) -> Tensor:
    """Lip-weighted L1 with velocity, opening, closure and amplitude terms.

    L1 alone shrinks uncertain motion and leaves lips ajar: the amplitude term matches the spread of the
    opening over the sequence, and frames with closed lips count more.

    Args:
        predicted: coefficients `[B, T, K]`.
        true: coefficients `[B, T, K]`.
        weight: `[B, T]`, 0 where there is no truth.
        rows: opening and width as functions of coefficients `[2, K]`.
        lips: basis rows of the vertices that count `[K, V]`.

    Returns:
        Scalar loss.
    """
    total = weight.sum().clamp(min=1.0)
    error = predicted - true
    vertex = ((error @ lips).abs().mean(-1) * weight).sum() / total
    both = weight[:, 1:] * weight[:, :-1]
    velocity = ((torch.diff(error, dim=1) @ lips).abs().mean(-1) * both).sum() / total
    mouth, true_mouth = predicted @ rows.T, true @ rows.T  # [B, T, 2]
    opening = true_mouth[..., 0]
    closed = 1.0 + 2.0 * (opening < 0.02)
    gap = ((mouth - true_mouth).abs().sum(-1) * closed * weight).sum() / total
    count = weight.sum(1, keepdim=True).clamp(min=1.0)
    spread, true_spread = (
        (((x - (x * weight).sum(1, keepdim=True) / count).square() * weight).sum(1) / count[:, 0]).add(1e-6).sqrt()
        for x in (mouth[..., 0], opening)
    )
    amplitude = (spread - true_spread).abs().mean()
    return 20 * vertex + 20 * velocity + 8 * gap + 6 * amplitude


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


def sampling(clips: list[TeacherClip], largest_share: float = 0.5) -> NDArray[np.float64]:
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
    members = []
    for member in range(config.members):
        torch.manual_seed(member)
        rng = np.random.default_rng(member)
        network = MotionTeacher(config, len(speakers)).train()
        optimiser = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, config.steps)
        for _ in tqdm(range(config.steps), desc=f"teacher {member + 1}/{config.members}"):
            features, target, weight, speaker = _batch(clips, config, order, rng, speakers)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                predicted = network(features, speaker)
            loss = motion_loss(predicted.float(), target, weight, torch.from_numpy(rows), torch.from_numpy(lips))
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
