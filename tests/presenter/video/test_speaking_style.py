"""A style is taken from a video, kept under a name, and moves the mouth of anyone, live too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from models.errors import CheckpointError
from models.mesh import aperture
from models.style import ARTICULATION
from presenter import api
from presenter.cli import main
from presenter.config import load_config
from presenter.errors import EnrollError, MediaError, PresenterError, StyleDamagedError, StyleNotFoundError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.runtime.styles import StyleStore, styled
from presenter.video.speaking_style import style_of_clip
from stream.files.movie import MovieWriter
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk


def quiet(share: float, what: str) -> None:
    """Draw no bar."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny preset with presenters of its own."""
    folder = tmp_path_factory.mktemp("styles")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({"engine": {"backend": "float32"}, "presenters": str(folder / "presenters")}))
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    api.say("Papa and mama bought a big blue boat today, at last, oh my.", path, config="tiny", progress=quiet)
    return path


def openings(engine: Engine, folder: Path, style: torch.Tensor | None, strength: float = 1.0) -> np.ndarray:
    """Lip opening of the shipped presenter through three seconds of syllables."""
    stored = styled(IdentityStore(folder).load("default"), style, strength)
    renderer = engine.renderer(stored)
    t = np.arange(75 * CHUNK_SAMPLES) / 16_000
    wave = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9))
    pcm = (0.1 * wave * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * t))).astype(np.float32)
    found = []
    for k in range(75):
        chunk = AudioChunk(pcm[k * 640 : k * 640 + 640], np.zeros(PLAYOUT_SAMPLES, np.int16), k * CHUNK_SAMPLES)
        renderer.advance(chunk)
        if renderer._moved:
            found.append(aperture(stored.identity.neutral + renderer._moved[-1].displacement))
    renderer.close()
    return np.array(found)


def test_a_style_is_kept_listed_used_and_deleted(
    config: Path, talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--config", str(config)]
    assert main([*command, "style", str(talk), "--name", "Big Opening"]) == 0
    capsys.readouterr()
    assert main([*command, "styles"]) == 0
    assert capsys.readouterr().out == "Big Opening: of talk.mp4\n"
    with pytest.raises(EnrollError, match="speaking style named big opening already"):
        api.make_style(talk, "big opening", config=config, progress=quiet)
    out = tmp_path / "out.mp4"
    arguments = ["render", "--audio", str(talk), "--style", "big opening", "--style-strength", "0.5", "--out", str(out)]
    assert main([*command, *arguments]) == 0
    assert out.is_file()
    assert main([*command, "styles", "delete", "Big Opening"]) == 0
    assert main([*command, *arguments, "--overwrite"]) == 2
    assert "found no 'big opening'" in capsys.readouterr().err
    assert main([*command, "render", "--audio", str(talk), "--style-strength", "2", "--out", str(out)]) == 2


def test_the_spread_of_the_mouth_moves_to_the_owners(talk: Path, tmp_path: Path) -> None:
    engine = Engine.load(load_config("tiny"))
    style = style_of_clip(talk, engine.syncformer, quiet)
    wide, narrow = style.clone(), style.clone()
    wide[:-ARTICULATION] = narrow[:-ARTICULATION] = 0
    wide[-3:] = torch.tensor([np.log(1.6), 0, 0])
    narrow[-3:] = torch.tensor([np.log(0.6), 0, 0])
    spreads = [openings(engine, tmp_path, each).std() for each in (narrow, None, wide)]
    assert spreads[0] < 0.75 * spreads[1]
    assert spreads[2] > 1.3 * spreads[1]
    half = openings(engine, tmp_path, wide, 0.5).std()
    assert spreads[1] < half < spreads[2]
    np.testing.assert_array_equal(openings(engine, tmp_path, wide, 0.0), openings(engine, tmp_path, None))


def test_a_style_changes_live_without_a_jump(tmp_path: Path) -> None:
    engine = Engine.load(load_config("tiny"))
    renderer = engine.renderer(IdentityStore(tmp_path).load("default"))
    wide = torch.zeros(engine.syncformer.null_style.shape[1])
    wide[-1] = 0.1
    renderer.speaking_style = wide
    shares = [float(renderer._current_style()[0, -1]) / 0.1 for _ in range(12)]
    assert shares == sorted(shares)
    assert shares[0] < 0.35
    assert shares[8] > 0.9, "within a third of a second"
    with pytest.raises(CheckpointError, match="make it again"):
        renderer.speaking_style = torch.ones(5)
    renderer.close()


def test_what_is_no_style_is_refused(config: Path, talk: Path, tmp_path: Path) -> None:
    still = IdentityStore(tmp_path).load("default").identity.shrunk(512).frame
    silent = tmp_path / "still.mp4"
    with MovieWriter(silent, still.shape[:2], 25, preset="ultrafast") as writer:
        for _ in range(60):
            writer.write(still)
    with pytest.raises(MediaError, match="talks, found less"):
        api.make_style(silent, "nothing", config=config, progress=quiet)
    store = StyleStore(tmp_path)
    with pytest.raises(StyleNotFoundError, match="there are: none"):
        store.load("nobody")
    (tmp_path / ".styles").mkdir()
    (tmp_path / ".styles" / "broken.safetensors").write_bytes(b"nothing")
    assert store.names() == ["broken"]
    with pytest.raises(StyleDamagedError, match="styles delete 'broken'"):
        store.load("broken")
    with pytest.raises(PresenterError, match="expected 0 to 1.5"):
        api.render(talk, tmp_path / "x.mp4", style_strength=-1.0, config=config)
