"""A captured generator shows any identity: its weights change in place, its graph stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from models.device_generator import DeviceGenerator, GeneratorSlots
from models.folded import FoldedGenerator
from models.generator import Generator
from models.generator_layers import GeneratorConfig

CPU = torch.device("cpu")
DEVICES = [
    CPU,
    pytest.param(
        torch.device("cuda"),
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
]


def random_generator(channels: tuple[int, ...] = (8, 8, 8, 8), seed: int = 0) -> Generator:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(channels=channels, style_dim=8)).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.normal_(std=0.2)
    return generator


def folded(generator: Generator, seed: int) -> FoldedGenerator:
    return generator.fold(torch.randn(8, generator=torch.Generator().manual_seed(seed)))


def shown(slot: DeviceGenerator) -> np.ndarray:
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (256, 256, 6), np.uint8)
    with torch.inference_mode():
        target = slot.encode_target(torch.full((1, 3, 256, 256), 0.5))
        return slot.render(target, planes)


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_a_slot_shows_each_identity_as_one_of_its_own_would(device: torch.device) -> None:
    generator = random_generator()
    slots = GeneratorSlots(generator, device)
    slots.prepare(1)
    pictures = []
    for seed in (1, 2, 1):
        slot = slots.take(folded(generator, seed))
        pictures.append(shown(slot))
        expected = shown(DeviceGenerator(folded(generator, seed), device))
        assert (pictures[-1] == expected).all()
        slots.give_back(slot)
    assert (pictures[0] == pictures[2]).all()
    assert (pictures[0] != pictures[1]).any()


def test_slots_are_made_ahead_and_used_again() -> None:
    generator = random_generator()
    slots = GeneratorSlots(generator, CPU)
    slots.prepare(2)
    first, second = (slots.take(folded(generator, seed)) for seed in (1, 2))
    assert first is not second
    slots.give_back(first)
    assert slots.take(folded(generator, 3)) is first
    more = slots.take(folded(generator, 4))
    assert more not in (first, second), "one more than was prepared is made at once"


def test_a_generator_of_other_sizes_has_a_slot_of_its_own() -> None:
    generator, other = random_generator(), random_generator((16, 8, 8, 8))
    slots = GeneratorSlots(generator, CPU)
    slots.prepare(1)
    personal = slots.take(folded(other, 1))
    slots.give_back(personal)
    base = slots.take(folded(generator, 1))
    assert base is not personal
    assert base.sizes != personal.sizes
    with pytest.raises(ValueError, match="captured one's sizes"):
        base.load(folded(other, 1))


@torch.no_grad()
def test_a_recorded_step_follows_the_weights() -> None:
    """What was recorded with one identity's weights, replayed for 200 frames of several, equals their own steps."""
    generator = random_generator()
    held = folded(generator, 0)
    slot = DeviceGenerator(held, CPU)
    random = torch.Generator().manual_seed(5)

    def live() -> Tensor:
        return torch.rand(1, 6, 256, 256, generator=random)

    def target() -> Tensor:
        return slot.encode_target(torch.rand(1, 3, 256, 256, generator=random))

    recorded = make_fx(lambda *inputs: held(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)(
        target(), live()
    )
    for number in range(200):
        if number % 40 == 0:
            identity = folded(generator, number)
            slot.load(identity)
        inputs = target(), live()
        assert torch.equal(recorded(*inputs), identity(*inputs))
