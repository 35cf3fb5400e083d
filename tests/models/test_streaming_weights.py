"""The shipped network: small, on time, and closed without speech."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import models
from models import half_linear
from models.half_linear import use_half_weights
from models.mesh import aperture, topology
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer

WEIGHTS = Path(models.__file__).parent / "weights" / "syncformer.safetensors"
SECONDS = 6
CLOSED = 0.03  # inter-ocular distances


@pytest.fixture(scope="module")
def network() -> StyleSyncFormer:
    return StyleSyncFormer.load(WEIGHTS)


def closed_share(network: StyleSyncFormer, pcm: torch.Tensor) -> float:
    """Share of frames whose lips stay within `CLOSED` of the reference's closed mouth."""
    with torch.inference_mode():
        displacement = network.displacement(network(pcm, network.null_style))[0].numpy()
    neutral = topology().reference
    opening = aperture(neutral + displacement) - aperture(neutral)
    return float((opening < CLOSED).mean())


def test_file_is_small() -> None:
    assert WEIGHTS.stat().st_size < 12e6


def test_latency_is_two_frames(network: StyleSyncFormer) -> None:
    assert network.latency_samples == 2 * CHUNK_SAMPLES == 1280


@pytest.mark.parametrize("level_db", [None, -80, -60, -45])
def test_mouth_rests_in_silence_and_noise(network: StyleSyncFormer, level_db: int | None) -> None:
    pcm = torch.randn(1, SECONDS * 25 * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(3))
    pcm = pcm * (0.0 if level_db is None else 10 ** (level_db / 20))
    assert closed_share(network, pcm) >= 0.95


@torch.inference_mode()
def test_live_steps_equal_the_whole_clip(network: StyleSyncFormer) -> None:
    frames = 3 * network.config.context
    pcm = 0.05 * torch.randn(1, frames * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(4))
    state = network.init_state(1, 1)
    live = torch.cat([network.step(chunk, network.null_style, state) for chunk in pcm.split(CHUNK_SAMPLES, 1)], 1)
    whole = network(pcm, network.null_style)
    assert (live - whole).norm() <= 1e-4 * whole.norm().clamp(min=1.0)


@torch.inference_mode()
def test_half_weights_change_nothing(network: StyleSyncFormer) -> None:
    """A checkpoint holds half precision: keeping it saves time and rounds nothing."""
    if not half_linear.is_available():
        pytest.skip("no FBGEMM on this machine")
    live = StyleSyncFormer.load(WEIGHTS)
    use_half_weights(live)
    pcm = 0.05 * torch.randn(1, 100 * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(5))
    whole = network(pcm, network.null_style)
    state = live.init_state(1, 1)
    stepped = torch.cat([live.step(chunk, live.null_style, state) for chunk in pcm.split(CHUNK_SAMPLES, 1)], 1)
    assert (stepped - whole).norm() <= 1e-4 * whole.norm()
