"""The recorded live step does what the network's own step does, for any number of streams."""

from __future__ import annotations

import pytest
import torch

from models import half_linear, traced_step
from models.half_linear import use_half_weights
from models.style import ARTICULATION
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from tests.models.test_streaming import CONFIG, CONTEXT, random_network

STEPS = 40 * CONTEXT  # many turns of the ring


@pytest.fixture(params=["float32", "half weights"])
def network(request: pytest.FixtureRequest) -> StyleSyncFormer:
    """A tiny network as engines hold it."""
    network = random_network().requires_grad_(False)
    if request.param == "half weights":
        if not half_linear.is_available():
            pytest.skip("no FBGEMM on this machine")
        use_half_weights(network)
    return network


@torch.inference_mode()
def test_it_equals_the_step_with_resets_and_other_streams_between(network: StyleSyncFormer) -> None:
    recorded = traced_step.record(network)
    generator = torch.Generator().manual_seed(3)
    streams = [(network.init_state(1), network.init_state(1)) for _ in range(2)]
    for number in range(STEPS):
        for k, (eager, traced) in enumerate(streams):
            if number == STEPS // 2 + k:
                eager.reset()
                traced.reset()
            pcm = 0.1 * torch.randn(1, CHUNK_SAMPLES, generator=generator)
            style = torch.randn(1, CONFIG.style_dim + ARTICULATION, generator=generator)
            assert torch.equal(recorded(pcm, style, traced), network.step(pcm, style, eager))
    for eager, traced in streams:
        assert all(torch.equal(a, b) for a, b in zip(eager.tensors(), traced.tensors(), strict=True))


def test_recording_leaves_no_trace_in_a_fresh_state(network: StyleSyncFormer) -> None:
    traced_step.record(network)
    assert all(not tensor.any() for tensor in network.init_state(1).tensors())


def test_a_state_can_hold_other_tensors(network: StyleSyncFormer) -> None:
    state = network.init_state(1)
    others = [torch.rand_like(tensor, dtype=torch.float32) for tensor in state.tensors()]
    held = state.holding(others)
    assert type(held) is type(state)
    assert all(a is b for a, b in zip(held.tensors(), others, strict=True))
    assert all(a is not b for a, b in zip(held.tensors(), state.tensors(), strict=True))
