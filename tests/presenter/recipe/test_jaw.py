"""`presenter train jaw`: from tracked clips and recordings to a jaw in the checkpoint."""

import shutil
import wave

import numpy as np
import pytest

from models.mesh import topology
from models.syncformer import StyleSyncFormer
from models.weights import syncformer_path
from presenter.cli import main
from presenter.recipe.steps import run_step

CHIN = 152


@pytest.fixture
def folders(tmp_path):
    """Syllables of noise, and a tracked clip of someone whose chin falls as far as the lips open."""
    t = np.arange(32000) / 16000
    noise = np.random.default_rng(0).standard_normal(len(t)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    (tmp_path / "speech").mkdir()
    with wave.open(str(tmp_path / "speech" / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((6000 * noise).clip(-32768, 32767).astype("<i2").tobytes())
    neutral = topology().reference
    meshes = np.repeat(neutral[None], 50, 0)
    opening = np.linspace(0, 0.3, 50, dtype=np.float32)[:, None]
    meshes[:, [14, 178, 87, 317, 402, CHIN], 1] += opening
    (tmp_path / "tracks" / "grid_s1").mkdir(parents=True)
    np.savez(
        tmp_path / "tracks" / "grid_s1" / "bbaf2n.npz",
        mesh=meshes, neutral=neutral, audio=np.zeros(50 * 640, np.int16), speaker="grid_s1",
    )  # fmt: skip
    shutil.copy(syncformer_path(), tmp_path / "net.safetensors")
    return tmp_path


def test_writes_a_jaw_that_falls_as_far(folders, capsys):
    arguments = ["--speech", "speech", "--tracks", "tracks", "--checkpoint", "net.safetensors"]
    arguments = [str(folders / part) if not part.startswith("--") else part for part in arguments]
    for _ in range(2):  # a second time changes nothing: what was there is not added to
        run_step("jaw", arguments)
        jaw = StyleSyncFormer.load(folders / "net.safetensors").jaw.numpy().reshape(-1, 3)
        assert jaw[CHIN, 1] > 0.5
        assert jaw[13, 1] > 0.1
    assert "fitted to 1 clips" in capsys.readouterr().out


def test_says_what_is_missing(folders, capsys):
    arguments = ["--speech", str(folders / "speech"), "--tracks", str(folders / "empty")]
    assert main(["train", "jaw", *arguments]) == 2
    assert "expected tracked clips of grid_s1, av_words_brang" in capsys.readouterr().err
