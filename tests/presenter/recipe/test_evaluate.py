"""Round trip: speech is rendered to a video, and evaluation finds the video's lips in sync with its sound."""

import json
import subprocess

import numpy as np
import pytest

from presenter.cli import main
from presenter.recipe.transcripts import words_of


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    speech, video = folder / "speech.wav", folder / "talk.mp4"
    text = "My mother bought a big apple pie. People may move by boat."
    subprocess.run(["espeak-ng", "-s", "140", "-w", str(speech), text], check=True, timeout=30)
    assert main(["--config", "tiny", "render", "--audio", str(speech), "--out", str(video)]) == 0
    speech.unlink()
    return video


@pytest.mark.slow
def test_rendered_lips_follow_the_sound(clip, capsys, tmp_path):
    capsys.readouterr()
    plot = tmp_path / "plot.png"
    assert main(["--config", "tiny", "evaluate", "--clips", str(clip.parent), "--plot", str(plot), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    figures = report["speakers"]
    assert figures["clips"] == 1
    assert figures["aperture_r"] > 0.8
    assert abs(figures["offset_frames"]) <= 1
    assert figures["mouth_psnr_db"] > figures["mouth_psnr_db_warp_only"] - 3
    assert min(report["silence"].values()) >= 0.95
    low, high = report["95 % intervals"]["speakers"]["aperture_r"]
    assert low == high == pytest.approx(figures["aperture_r"])  # one clip, nothing to draw from
    assert all(0 <= share <= 1 for share in report["instrumental music"].values())
    assert plot.stat().st_size > 1000


def test_folder_without_clips_says_so(tmp_path, capsys):
    assert main(["--config", "tiny", "evaluate", "--clips", str(tmp_path)]) == 2
    assert "expected video clips" in capsys.readouterr().err


def test_words_come_from_text_or_grid_times(tmp_path):
    clip = tmp_path / "a.mp4"
    assert words_of(clip) == ""
    (tmp_path / "align").mkdir()
    (tmp_path / "align" / "a.align").write_text("0 10 sil\n10 20 bin\n20 30 blue\n30 40 sp\n")
    assert words_of(clip) == "bin blue"
    (tmp_path / "a.txt").write_text("hello there")
    assert words_of(clip) == "hello there"


def test_metrics_know_equal_and_different_pictures():
    from models.metrics import psnr, sharpness, ssim

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
    noisy = np.clip(picture + rng.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)
    assert psnr(picture, picture) > 100
    assert 26 < psnr(picture, noisy) < 30  # 20 log10(255 / 10) = 28.1
    assert ssim(picture, picture) == pytest.approx(1.0)
    assert ssim(picture, noisy) < 0.995
    assert sharpness(np.full_like(picture, 9)) == 0 < sharpness(picture)
