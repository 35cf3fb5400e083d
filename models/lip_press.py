"""Lips that press on b, m and p: heard for themselves, in any language, and laid over the motion.

A network that regresses motion spreads a closure it is unsure of over a mouth that is half open, and viewers notice
that more than anything else. So a small classifier hears the last 240 ms themselves and the audio features, and says
how shut the lips should be; the motion's opening is scaled down by as much. Width and rounding stay.
Why: docs/adr/0026-lip-press.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRESS_FRAMES = 6  # of 40 ms that are heard, up to the newest one
_BANDS = 2  # neighbouring mel bands that are heard as one
_WIDTH = 64
TOUCHING = 0.006  # an opening at which lips touch already, inter-ocular distances; chosen with the strength
_NEVER = -20.0  # a bias with which lips are never pressed


class LipPress(nn.Module):
    """How shut the lips should be, from log-mel and audio features; causal."""

    def __init__(self, mel_width: int, dim: int) -> None:
        """Create a network that presses no lips yet.

        Args:
            mel_width: Log-mel values of a frame, as of `heard`.
            dim: Width of the audio features.
        """
        super().__init__()
        self.sound = nn.Linear(PRESS_FRAMES * mel_width, _WIDTH)
        self.features = nn.Linear(dim, _WIDTH, bias=False)
        self.hidden = nn.Linear(_WIDTH, _WIDTH)
        self.out = nn.Linear(_WIDTH, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, _NEVER)

    @staticmethod
    def heard(mel: Tensor, frames: int) -> Tensor:
        """What is heard of each frame `[B, frames, mel_width]`, of log-mel `[B, 4 frames, bands]`."""
        return mel.reshape(mel.shape[0], frames, -1, _BANDS).mean(-1)

    @staticmethod
    def width_of(bands: int, per_frame: int) -> int:
        """The width of `heard` for so many mel bands and spectra in a frame."""
        return bands * per_frame // _BANDS

    def logits(self, windows: Tensor, audio: Tensor) -> Tensor:
        """Logits of shut lips `[...]` for windows `[..., PRESS_FRAMES * mel_width]` and features `[..., C]`."""
        hidden = F.gelu(self.sound(windows) + self.features(audio), approximate="tanh")
        logits: Tensor = self.out(F.gelu(self.hidden(hidden), approximate="tanh"))[..., 0]
        return logits

    def step(self, mel: Tensor, audio: Tensor, state: Tensor) -> Tensor:
        """How shut the lips should be `[B, n]`, 0..1, updating `state` in place.

        Args:
            mel: Log-mel of the next frames, about zero mean and unit variance `[B, 4 n, bands]`.
            audio: Features of the same frames `[B, n, C]`.
            state: The frames before them, `[B, PRESS_FRAMES - 1, mel_width]`; zeros for a fresh stream.
        """
        joined = torch.cat([state, self.heard(mel, audio.shape[1])], 1)
        state.copy_(joined[:, 1 - PRESS_FRAMES :].detach())
        windows = joined.unfold(1, PRESS_FRAMES, 1).transpose(2, 3).flatten(2)
        return torch.sigmoid(self.logits(windows, audio))


def pressed(coefficients: Tensor, shut: Tensor, opening: Tensor, column: Tensor) -> Tensor:
    """Motion whose lips are open only as far as `shut` leaves them.

    Args:
        coefficients: Of the displacement basis `[..., K]`.
        shut: `[...]`, 0 leaves the motion as it is, 1 shuts the lips.
        opening: The lips' opening as a function of coefficients `[K]`, of `models.motion_basis.mouth_rows`.
        column: The smallest coefficients that open them by one and leave the width `[K]`.
    """
    excess = torch.relu(coefficients @ opening - TOUCHING)
    return coefficients - (shut * excess)[..., None] * column
