"""The average of checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.motion_basis import mouth_rows
from models.syncformer import StyleSyncFormer, SyncFormerConfig
from models.training.motion_average import average, emphasise, main

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


def test_emphasis_scales_opening_and_width_alone() -> None:
    model = network(0)
    model.basis.copy_(torch.randn(model.basis.shape, generator=torch.Generator().manual_seed(2)))
    rows = mouth_rows(model.basis.numpy())
    pcm = 0.1 * torch.randn(1, 20 * 640, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        before = model(pcm, model.null_style)[0].numpy() @ rows.T
    emphasise(model, 1.5, 0.5)
    with torch.inference_mode():
        after = model(pcm, model.null_style)[0].numpy() @ rows.T
    assert after == pytest.approx(before * [1.5, 0.5], abs=1e-3)


def test_networks_that_differ_are_refused() -> None:
    other = network(1)
    other.basis += 1
    with pytest.raises(ValueError, match="basis"):
        average([(1, network(0)), (1, other)])
    with pytest.raises(ValueError, match="at least one"):
        average([])
