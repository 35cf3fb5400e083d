"""The networks that ours is timed beside have the published sizes; their figures are no test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.generator import Generator
from models.weights import generator_path
from presenter.bench import peers
from presenter.bench.musetalk_sized import AUDIO_SHAPE, LATENT, DiffusionUNet, LatentDecoder, MuseTalkSized
from presenter.bench.plot import draw_report
from presenter.bench.wav2lip_sized import FACE_SIZE, MEL_SHAPE, Wav2LipSized
from presenter.errors import PresenterError


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_they_are_as_large_as_published() -> None:
    with torch.device("meta"):
        assert parameters(DiffusionUNet(channels=4, context=768)) == 859_520_964, "Stable Diffusion 1.5"
        assert parameters(LatentDecoder()) == 49_490_179, "sd-vae-ft-mse"
        assert parameters(Wav2LipSized()) == pytest.approx(36.3e6, rel=0.002)
        picture = MuseTalkSized()(torch.zeros(1, 8, LATENT, LATENT), torch.zeros(1, *AUDIO_SHAPE))
        assert picture.shape == (1, 3, 256, 256)


def test_random_weights_compute_finite_pictures() -> None:
    network = peers.random_network(Wav2LipSized)
    with torch.inference_mode():
        picture = network(torch.rand(1, 6, FACE_SIZE, FACE_SIZE), torch.rand(1, 1, *MEL_SHAPE))
    assert picture.shape == (1, 3, FACE_SIZE, FACE_SIZE)
    assert picture.isfinite().all()
    assert picture.std() > 0


def test_ratios_are_to_ours_and_drawn(tmp_path: Path) -> None:
    ours = {"min": 9.0, "p50": 10.0, "p95": 11.0}
    rows = peers.peer_costs(ours, Generator.load(generator_path()), large=False)
    assert rows["ours"]["times_ours"] == 1
    other = rows["Wav2Lip-sized, float32"]
    assert other["times_ours"] == pytest.approx(other["p50"] / 10)
    assert other["per_pixel"] == pytest.approx(other["times_ours"] * (256 / 96) ** 2)
    report = {
        "machine": {"processor": "a processor"},
        "backend": "int8",
        "stages_ms": {"generator": ours},
        "side_by_side_ms": rows,
        "live": {"by_fifth": [0.5] * 5},
    }
    draw_report(report, tmp_path / "plot.png")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3
    for refused in ("plot.jpg", "missing/plot.png"):
        with pytest.raises(PresenterError, match="--plot"):
            draw_report(report, tmp_path / refused)
