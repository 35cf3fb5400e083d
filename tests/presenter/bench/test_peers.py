"""The networks that are compared have the sizes that were published; the chart shows every figure."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from presenter.bench.peers import MuseTalkSized, Wav2LipSized
from presenter.bench.plot import save_plot
from presenter.errors import PresenterError


def millions(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def test_the_peers_have_their_published_sizes() -> None:
    with torch.device("meta"), torch.inference_mode():
        wav2lip, musetalk = Wav2LipSized().eval(), MuseTalkSized().eval()
        assert wav2lip(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)).shape == (1, 3, 96, 96)
        assert musetalk(torch.zeros(1, 8, 32, 32), torch.zeros(1, 50, 384)).shape == (1, 3, 256, 256)
    assert 35 < millions(wav2lip) < 38
    assert 840 < millions(musetalk) < 920  # 860 and the decoder's 49


def report(fast: float) -> dict[str, object]:
    return {
        "machine": {"processor": "Some CPU"},
        "live": {"core_seconds_per_second": fast},
        "live_float32": {"core_seconds_per_second": 0.8},
        "stages_ms": {"syncformer": {"p50": 1.3}, "vp8": {"p50": 2.4}},
        "generator_ms": {"float32": 20.0, "threads": 1},
        "peers": {"MuseTalk-sized": {"frame_ms": 11_000.0}},
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
