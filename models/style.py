"""Speaking style: a code of how someone moves the mouth, pooled from motion of another clip."""

import torch
from torch import Tensor, nn


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
