"""The rewired style-based generator.

Motion enters through the spatial ("noise") inputs, as encoder features that are concatenated before
every modulated convolution: the white mesh render, the masked target and the reference warped through
the mesh. Identity enters through the style space alone, so for one identity the style code is
constant and `Generator.fold` turns the whole network into plain convolutions.

Source: ReSyncer (ECCV 2024), abstract and figure 2, with the noise insertion by concatenation of
StyleSync (CVPR 2023). The warped reference and the residual output are ours, see docs/adr/0004.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.checkpoint import load_checkpoint, save_checkpoint
from models.crop import Window
from models.errors import CheckpointError
from models.modulated import ModulatedConv2d
from models.winograd import use_winograd

_PATCH = 4  # pictures are handled as 4x4 patches: 256² x 3 becomes 64² x 48
LIVE_CHANNELS = 6  # warped reference (3), shade, interior, interior seen in the reference


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Widths of the generator, from the finest level (1/4 of the crop) to the coarsest (1/32)."""

    channels: tuple[int, ...] = (48, 96, 128, 160)
    style_dim: int = 128
    mapping_layers: int = 3


@dataclass(frozen=True, eq=False)
class LiveInputs:
    """What changes with every frame, each `[B, C, 256, 256]` in 0..1 and zero outside the mask.

    Attributes:
        warped: Reference warped onto the target mesh, 3 channels.
        shade: White mesh render, 1 channel.
        interior: Mouth opening, 1 channel.
        seen: Mouth opening as far as the reference shows it, 1 channel.
    """

    warped: Tensor
    shade: Tensor
    interior: Tensor
    seen: Tensor

    def stacked(self) -> Tensor:
        """All of it as one tensor `[B, 6, 256, 256]`."""
        return torch.cat([self.warped, self.shade, self.interior, self.seen], 1)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _convolve_patches(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """`layer(F.pixel_unshuffle(x, 4))` in one step, for a 1x1 convolution."""
    out_channels = layer.weight.shape[0]
    return F.conv2d(x, layer.weight.reshape(out_channels, -1, _PATCH, _PATCH), layer.bias, stride=_PATCH)


def _double(x: Tensor) -> Tensor:
    """Every value as 2x2 equal ones."""
    if x.stride(1) == 1:  # channels-last, whole or cut
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    x = torch.stack([x, x], -1).flatten(-2)  # twice as fast as going through channels-last and back
    return torch.stack([x, x], -2).flatten(-3, -2)


class Encoder(nn.Module):
    """Spatial features of the inputs at every level.

    The target's share of the first layer is separate, because a template frame never changes: it is
    computed once and added to each live frame's share.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.target_patches = nn.Conv2d(3 * _PATCH**2, channels[0], 1)
        self.live_patches = nn.Conv2d(LIVE_CHANNELS * _PATCH**2, channels[0], 1)
        self.first = _conv(channels[0], channels[0])
        pairs = list(zip(channels[:-1], channels[1:], strict=True))
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairs)
        self.same = nn.ModuleList(_conv(b, b) for _, b in pairs)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features `[B, C, 64, 64]` of the masked target `[B, 3, 256, 256]`."""
        return _convolve_patches(self.target_patches, masked_target)

    def forward(self, target: Tensor, live: Tensor) -> list[Tensor]:
        """Feature maps from fine to coarse, for encoded `target` and stacked `live` inputs."""
        x = _act(target + _convolve_patches(self.live_patches, live))
        maps = [_act(self.first(x))]
        for down, same in zip(self.down, self.same, strict=True):
            x = _act(down(maps[-1]))
            maps.append(_act(same(x)))
        return maps


class IdentityEncoder(nn.Module):
    """Appearance code of a reference crop."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        widths = (24, 48, 96, 128)
        self.patches = nn.Conv2d(3 * _PATCH**2, widths[0], 1)
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.down = nn.ModuleList(_conv(a, b, stride=2) for a, b in pairs)
        self.out = nn.Linear(widths[-1], style_dim)

    def forward(self, reference: Tensor) -> Tensor:
        """Codes `[B, style_dim]` of crops `[B, 3, 256, 256]`."""
        x = _act(_convolve_patches(self.patches, reference))
        for down in self.down:
            x = _act(down(x))
        code: Tensor = self.out(x.mean((2, 3)))
        return code


class Synthesis(nn.Module):
    """The decoder: from the coarsest features up, with spatial inputs at every level.

    `convs[i]` is either modulated, called with a style, or plain after folding.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        fine_to_coarse = config.channels
        coarse_to_fine = tuple(reversed(fine_to_coarse))
        style_dim = config.style_dim
        convs = [ModulatedConv2d(coarse_to_fine[0], coarse_to_fine[0], 3, style_dim)]
        for before, here in zip(coarse_to_fine[:-1], coarse_to_fine[1:], strict=True):
            convs.append(ModulatedConv2d(before + here, here, 3, style_dim))
        self.convs: nn.ModuleList = nn.ModuleList(convs)
        # Colour residual and blend mask of every pixel in a patch.
        out = ModulatedConv2d(fine_to_coarse[0], 4 * _PATCH**2, 3, style_dim, demodulate=False)
        nn.init.zeros_(out.weight)
        self.out: nn.Module = out

    def forward(
        self, maps: list[Tensor], live: Tensor, style: Tensor | None = None, window: Window | None = None
    ) -> Tensor:
        """Paint the crop.

        Args:
            maps: Spatial inputs, fine to coarse.
            live: Stacked live inputs `[B, 6, 256, 256]`.
            style: Style codes `[B, style_dim]`; None once folded.
            window: What to paint, a multiple of 8 pixels; None for all. Its two outermost patches are not exact.

        Returns:
            Colour (0..1) and blend mask (0..1) `[B, 4, 256, 256]`, or of the window's size.
        """
        x = _act(_apply(self.convs[0], maps[-1], style))
        for conv, spatial in zip(self.convs[1:], reversed(maps[:-1]), strict=True):
            if window and spatial is maps[0]:
                x, spatial, live = (window.cut(part) for part in (x, spatial, live))
            x = _act(_apply(conv, torch.cat([_double(x), spatial], 1), style))
        painted = F.pixel_shuffle(_apply(self.out, x, style), _PATCH).float()
        coverage = face_coverage(live)
        rgb = (live[:, :3] + soften(coverage) * painted[:, :3]).clamp(0.0, 1.0)
        # On the face the paint always covers: what lies behind shows another mouth. Around it, the network decides;
        # it starts towards covering (+3), because from the middle it once learned nothing.
        return torch.cat([rgb, torch.maximum(torch.sigmoid(painted[:, 3:] + 3.0), soften(coverage, shrink=2))], 1)


def face_coverage(live: Tensor) -> Tensor:
    """How much of each patch the rendered face fills `[B, 1, 64, 64]`, from stacked live inputs.

    The network repaints the face alone; neck, collar and background only move with the warp, so that nothing can
    flicker or leave a halo there.
    """
    inside = (live[:, 3:4] + live[:, 4:5] > 0).to(live.dtype)
    return F.avg_pool2d(inside, _PATCH)


def soften(coverage: Tensor, shrink: int = 0) -> Tensor:
    """Coverage per pixel `[B, 1, 256, 256]` with a soft border, `shrink` patches inside the face's own."""
    if shrink:
        coverage = -F.max_pool2d(-coverage, 2 * shrink + 1, stride=1, padding=shrink)
    soft = F.avg_pool2d(coverage, 3, stride=1, padding=1, count_include_pad=False)
    return F.interpolate(soft, scale_factor=float(_PATCH), mode="bilinear", align_corners=False)


def _apply(layer: nn.Module, x: Tensor, style: Tensor | None) -> Tensor:
    y: Tensor = layer(x) if style is None else layer(x, style)
    return y


class Generator(nn.Module):
    """Mapping, encoder and synthesis; see the module's text."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.fingerprint = ""  # of the checkpoint it was loaded from
        self.identity = IdentityEncoder(config.style_dim)
        layers: list[nn.Module] = []
        for _ in range(config.mapping_layers):
            layers += [nn.Linear(config.style_dim, config.style_dim), nn.LeakyReLU(0.2)]
        self.mapping = nn.Sequential(*layers)
        self.encoder = Encoder(config.channels)
        self.synthesis = Synthesis(config)

    def style_code(self, reference: Tensor) -> Tensor:
        """W of an identity `[B, style_dim]` from its reference crops `[B, 3, 256, 256]`."""
        code = self.identity(reference)
        normed = code * torch.rsqrt(code.float().square().mean(1, keepdim=True) + 1e-8).to(code)
        style: Tensor = self.mapping(normed)
        return style

    def forward(self, masked_target: Tensor, live: LiveInputs, style: Tensor) -> Tensor:
        """Colour and blend mask `[B, 4, 256, 256]`; see `Synthesis.forward`."""
        maps = self.encoder(self.encoder.encode_target(masked_target), live.stacked())
        painted: Tensor = self.synthesis(maps, live.stacked(), style)
        return painted

    def fold(self, style: Tensor, *, winograd: bool = False) -> FoldedGenerator:
        """The same network for one constant style code `[style_dim]`, with plain or Winograd convolutions."""
        return FoldedGenerator(self, style, winograd=winograd)

    def save(self, path: Path, extra: dict[str, Any] | None = None) -> None:
        """Write weights and configuration."""
        tensors = {name: value.half() for name, value in self.state_dict().items()}
        save_checkpoint(path, tensors, {"generator": asdict(self.config), **(extra or {})})

    @classmethod
    def load(cls, path: Path) -> Generator:
        """Read what `save` wrote.

        Raises:
            CheckpointError: If there is no such file, or it is no generator's checkpoint.
        """
        tensors, config = load_checkpoint(path)
        if "generator" not in config:
            raise CheckpointError(f"{path}: expected a generator's checkpoint, found one of {', '.join(config)}")
        settings = dict(config["generator"])
        settings["channels"] = tuple(settings["channels"])
        model = cls(GeneratorConfig(**settings))
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(tensors[name].numpy().tobytes())
        model.fingerprint = digest.hexdigest()[:16]
        return model.eval()


class FoldedGenerator(nn.Module):
    """A generator folded for one identity: no style, no modulation, target features from outside."""

    def __init__(self, generator: Generator, style: Tensor, *, winograd: bool = False) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(generator.encoder)  # the generator goes on being what and where it is
        self.synthesis = Synthesis(generator.config)
        convs = [conv.fold(style) for conv in _modulated(generator.synthesis.convs)]
        self.synthesis.convs = nn.ModuleList(convs)
        self.synthesis.out = next(iter(_modulated([generator.synthesis.out]))).fold(style)
        self.eval().requires_grad_(False)
        self._window = Window.around_mask(margin=2 * _PATCH, unit=2 * _PATCH)  # one patch for each of two convolutions
        if winograd:
            use_winograd(self)
        else:  # channels-last is what direct convolutions run fastest on, on CPU and GPU
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features of a template frame, to be computed once; see `Encoder.encode_target`."""
        return self.encoder.encode_target(masked_target)

    def forward(self, target: Tensor, live: Tensor) -> Tensor:
        """Colour and blend mask `[B, 4, 256, 256]`, as of the generator inside the crop's mask and nowhere else.

        Args:
            target: `encode_target`'s features `[B, C, 64, 64]`.
            live: Stacked live inputs `[B, 6, 256, 256]`.
        """
        painted: Tensor = self.synthesis(self.encoder(target, live), live, window=self._window)
        return self._window.put_back(painted)


def _modulated(layers: Any) -> list[ModulatedConv2d]:
    return [layer for layer in layers if isinstance(layer, ModulatedConv2d)]


def composite(target: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
    """Blend what was painted into the target crop.

    Args:
        target: `[B, 3, S, S]`.
        painted: Colour and blend mask `[B, 4, S, S]`.
        mask: The crop mask `[S, S]`, feathered.
    """
    alpha = painted[:, 3:] * mask
    return target + alpha * (painted[:, :3] - target)
