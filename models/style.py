"""Speaking style: a code of how someone moves the mouth, and how far; both from the motion of another clip."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.motion_basis import Array

ARTICULATION = 3
"""Numbers of an articulation: logarithms of the gains of lip opening and mouth width, and an offset of the width."""
# The neutral style's motion on open-vocabulary speech (135 clips of 100 people, medians): mean and standard deviation
# of lip opening and mouth width, inter-ocular distances.
_OPENING_MEAN, _OPENING_STD = 0.087, 0.061
_WIDTH_MEAN, _WIDTH_STD = -0.004, 0.040
_MEANS_SHARE = 0.3  # of the opening's gain that the mean decides; the spread decides the rest
_LARGEST_GAIN, _LARGEST_OFFSET = 2.5, 0.12


def fit_articulation(motion: Array) -> Tensor:
    """How far someone opens and widens the mouth, against the neutral style `[ARTICULATION]`.

    People differ in it five times as much as the network's output does, and a code alone hardly moves that output; a
    gain does, exactly, and leaves the timing as it is. Zeros change nothing, so a fraction of it is a weaker style.

    Args:
        motion: Lip opening and mouth width of a clip, relative to rest `[T, 2]`, inter-ocular distances.
    """
    (opening, width), (opening_std, width_std) = motion.mean(0), motion.std(0)
    spread = max(float(opening_std), 1e-3) / _OPENING_STD
    level = max(float(opening), 1e-3) / _OPENING_MEAN
    gains = np.array([spread ** (1 - _MEANS_SHARE) * level**_MEANS_SHARE, max(float(width_std), 1e-3) / _WIDTH_STD])
    gains = np.clip(gains, 1 / _LARGEST_GAIN, _LARGEST_GAIN)
    offset = np.clip(float(width) - gains[1] * _WIDTH_MEAN, -_LARGEST_OFFSET, _LARGEST_OFFSET)
    return torch.tensor([math.log(gains[0]), math.log(gains[1]), offset], dtype=torch.float32)


def articulated(coefficients: Tensor, articulation: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Motion with another opening and width.

    Args:
        coefficients: Of the displacement basis `[B, T, K]`.
        articulation: `[B, ARTICULATION]`, see `fit_articulation`.
        rows: Opening and width as functions of coefficients `[2, K]`, `models.motion_basis.mouth_rows`.
        columns: The smallest coefficients that change them, the pseudo-inverse of `rows` `[K, 2]`.
    """
    mouth = coefficients @ rows.T
    change = mouth * torch.expm1(articulation[:, None, :2])
    change[..., 1] += articulation[:, None, 2]
    return coefficients + change @ columns.T


class StyleEncoder(nn.Module):
    """Motion coefficients of a clip to one style code, by attentive pooling.

    Source: reconstruction in the pattern of StyleTalk and Imitator; ReSyncer's own encoder is not published.
    """

    def __init__(self, coefficients: int, style_dim: int, width: int = 96) -> None:
        """Create an encoder from `coefficients` per frame to a code of `style_dim`."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(2 * coefficients, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.GELU(),
        )
        self.attention = nn.Conv1d(width, 1, 1)
        self.out = nn.Linear(2 * width, style_dim)

    def forward(self, motion: Tensor) -> Tensor:
        """Pool motion `[B, T, K]` (any length from 1) to a style code `[B, S]` in -1..1."""
        velocity = torch.diff(motion, dim=1, prepend=motion[:, :1])
        hidden = self.features(torch.cat([motion, velocity], -1).transpose(1, 2))  # [B, W, T]
        weights = self.attention(hidden).softmax(-1)
        mean = (weights * hidden).sum(-1)
        spread = (weights * (hidden - mean[..., None]).square()).sum(-1).add(1e-6).sqrt()
        return torch.tanh(self.out(torch.cat([mean, spread], -1)))
