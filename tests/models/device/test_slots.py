"""The step can be captured, batches equal single frames, and slots are used again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from models.crop import crop_points
from models.device.frame_step import LIVE_NUMBERS, FrameStep, Shown, live_numbers
from models.device.mouth import mouth_look
from models.device.slots import Batch, DeviceFrames, DeviceSlot, DeviceSlots, Rendered, Request
from models.generator import Generator
from models.generator_layers import GeneratorConfig
from models.mouth_interior import interior_look
from models.references import Mixer, References
from presenter.runtime.identities import load_identity, shipped_dir
from tests.models.speech import spoken

CPU = torch.device("cpu")
GPU = pytest.param(
    torch.device("cuda"),
    marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
)
IDENTITY = load_identity(shipped_dir() / "default").identity.shrunk(512)
SIZE = (64, 64)
POINTS = crop_points(IDENTITY.mesh, IDENTITY.neutral, IDENTITY.pose, IDENTITY.transform)
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 256, 256, 3)).astype(np.uint8)


@pytest.fixture
def generator() -> Generator:
    """A tiny one with random weights everywhere, also where training starts from zero."""
    return random_generator()


def random_generator(channels: tuple[int, ...] = (8, 8, 8, 8), name: str = "base") -> Generator:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(channels=channels, style_dim=8)).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter.normal_(std=0.2)
    generator.fingerprint = name
    return generator


def some_identity(step: FrameStep, seed: int) -> tuple[Shown, np.ndarray]:
    """An identity with the shipped mesh and otherwise random, and its picture."""
    random = np.random.default_rng(seed)
    like = step.shown
    reference = random.integers(0, 256, (256, 256, 3)).astype(np.uint8)

    def noise(tensor: Tensor) -> Tensor:
        return torch.from_numpy(random.normal(size=tensor.shape[1:]).astype(np.float32))

    shown = Shown(
        noise(like.style),
        noise(like.target),
        torch.from_numpy(reference.transpose(2, 0, 1)),
        noise(like.base),
        torch.from_numpy(POINTS[:, :2]),
        noise(like.field),
        torch.tensor([[1.0, 0.0, 30.0 * random.random()], [0.0, 1.0, 20.0]]),
        mouth_look(interior_look(reference, POINTS), POINTS),
    )
    return shown, random.integers(0, 256, (2 * SIZE[0], 2 * SIZE[1], 3)).astype(np.uint8)


def live(seed: int) -> np.ndarray:
    """A mouth of speech and some pose of the head."""
    points = POINTS.copy()
    points[:478] += 60 * spoken()[seed % len(spoken())]
    change = 0.1 * np.random.default_rng(seed).normal(size=(2, 4)).astype(np.float32)
    return live_numbers(points, change, Mixer(PICTURES[0], POINTS, some_references(0)))


def some_references(seed: int) -> References:
    """Of mouths of speech, random pictures."""
    points = np.stack([POINTS] * 6)
    points[:, :478] += 60 * np.stack(spoken()[:6])
    return References(np.roll(PICTURES, seed, 0), points)


def shown_in(slot: DeviceSlot, seed: int) -> None:
    shown, picture = some_identity(slot.frames.step, seed)
    slot.show(shown)
    slot.show_references(some_references(seed))
    slot.show_picture(picture)


@torch.no_grad()
def test_a_step_can_be_captured(generator: Generator) -> None:
    """Traced with tensors that have no values; replayed for 200 frames of rows that show other and other identities."""
    step = FrameStep(generator, SIZE, 3, CPU, torch.float32)
    rows, numbers = torch.zeros(1, dtype=torch.int64), torch.zeros(1, LIVE_NUMBERS)
    graph = make_fx(lambda *inputs: step(*inputs), tracing_mode="fake", _allow_non_fake_inputs=True)(rows, numbers)
    made_of_numbers = ("lift_fresh", "scalar_tensor")  # which a GPU has to be sent
    assert not [node for node in graph.graph.nodes if any(name in str(node.target) for name in made_of_numbers)]
    pictures = set()
    for number in range(200):
        if number % 25 < 3:  # another identity in one of the rows
            shown, picture = some_identity(step, number)
            for mine, given in zip(step.shown.tensors(), shown.tensors(), strict=True):
                mine[number % 3] = given
            there = torch.from_numpy(some_references(number).pictures.transpose(0, 3, 1, 2).copy())
            step.references[number % 3, :6] = there
            step.pictures[number % 3] = torch.from_numpy(picture).permute(2, 0, 1)
        rows.fill_(number * 7 % 3)
        numbers[0] = torch.from_numpy(live(number))
        planes, layer = graph(rows, numbers)
        pictures.add(planes.numpy().tobytes())
        if number % 25 < 4:
            wanted = step(rows, numbers)
            assert torch.equal(planes, wanted[0])
            assert torch.equal(layer, wanted[1])
    assert len(pictures) > 100


def test_nothing_of_a_step_lies_on_the_host(generator: Generator) -> None:
    """On a device that only has shapes: a tensor of the host's, or a value that is read back, is an error there."""
    device = torch.device("meta")
    step = FrameStep(generator, SIZE, 4, device, torch.bfloat16)
    rows = torch.zeros(4, dtype=torch.int64, device=device)
    numbers = torch.zeros(4, LIVE_NUMBERS, device=device)
    planes, layer = step(rows, numbers)
    assert (planes.device, layer.device) == (device, device)
    assert tuple(planes.shape) == (4, 96, 64)
    assert {tensor.device for tensor in step.state_dict(keep_vars=True).values()} == {device}
    assert {tensor.device for tensor in step.buffers()} == {device}
    step._raster.light = torch.zeros(3)
    with pytest.raises(RuntimeError, match="meta"):
        step(rows, numbers)


@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
def test_a_batch_is_what_single_frames_are(generator: Generator, device: torch.device) -> None:
    frames = DeviceFrames(generator, SIZE, 5, device)
    for seed, slot in enumerate(frames.free):
        shown_in(slot, seed)
    singles = [frames.render(row, live(10 + row)) for row in range(5)]
    for count in (1, 2, 3, 4, 5):
        requests = [Request(row, live(10 + row)) for row in reversed(range(count))]
        frames._waiting.extend(requests)
        with torch.inference_mode():
            frames._run_batch()
        for request in requests:
            made, wanted = request.done.result(), singles[request.row]
            apart = [np.abs(a.astype(int) - b) for a, b in zip(made, wanted, strict=True)]
            if device.type == "cpu":
                assert max(each.max() for each in apart) <= 1
            assert max(each.mean() for each in apart) < 0.5, "bfloat16 is summed in another order"
    assert not np.array_equal(singles[0].planes, singles[1].planes)


def test_what_is_ready_at_the_same_time_is_one_batch(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = DeviceFrames(generator, SIZE, 5, CPU)
    for seed, slot in enumerate(frames.free):
        shown_in(slot, seed)
    singles = [frames.render(row, live(row)) for row in range(5)]
    sizes, all_wait, run = [], threading.Event(), Batch.run

    def slow(batch: Batch, requests: list[Request]) -> list[Rendered]:
        sizes.append(len(requests))
        assert all_wait.wait(10)
        return run(batch, requests)

    monkeypatch.setattr(Batch, "run", slow)
    with ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(frames.render, row, live(row)) for row in range(5)]
        while sum(sizes) + len(frames._waiting) < 5:
            pass
        all_wait.set()
        made = [each.result() for each in waiting]
    assert sum(sizes) == 5
    assert len(sizes) <= 3, "those who waited while the first was rendered went together"
    for one, wanted in zip(made, singles, strict=True):
        assert np.abs(one.planes.astype(int) - wanted.planes).max() <= 1


def test_a_fault_reaches_all_whom_it_concerns_and_nobody_else(generator: Generator) -> None:
    frames = DeviceFrames(generator, SIZE, 2, CPU)
    with pytest.raises(IndexError):
        frames.render(7, live(0))
    shown_in(frames.free[0], 1)
    assert frames.render(0, live(0)).planes.shape == (96, 64)


def test_slots_are_made_ahead_and_used_again(generator: Generator) -> None:
    slots = DeviceSlots(generator, CPU)
    slots.prepare(2, SIZE)
    slots.prepare(2, SIZE)
    first, second = slots.take(generator, SIZE), slots.take(generator, SIZE)
    assert first.frames is second.frames
    shown_in(first, 1)
    shown_in(second, 2)
    before = first.render(live(4))
    slots.give_back(second)
    third = slots.take(generator, SIZE)
    assert third is second
    shown_in(third, 1)
    assert np.array_equal(third.render(live(4)).planes, before.planes)
    more = slots.take(generator, SIZE)
    assert more.frames is not first.frames, "one more than was prepared is made at once"


def test_another_generator_or_size_has_a_slot_of_its_own(generator: Generator) -> None:
    slots = DeviceSlots(generator, CPU)
    slots.prepare(1, SIZE)
    personal = slots.take(random_generator((16, 8, 8, 8), "personal"), SIZE)
    larger = slots.take(generator, (128, 64))
    assert slots.take(generator, SIZE).frames not in (personal.frames, larger.frames)
    slots.give_back(personal)
    assert personal.frames not in slots._made


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captured_frames_equal_eager_ones_without_synchronising(generator: Generator) -> None:
    device = torch.device("cuda")
    frames = DeviceFrames(generator, SIZE, 2, device)
    for number in range(200):
        row = number % 2
        if number % 50 < 2:
            shown_in(next(slot for slot in frames.free if slot._row == row), number)
        made = frames.render(row, live(number))
        rows, numbers = torch.tensor([row], device=device), torch.from_numpy(live(number))[None].to(device)
        with torch.inference_mode():
            torch.cuda.set_sync_debug_mode("error")
            try:
                planes, _ = frames.step(rows, numbers)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert np.abs(planes[0].cpu().numpy().astype(int) - made.planes).mean() < 0.5
