"""The average of checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.syncformer import StyleSyncFormer, SyncFormerConfig
from models.training.motion_average import average, main

SMALL = SyncFormerConfig(mel_bands=16, dim=24, heads=2, audio_layers=1, style_layers=1, context=8, coefficients=4)


def network(seed: int) -> StyleSyncFormer:
    torch.manual_seed(seed)
    return StyleSyncFormer(SMALL)


def test_mean_lies_between_by_weight(tmp_path: Path) -> None:
    first, second = network(0), network(1)
    first.save(tmp_path / "a.safetensors", torch.float32)
    second.save(tmp_path / "b.safetensors", torch.float32)
    out = tmp_path / "mean.safetensors"
    assert main([f"3={tmp_path / 'a.safetensors'}", f"1={tmp_path / 'b.safetensors'}", "--out", str(out)]) == 0
    mean = StyleSyncFormer.load(out)
    for key, value in mean.state_dict().items():
        expected = 0.75 * first.state_dict()[key] + 0.25 * second.state_dict()[key]
        torch.testing.assert_close(value, expected, atol=2e-3, rtol=1e-2)  # saved in half precision


def test_networks_that_differ_are_refused() -> None:
    other = network(1)
    other.basis += 1
    with pytest.raises(ValueError, match="basis"):
        average([(1, network(0)), (1, other)])
    with pytest.raises(ValueError, match="at least one"):
        average([])
