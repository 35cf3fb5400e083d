"""A speaking style: zeros change nothing, a gain opens the mouth further at the same time, and streams agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import CheckpointError
from models.lip_press import TOUCHING
from models.mesh import NUM_VERTICES, topology
from models.motion_basis import mouth_rows, to_coefficients
from models.style import ARTICULATION, articulated, fit_articulation
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.weights import syncformer_path


@pytest.fixture(scope="module")
def network() -> StyleSyncFormer:
    return StyleSyncFormer.load(syncformer_path())


@pytest.fixture(scope="module")
def pcm() -> torch.Tensor:
    """Three seconds of syllables: tones that rise and fall four times a second."""
    t = torch.arange(75 * CHUNK_SAMPLES) / 16_000
    wave = sum(torch.sin(2 * torch.pi * 140 * k * t) / k for k in range(1, 9))
    return (0.1 * wave * (0.5 - 0.5 * torch.cos(2 * torch.pi * 4 * t)))[None]


def mouth(network: StyleSyncFormer, coefficients: torch.Tensor) -> np.ndarray:
    """Opening and width `[T, 2]`."""
    return coefficients[0].numpy() @ mouth_rows(network.basis.numpy()).T


def style_of(network: StyleSyncFormer, opening: float, width: float, offset: float) -> torch.Tensor:
    style = network.null_style.clone()
    style[0, -ARTICULATION:] = torch.tensor([np.log(opening), np.log(width), offset])
    return style


@torch.inference_mode()
def test_an_articulation_scales_opening_and_width_and_keeps_the_time(
    network: StyleSyncFormer, pcm: torch.Tensor
) -> None:
    plain = mouth(network, network(pcm, network.null_style))
    assert plain[:, 0].std() > 0.01, "it talks"
    styled = mouth(network, network(pcm, style_of(network, 1.5, 0.7, 0.02)))
    # Lips that are pressed touch at one opening, whatever the style.
    np.testing.assert_allclose(styled[:, 0], 1.5 * plain[:, 0], atol=0.5 * TOUCHING)
    np.testing.assert_allclose(styled[:, 1], 0.7 * plain[:, 1] + 0.02, atol=1e-4)


def test_without_articulation_nothing_changes(network: StyleSyncFormer) -> None:
    motion = torch.randn(1, 9, network.config.coefficients)
    rows = torch.from_numpy(mouth_rows(network.basis.numpy()))
    same = articulated(motion, torch.zeros(1, ARTICULATION), rows, torch.linalg.pinv(rows))
    assert torch.equal(same, motion)


@torch.inference_mode()
def test_streamed_is_whole_under_a_style(network: StyleSyncFormer, pcm: torch.Tensor) -> None:
    style = torch.cat([0.3 * torch.ones(1, network.config.style_dim), style_of(network, 1.4, 1.2, 0.03)[:, -3:]], 1)
    state = network.init_state(1)
    live = torch.cat([network.step(chunk, style, state) for chunk in pcm.split(CHUNK_SAMPLES, 1)], 1)
    torch.testing.assert_close(live, network(pcm, style), atol=2e-4, rtol=0)


def test_the_style_of_a_clip_is_found_and_scales(network: StyleSyncFormer) -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(400, network.config.coefficients)), 0)
    smooth = ((smooth - smooth.mean(0)) / smooth.std(0)).astype(np.float32)
    small, large = (
        (scale * smooth @ network.basis.numpy()).reshape(-1, NUM_VERTICES, 3) * topology().lower_face[:, None]
        for scale in (0.3, 0.9)
    )
    styles = [network.speaking_style(displacement.astype(np.float32)) for displacement in (small, large)]
    assert [style.shape for style in styles] == 2 * [(network.config.style_dim + ARTICULATION,)]
    assert styles[0][-2] < styles[1][-2]
    spread = (
        to_coefficients(large.astype(np.float32), network.basis.numpy()) @ mouth_rows(network.basis.numpy()).T
    ).std(0)
    assert float(torch.exp(styles[1][-2])) == pytest.approx(min(spread[1] / 0.040, 2.5), rel=0.02)


def test_who_opens_the_mouth_further_has_a_larger_gain() -> None:
    motion = np.abs(np.random.default_rng(0).normal(size=(200, 2))).astype(np.float32) * np.float32(0.06)
    gains = [float(torch.exp(fit_articulation(scale * motion)[0])) for scale in (0.7, 1.0, 1.4)]
    assert gains[0] / gains[1] == pytest.approx(0.7, rel=0.03)
    assert gains[2] / gains[1] == pytest.approx(1.4, rel=0.03)


def test_extreme_clips_give_bounded_styles() -> None:
    for motion in (np.zeros((50, 2), np.float32), np.full((50, 2), 9.0, np.float32)):
        articulation = fit_articulation(motion)
        assert torch.isfinite(articulation).all()
        assert articulation[:2].abs().max() <= np.log(2.5) + 1e-6
        assert abs(float(articulation[2])) <= 0.12 + 1e-6


def test_styles_of_another_size_are_refused(network: StyleSyncFormer) -> None:
    code = torch.ones(network.config.style_dim)
    assert torch.equal(network.padded_style(code)[0, -ARTICULATION:], torch.zeros(ARTICULATION))
    with pytest.raises(CheckpointError, match="got 7"):
        network.padded_style(torch.ones(7))
