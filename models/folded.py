"""The generator folded for one identity: plain convolutions, and what never changes computed outside."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.crop import Window
from models.generator_layers import PATCH, Encoder, GeneratorConfig, Synthesis
from models.modulated import ModulatedConv2d
from models.winograd import use_winograd


def rendered_window() -> Window:
    """What is rendered of the crop: the mask, and one patch around it for each of the two last convolutions."""
    return Window.around_mask(margin=2 * PATCH, unit=2 * PATCH)


class FoldedGenerator(nn.Module):
    """A generator folded for one identity: no style, no modulation, target features from outside."""

    window: Window
    """See `rendered_window`."""
    painted_interior: bool
    """See `GeneratorConfig`."""

    def __init__(
        self,
        config: GeneratorConfig,
        encoder: Encoder,
        synthesis: Synthesis,
        style: Tensor,
        *,
        winograd: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder)  # the generator itself stays unchanged, on its device
        self.synthesis = Synthesis(config)
        convs = [conv.fold(style) for conv in _modulated(synthesis.convs)]
        self.synthesis.convs = nn.ModuleList(convs)
        self.synthesis.out = next(iter(_modulated([synthesis.out]))).fold(style)
        self.synthesis.interior_residual.data.copy_(synthesis.interior_residual)
        self.eval().requires_grad_(False)
        self.painted_interior = config.painted_interior
        self.window = rendered_window()
        if winograd:
            use_winograd(self)
        else:  # channels-last is what direct convolutions run fastest on, on CPU and GPU
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def interior_residual(self) -> float:
        """See `Synthesis`."""
        return float(self.synthesis.interior_residual)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features of a template frame, to be computed once; see `Encoder.encode_target`."""
        return self.encoder.encode_target(masked_target)

    def forward(self, target: Tensor, live: Tensor) -> Tensor:
        """Colour and blend mask `[B, 4, 256, 256]`, as of the generator inside the crop's mask and nowhere else.

        Args:
            target: `encode_target`'s features `[B, C, 64, 64]`.
            live: Stacked live inputs `[B, 6, 256, 256]`.
        """
        rendered: Tensor = self.synthesis(self.encoder(target, live), live, window=self.window)
        return self.window.put_back(rendered)

    def patches(self, target: Tensor, live: Tensor) -> Tensor:
        """What `forward` is made of: raw outputs of each patch of the window `[B, 64, h / 4, w / 4]`.

        Args as of `forward`, of the network's type.
        """
        return self.synthesis.patches(self.encoder(target, live), window=self.window)


def _modulated(layers: Any) -> list[ModulatedConv2d]:
    return [layer for layer in layers if isinstance(layer, ModulatedConv2d)]
