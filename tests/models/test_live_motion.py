"""The step of live streams, recorded: it does what the network's own does, for any number of streams."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from models import half_linear
from models.generator import Generator
from models.half_linear import use_half_weights
from models.live_motion import MotionStreams, flat_step
from models.style import ARTICULATION
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.weights import generator_path
from tests.models.test_streaming import CONFIG, CONTEXT, random_network

CPU = torch.device("cpu")
STEPS = 20 * CONTEXT  # many turns of the ring


@pytest.fixture(params=["float32", "half weights"])
def network(request: pytest.FixtureRequest) -> StyleSyncFormer:
    """A tiny network as engines hold it."""
    network = random_network().requires_grad_(False)
    if request.param == "half weights":
        if not half_linear.is_available():
            pytest.skip("no FBGEMM on this machine")
        use_half_weights(network)
    return network


def inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A chunk and a style."""
    pcm = 0.1 * torch.randn(1, CHUNK_SAMPLES, generator=generator)
    return pcm, torch.randn(1, CONFIG.style_dim + ARTICULATION, generator=generator)


@torch.inference_mode()
def test_streams_equal_the_networks_own_steps(network: StyleSyncFormer) -> None:
    streams = MotionStreams(network, CPU)
    generator = torch.Generator().manual_seed(3)
    pairs = [(network.init_state(1), streams.take()) for _ in range(2)]
    for number in range(STEPS):
        for k, (state, stream) in enumerate(pairs):
            if number == STEPS // 2 + k:
                state.reset()
                stream.reset()
            pcm, style = inputs(generator)
            wanted = network.displacement(network.step(pcm, style, state))[0, -1]
            assert torch.equal(torch.from_numpy(stream.step(pcm[0].numpy(), style)), wanted)


@torch.inference_mode()
def test_a_stream_that_was_given_back_leaves_nothing_to_the_next(network: StyleSyncFormer) -> None:
    streams = MotionStreams(network, CPU)
    pcm, style = inputs(torch.Generator().manual_seed(5))
    first = streams.take()
    fresh = first.step(pcm[0].numpy(), style)
    first.step(pcm[0].numpy(), style)
    streams.give_back(first)
    assert (streams.take().step(pcm[0].numpy(), style) == fresh).all()


@torch.no_grad()
def test_a_step_can_be_captured() -> None:
    """Traced with tensors that have no values, so that nothing is read back, counted in Python or shaped by data."""
    network = random_network().requires_grad_(False)
    traced_state, state = network.init_state(1), network.init_state(1)
    generator = torch.Generator().manual_seed(4)

    def step(pcm: Tensor, style: Tensor, *tensors: Tensor) -> Tensor:
        return flat_step(network, traced_state.holding(tensors))(pcm, style)

    example = *inputs(generator), *traced_state.tensors()
    graph = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)(*example)
    for number in range(200):
        if number in (70, 71, 150):
            traced_state.reset()
            state.reset()
        pcm, style = inputs(generator)
        replayed = graph(pcm, style, *traced_state.tensors())
        assert torch.equal(replayed, network.displacement(network.step(pcm, style, state))[0, -1])
    assert all(torch.equal(a, b) for a, b in zip(traced_state.tensors(), state.tensors(), strict=True))


@torch.no_grad()
def test_the_generators_step_can_be_captured() -> None:
    generator = Generator.load(generator_path())
    folded = generator.fold(torch.randn(generator.config.style_dim, generator=torch.Generator().manual_seed(0)))
    random = torch.Generator().manual_seed(1)
    target = folded.encode_target(torch.rand(1, 3, 256, 256, generator=random))
    graph = make_fx(lambda target, live: folded(target, live), tracing_mode="fake", _allow_non_fake_inputs=True)(
        target, torch.rand(1, 6, 256, 256, generator=random)
    )
    for _ in range(2):
        live = torch.rand(1, 6, 256, 256, generator=random)
        assert torch.equal(graph(target, live), folded(target, live))


def test_a_state_can_hold_other_tensors(network: StyleSyncFormer) -> None:
    state = network.init_state(1)
    others = [torch.rand_like(tensor, dtype=torch.float32) for tensor in state.tensors()]
    held = state.holding(others)
    assert type(held) is type(state)
    assert all(a is b for a, b in zip(held.tensors(), others, strict=True))
    assert all(a is not b for a, b in zip(held.tensors(), state.tensors(), strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.inference_mode()
def test_captured_streams_equal_eager_ones() -> None:
    device = torch.device("cuda")
    network = random_network().requires_grad_(False).to(device)
    streams = MotionStreams(network, device)
    streams.prepare(2)
    generator = torch.Generator().manual_seed(3)
    pairs = [(network.init_state(1), streams.take()) for _ in range(2)]
    for number in range(200):
        for state, stream in pairs:
            if number == 100:
                state.reset()
                stream.reset()
            pcm, style = inputs(generator)
            wanted = network.displacement(network.step(pcm.to(device), style.to(device), state))[0, -1]
            got = torch.from_numpy(stream.step(pcm[0].numpy(), style.to(device)))
            torch.testing.assert_close(got, wanted.cpu())
