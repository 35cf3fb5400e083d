"""The networks that ours is timed beside have the published sizes; their figures are no test."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from models.generator import Generator
from models.weights import generator_path
from presenter.bench import peers
from presenter.bench.musetalk_sized import AUDIO_SHAPE, LATENT, DiffusionUNet, LatentDecoder, MuseTalkSized
from presenter.bench.plot import save_plot
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


def test_ratios_are_to_ours() -> None:
    ours = {"min": 9.0, "p50": 10.0, "p95": 11.0}
    rows = peers.peer_costs(ours, Generator.load(generator_path()), large=False)
    assert rows["ours"]["times_ours"] == 1
    other = rows["Wav2Lip-sized, float32"]
    assert other["times_ours"] == pytest.approx(other["p50"] / 10)
    assert other["per_pixel"] == pytest.approx(other["times_ours"] * (256 / 96) ** 2)


def report(fast: float) -> dict[str, object]:
    return {
        "machine": {"processor": "Some CPU"},
        "live": {"core_seconds_per_second": fast},
        "live_float32": {"core_seconds_per_second": 0.8},
        "stages_ms": {"syncformer": {"p50": 1.3}, "vp8": {"p50": 2.4}},
        "generator_ms": {"float32": 20.0, "threads": 1},
        "side_by_side_ms": {"MuseTalk-sized": {"p50": 11_000.0, "size": 256}},
    }


def test_a_chart_has_a_bar_for_each_figure(tmp_path: Path) -> None:
    heights = []
    for fast in (0.2, 0.4):
        path = tmp_path / f"{fast}.png"
        save_plot(report(fast), path)
        picture = cv2.imread(str(path))
        assert picture is not None
        bars = (picture == (176, 106, 44)).all(-1)
        runs = bars.any(1).astype(int)
        assert int((runs[1:] > runs[:-1]).sum()) == 6
        heights.append(int(bars[bars.any(1).argmax() + 2].sum()))
    assert heights[1] > heights[0], "a longer time has a longer bar"


def test_a_chart_that_cant_be_written_is_refused(tmp_path: Path) -> None:
    for name in ("no folder/x.png", "x.unknown"):
        with pytest.raises(PresenterError, match="expected the name of a PNG"):
            save_plot(report(0.4), tmp_path / name)
