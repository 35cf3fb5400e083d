"""Losses of the causal network on cases whose answer is known."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("scipy")  # of the extra [train]

from models.training.audio_corpus_phones import PHONE_INDEX, UNKNOWN  # noqa: E402
from models.training.distill_losses import TOUCHING, closure_loss  # noqa: E402


def test_only_lips_apart_on_bilabials_cost() -> None:
    phones = torch.tensor([[PHONE_INDEX["B"], PHONE_INDEX["AA"], PHONE_INDEX["M"], UNKNOWN]])
    opening = torch.tensor([[TOUCHING + 0.2, 0.5, TOUCHING - 0.1, 0.5]])
    assert float(closure_loss(opening, phones)) == pytest.approx(0.1)
    assert float(closure_loss(opening, torch.full_like(phones, UNKNOWN))) == 0
