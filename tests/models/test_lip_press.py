"""Lips that press on b, m and p: the motion they change, and what they hear."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.lip_press import PRESS_FRAMES, TOUCHING, pressed
from models.style import ARTICULATION
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.weights import syncformer_path
from tests.models.test_streaming import CONFIG, random_network


@pytest.fixture(scope="module")
def shipped() -> StyleSyncFormer:
    """The network that ships."""
    return StyleSyncFormer.load(syncformer_path())


@torch.inference_mode()
def test_shut_lips_are_shut_and_keep_their_width(shipped: StyleSyncFormer) -> None:
    coefficients = torch.randn(1, 50, shipped.config.coefficients, generator=torch.Generator().manual_seed(0))
    before = coefficients @ shipped._rows.T
    for share in (0.0, 0.5, 1.0):
        after = shipped.pressed(coefficients, torch.full((1, 50), share)) @ shipped._rows.T
        opening = before[..., 0] - share * torch.relu(before[..., 0] - TOUCHING)
        torch.testing.assert_close(after[..., 0], opening, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(after[..., 1], before[..., 1], atol=1e-5, rtol=1e-4)


def test_an_untrained_press_leaves_the_motion_as_it_is() -> None:
    network = StyleSyncFormer(CONFIG).eval()
    pcm = 0.1 * torch.randn(1, 8 * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(1))
    state = network.init_state(1, 8)
    mel = network.mel.step(pcm, state.mel)
    assert network.shut(mel, network.process_audio(mel, state), state).max() < 1e-6


@torch.inference_mode()
def test_a_stream_is_pressed_by_what_it_hears() -> None:
    """The random network's lips depend on the press: the streaming tests of it cover the press too."""
    network = random_network()
    pcm = 0.1 * torch.randn(1, 12 * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(2))
    style = torch.zeros(1, CONFIG.style_dim + ARTICULATION)
    moved = network(pcm, style)
    network.press.out.weight.zero_()
    network.press.out.bias.fill_(-20.0)
    assert not torch.allclose(moved, network(pcm, style), atol=1e-3)


@torch.inference_mode()
def test_it_hears_six_frames(shipped: StyleSyncFormer) -> None:
    """Sound before its window changes how shut lips are only through the audio features."""
    press = shipped.press
    mel = torch.randn(1, 40, shipped.config.mel_bands, generator=torch.Generator().manual_seed(3))
    audio = torch.zeros(1, 10, shipped.config.dim)
    other = mel.clone()
    other[:, : 4 * (10 - PRESS_FRAMES)] += 1.0
    fresh = torch.zeros(1, PRESS_FRAMES - 1, press.heard(mel, 10).shape[-1])
    a, b = (press.step(heard, audio, fresh.clone()) for heard in (mel, other))
    assert torch.equal(a[:, -1], b[:, -1])
    assert not torch.equal(a[:, -2], b[:, -2])


@torch.inference_mode()
def test_silence_and_a_held_vowel_are_not_pressed(shipped: StyleSyncFormer) -> None:
    t = np.arange(75 * CHUNK_SAMPLES) / 16000
    partials = sum(np.sin(2 * np.pi * 120 * k * t) / (1 + ((120 * k - 700) / 250) ** 2) for k in range(1, 30))
    pcm = torch.from_numpy(0.05 * partials).float()[None]
    state = shipped.init_state(1, 75)
    mel = shipped.mel.step(pcm, state.mel)
    shut = shipped.shut(mel, shipped.process_audio(mel, state), state)[0]
    assert shut[25:].max() < 0.5


def test_pressed_follows_gradients() -> None:
    coefficients = torch.ones(1, 3, 4, requires_grad=True)
    shut = torch.full((1, 3), 0.5, requires_grad=True)
    pressed(coefficients, shut, torch.ones(4), torch.ones(4) / 4).sum().backward()
    assert shut.grad is not None
    assert shut.grad.abs().min() > 0
