"""The folded generator is the modulated one; its output stays inside its bounds."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from models.crop import Window, crop_mask
from models.generator import Generator, LiveInputs, composite
from models.generator_layers import GeneratorConfig
from models.modulated import ModulatedConv2d
from models.winograd import is_available

TINY = GeneratorConfig(channels=(8, 12, 16, 16), style_dim=16, mapping_layers=2)


def random_generator(seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(TINY).eval()
    for module in generator.modules():
        if isinstance(module, ModulatedConv2d):  # as trained: styles matter, and the last layer's output is not zero
            torch.nn.init.normal_(module.affine.weight, std=0.3)
            torch.nn.init.normal_(module.weight, std=0.1)
    return generator


def random_inputs(batch: int = 2, seed: int = 1) -> tuple[torch.Tensor, LiveInputs, torch.Tensor]:
    torch.manual_seed(seed)
    masked, reference = torch.rand(batch, 3, 256, 256), torch.rand(batch, 3, 256, 256)
    planes = [torch.rand(batch, 1, 256, 256) for _ in range(3)]
    return masked, LiveInputs(torch.rand(batch, 3, 256, 256), *planes), reference


def masked_inputs() -> tuple[torch.Tensor, LiveInputs, torch.Tensor]:
    """Inputs as live ones are: nothing outside the mask."""
    masked, live, reference = random_inputs()
    inside = torch.from_numpy(crop_mask() > 0)
    return masked, LiveInputs(*((getattr(live, field.name) * inside) for field in fields(live))), reference


# Winograd rounds differently: a hundredth of a grey value is 4e-5.
WAYS = [pytest.param(False, 1e-5, id="direct"), pytest.param(True, 4e-5, id="winograd")]


@pytest.mark.parametrize(("winograd", "tolerance"), WAYS)
@torch.inference_mode()
def test_folded_equals_modulated(winograd, tolerance):
    if winograd and not is_available():
        pytest.skip("no NNPACK on this machine")
    generator = random_generator()
    masked, live, reference = masked_inputs()
    style = generator.style_code(reference)
    whole = generator(masked, live, style)
    inside = crop_mask() > 0
    for row in range(len(whole)):
        folded = generator.fold(style[row], winograd=winograd)
        part = folded(folded.encode_target(masked[row : row + 1]), live.stacked()[row : row + 1])
        assert part.shape == whole[row : row + 1].shape
        torch.testing.assert_close(part[0][:, inside], whole[row][:, inside], rtol=1e-4, atol=tolerance)


def test_window_holds_the_mask_with_its_margin():
    window = Window.around_mask(margin=8, unit=8)
    numbers = torch.arange(256 * 256.0).view(1, 1, 256, 256)
    rows, columns = np.nonzero(crop_mask() > 0)
    assert window.top <= rows.min() - 8
    assert window.left <= columns.min() - 8
    assert window.bottom >= min(rows.max() + 9, 256)
    assert window.right >= columns.max() + 9
    back = window.put_back(window.cut(numbers))
    assert back.shape == numbers.shape
    kept = back != 0
    assert torch.equal(back[kept], numbers[kept])
    assert int(kept.sum()) == (window.bottom - window.top) * (window.right - window.left)
    half = window.cut(numbers[..., ::2, ::2])
    assert torch.equal(half, window.cut(numbers)[..., ::2, ::2])


@torch.inference_mode()
def test_style_changes_the_picture():
    generator = random_generator()
    masked, live, _ = random_inputs()
    people = torch.tensor([0.1, 0.9]).view(2, 1, 1, 1).expand(2, 3, 256, 256)
    style = generator.style_code(people)
    assert (generator(masked, live, style) - generator(masked, live, style.flip(0))).abs().max() > 1e-3


@torch.inference_mode()
def test_folding_leaves_the_generator_unchanged():
    generator = random_generator()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folded = generator.fold(torch.randn(TINY.style_dim))
    for parameter in folded.synthesis.parameters():
        parameter.zero_()
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


@torch.inference_mode()
def test_output_is_colour_and_mask():
    masked, live, reference = random_inputs()
    generator = random_generator()
    rendered = generator(masked, live, generator.style_code(reference))
    assert rendered.shape == (2, 4, 256, 256)
    assert rendered.min() >= 0
    assert rendered.max() <= 1


def test_composite_keeps_what_the_mask_excludes():
    target, rendered = torch.rand(1, 3, 8, 8), torch.rand(1, 4, 8, 8)
    mask = torch.zeros(8, 8)
    mask[2:4, 2:4] = 1
    blended = composite(target, rendered, mask)
    assert torch.equal(blended[..., mask == 0], target[..., mask == 0])
    assert not torch.equal(blended[..., mask == 1], target[..., mask == 1])


def test_checkpoint_round_trip(tmp_path):
    generator = random_generator()
    generator.save(tmp_path / "g.safetensors")
    loaded = Generator.load(tmp_path / "g.safetensors")
    assert loaded.config == TINY
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float())


def test_gradient_reaches_every_parameter():
    generator = random_generator().train()
    masked, live, reference = random_inputs(1)
    generator(masked, live, generator.style_code(reference)).square().mean().backward()
    learnt = [(name, p) for name, p in generator.named_parameters() if p.requires_grad]
    unreached = [name for name, p in learnt if p.grad is None or not p.grad.abs().any()]
    assert unreached == []


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_scales_weights(demodulate):
    """The layer against the definition: scale the weights, normalise them, convolve."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(3, 5, 3, 4, demodulate=demodulate)
    x, style = torch.randn(1, 3, 6, 6), torch.randn(1, 4)
    weight = layer.weight * layer.affine(style)[0][None, :, None, None]
    if demodulate:
        weight = weight / weight.square().sum((1, 2, 3), keepdim=True).add(1e-8).sqrt()
    expected = torch.nn.functional.conv2d(x, weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x, style), expected, rtol=1e-4, atol=1e-5)
