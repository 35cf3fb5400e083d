"""Winograd convolutions against direct ones, alone and from several threads at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from models.errors import ConvolutionError
from models.winograd import WinogradConv2d, is_available, use_winograd

pytestmark = pytest.mark.skipif(not is_available(), reason="no NNPACK on this machine")
TOLERANCE = 1e-4  # of values around 1


def conv(channels: int, out: int, **options: int) -> nn.Conv2d:
    torch.manual_seed(channels)
    return nn.Conv2d(channels, out, 3, **{"padding": 1, **options}).requires_grad_(False)


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (52, 60), (33, 17)])
@pytest.mark.parametrize("channels", [3, 48])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_the_direct_convolution(batch, channels, size):
    plain, x = conv(channels, 40), torch.randn(batch, channels, *size)
    torch.testing.assert_close(WinogradConv2d(plain)(x), plain(x), rtol=0, atol=TOLERANCE)


def test_takes_what_is_not_contiguous():
    plain, x = conv(16, 8), torch.randn(1, 16, 40, 40)
    wanted = plain(x[..., 3:30, 5:])
    got = WinogradConv2d(plain)(x.contiguous(memory_format=torch.channels_last)[..., 3:30, 5:])
    torch.testing.assert_close(got, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": 0}, {"groups": 2}])
def test_refuses_other_convolutions(options):
    with pytest.raises(ValueError, match="expected a 3x3 convolution of stride 1"):
        WinogradConv2d(conv(4, 4, **options))


def test_refuses_a_machine_without_nnpack(monkeypatch):
    monkeypatch.setattr("models.winograd.is_available", lambda: False)
    with pytest.raises(ConvolutionError, match="NNPACK"):
        WinogradConv2d(conv(4, 4))


def test_replaces_what_it_can_and_no_more():
    network = nn.Sequential(conv(3, 8), nn.ModuleList([conv(8, 8), conv(8, 8, stride=2)]), nn.Conv2d(8, 8, 1))
    use_winograd(network)
    kinds = [type(module) for module in network.modules() if not list(module.children())]
    assert kinds == [WinogradConv2d, WinogradConv2d, nn.Conv2d, nn.Conv2d]


def test_streams_do_not_disturb_each_other():
    cases = [(conv(channels, 32), torch.randn(1, channels, side, side)) for channels, side in ((16, 64), (96, 32))] * 4

    def error(case: tuple[nn.Conv2d, torch.Tensor]) -> float:
        plain, x = case
        fast = WinogradConv2d(plain)
        return max(float((fast(x) - plain(x)).abs().max()) for _ in range(10))

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(error, cases)) < TOLERANCE
