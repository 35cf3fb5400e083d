"""Training targets of the audio features: the features of the Whisper teacher, and phones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.training.audio_corpus_phones import PHONES, UNKNOWN
from models.training.distill_batches import Batch

FEATURE_DELAYS = (2, 4)  # frames of look-ahead at which teacher features are predicted


class SpeechHeads(nn.Module):
    """Training-time readers of the audio features: teacher features per delay, and phones."""

    def __init__(self, dim: int, features: int) -> None:
        """Create linear readers from width `dim`."""
        super().__init__()
        self.features = nn.ModuleList(nn.Linear(dim, features) for _ in FEATURE_DELAYS)
        self.phones = nn.Linear(dim, len(PHONES))


def speech_loss(
    heads: SpeechHeads, audio: Tensor, batch: Batch, feature_weight: float, phone_weight: float
) -> tuple[Tensor, Tensor]:
    """Distillation and phone loss on audio features `[B, T, C]`.

    Returns:
        The weighted loss, and the share of the teacher features' variance explained at the first delay.
    """
    loss = torch.zeros(())
    explained = torch.zeros(())
    for number, (delay, head) in enumerate(zip(FEATURE_DELAYS, heads.features, strict=True)):
        frames = audio.shape[1] - delay
        target, known = batch.features[:, :frames], batch.has_features[:, :frames, None]
        squared = ((head(audio[:, delay:]).float() - target).square() * known).sum()
        variance = (target.square() * known).sum().clamp(min=1.0)
        loss = loss + feature_weight * squared / variance / len(FEATURE_DELAYS)
        explained = 1 - squared.detach() / variance if number == 0 else explained
    delay = FEATURE_DELAYS[0]
    logits = heads.phones(audio[:, delay:]).float().transpose(1, 2)
    labels = batch.phones[:, : audio.shape[1] - delay]
    if bool((labels != UNKNOWN).any()):
        loss = loss + phone_weight * F.cross_entropy(logits, labels, ignore_index=UNKNOWN)
    return loss, explained
