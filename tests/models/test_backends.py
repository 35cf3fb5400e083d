"""Every backend of the folded generator renders what float32 renders, on the shipped presenter while it speaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import int8, layer
from models.backends import BACKENDS, available, backend, cost
from models.compositor import FrameCompositor
from models.crop import Window, crop_mask
from models.generator import Generator
from models.generator_layers import deep_inside
from models.head_motion import HeadPose, sway
from models.identity import picture_tensor
from models.layer import layer_of_patches, layer_of_picture
from models.mesh import aperture
from models.metrics import psnr
from models.weights import generator_path
from presenter.runtime.identities import load_identity, shipped_dir
from tests.models.reference_path import frame_by_two_interpolations
from tests.models.speech import spoken

CPU = torch.device("cpu")
STORED = load_identity(shipped_dir() / "default").shrunk(512)
TOLERANCE_DB = {"winograd": 60.0, "bfloat16": 50.0, "int8": 45.0}


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load(STORED.generator or generator_path())


@pytest.fixture(scope="module")
def displacements() -> list[np.ndarray]:
    """Of a mouth that opens and closes."""
    moved = spoken()
    opening = aperture(STORED.identity.neutral + np.stack(moved)) - aperture(STORED.identity.neutral)
    assert opening.max() > 0.05
    return moved


def compositor(generator: Generator, kind: str) -> FrameCompositor:
    return FrameCompositor(STORED.identity, backend(generator, STORED.identity.style_code, kind, CPU))


@pytest.mark.parametrize("kind", BACKENDS[1:])
def test_paints_what_float32_paints(kind, generator, displacements):
    if kind not in available():
        pytest.skip(f"no {kind} on this machine")
    exact, other = compositor(generator, "float32"), compositor(generator, kind)
    pairs = [(other.layer(displacement), exact.layer(displacement)) for displacement in displacements]
    shown = [(got[wanted[..., 3] > 0], wanted[wanted[..., 3] > 0]) for got, wanted in pairs]
    assert psnr(*map(np.concatenate, zip(*shown, strict=True))) >= TOLERANCE_DB[kind]
    assert min(psnr(*frame) for frame in shown) >= TOLERANCE_DB[kind] - 1


@pytest.mark.parametrize("interior_residual", [1.0, 0.25])
def test_a_layer_is_what_the_generator_gives(generator, displacements, interior_residual):
    """The quick composition against the tensor operations it stands for: one grey value of difference at the most."""
    subject = compositor(generator, "float32")
    folded = generator.fold(STORED.identity.style_code)
    folded.synthesis.interior_residual.data.fill_(interior_residual)
    planes = subject.planes(displacements[3])
    live = picture_tensor(planes)
    with torch.inference_mode():
        wanted = layer_of_picture(folded(subject._at(0).target, live), folded.window)
        patches = folded.patches(subject._at(0).target, live)
        got = layer_of_patches(patches, planes, folded.window, folded.interior_residual)
    assert np.abs(got.astype(int) - wanted).max() <= 1
    window = Window.around_mask(8, 8)
    assert not got[..., 3][crop_mask()[window.top : window.bottom, window.left : window.right] == 0].any()


def test_the_painted_inside_keeps_its_colours():
    """Of the base generator, which would lighten it; lips and skin are not concerned."""
    base = Generator.load(generator_path())
    assert 0 < base.fold(STORED.identity.style_code).interior_residual < 0.5
    inside = np.zeros((64, 64), np.uint8)
    inside[20:40, 16:48] = 255
    deep = layer._deep_inside(inside)
    np.testing.assert_allclose(deep[25:35, 21:43], 1, atol=1e-6)
    assert not deep[:19].any()
    live = torch.zeros(1, 6, 64, 64)
    live[0, 4] = torch.from_numpy(inside) / 255
    np.testing.assert_allclose(deep, deep_inside(live)[0, 0].numpy(), atol=1e-5)


def test_int8_keeps_values_that_no_other_frame_had(generator):
    """Scales follow the frame: a hundred times as large inputs are as well represented."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(48, 48, 3, padding=1).requires_grad_(False)
    x = torch.nn.functional.leaky_relu(torch.randn(1, 48, 16, 16), 0.2).contiguous(memory_format=torch.channels_last)
    if not int8.is_available():
        pytest.skip("no 8-bit convolutions on this machine")
    for factor in (0.01, 1.0, 100.0):
        conv.bias.fill_(factor)
        wanted = conv(factor * x)
        got = int8.Int8Conv2d.of(conv)(*int8._quantise(factor * x, int8._scale(factor * x)))
        assert (got - wanted).norm() < 0.03 * wanted.norm()


def test_one_interpolation_looks_like_two(generator, displacements):
    """Compositing the rendered face over the moved still equals pasting it first and moving both, at twice the cost."""
    subject = compositor(generator, "float32")
    poses = [sway(31 * k) for k in range(len(displacements))]
    poses[1:3] = [HeadPose(0.1, -0.05, 0.1, 0.2, -0.1), HeadPose(-0.1, 0.05, -0.1, -0.2, 0.1)]
    for k, (displacement, pose) in enumerate(zip(displacements, poses, strict=True)):
        got = subject.frame(displacement, pose, k % 5)
        wanted = frame_by_two_interpolations(subject, displacement, pose, k % 5)
        face = np.s_[270:460, 140:370]
        assert psnr(got, wanted) >= 60
        assert psnr(got[face], wanted[face]) >= 50


def test_cost_is_told_of_each(generator):
    kinds = available()
    style = STORED.identity.style_code
    costs = cost([backend(generator, style, kind, CPU) for kind in kinds], rounds=1)
    assert len(costs) == len(kinds)
    assert min(costs) > 0


def test_an_unknown_backend_is_refused(generator):
    with pytest.raises(ValueError, match="expected one of float32"):
        backend(generator, STORED.identity.style_code, "fft", CPU)
