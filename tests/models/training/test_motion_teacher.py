"""The teacher's losses and speaker scaling on motion whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.training.motion_teacher import (
    TeacherClip,
    amplify,
    motion_loss,
    motion_losses,
    speaker_gains,
)

ROWS, LIPS = torch.eye(2), torch.eye(2)


def moving(frames: int = 40) -> torch.Tensor:
    """Two coefficients that move, `[1, T, 2]`."""
    return torch.randn(1, frames, 2, generator=torch.Generator().manual_seed(0))


def test_no_loss_without_error_and_none_where_nothing_is_known() -> None:
    true = moving()
    assert float(motion_loss(true, true, torch.ones(1, 40), ROWS, LIPS)) == pytest.approx(0, abs=1e-6)
    assert float(motion_loss(true + 1, true, torch.zeros(1, 40), ROWS, LIPS)) == 0


def test_width_without_motion_costs_its_spread() -> None:
    true = moving()
    still = true.clone()
    still[..., 1] = true[..., 1].mean()
    weight = torch.ones(1, 40)
    nothing = torch.zeros(2, 2)  # leaves the amplitude term alone
    rows = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    gap = 8 * (still - true)[..., 1].abs() * 3  # closed: the opening row is zero
    loss = float(motion_losses(still, true, weight, rows, nothing)) - float(gap.mean())
    assert loss == pytest.approx(6 * float(true[..., 1].std(correction=0)), rel=0.01)


def test_gains_give_every_speaker_the_median_spread() -> None:
    rng = np.random.default_rng(0)
    features = np.zeros((200, 1), np.float32)
    motion = rng.normal(size=(200, 1)).astype(np.float32)
    clips = [TeacherClip(features, motion * scale, name) for name, scale in (("a", 0.8), ("b", 1.0), ("c", 10.0))]
    gains = speaker_gains(clips, np.ones(1, np.float32))
    assert gains["a"] == pytest.approx(1.25, rel=1e-4)
    assert gains["b"] == pytest.approx(1.0, rel=1e-4)
    assert gains["c"] == 0.6


def test_amplified_motion_opens_further_and_stays_shut_where_it_was() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 6)).astype(np.float32)
    motion = rng.normal(size=(50, 6)).astype(np.float32)
    motion[0] = 0
    changed = amplify(motion, rows, np.array([1.5, 0.8], np.float32))
    assert changed @ rows.T == pytest.approx(motion @ rows.T * [1.5, 0.8], abs=1e-4)
    assert not changed[0].any()
