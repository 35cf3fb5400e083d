"""The rewired style-based generator.

Motion enters through the spatial ("noise") inputs, as encoder features that are concatenated before
every modulated convolution: the white mesh render, the masked target and the reference warped through
the mesh. Identity enters through the style space alone, so for one identity the style code is
constant and `Generator.fold` turns the whole network into plain convolutions.

Source: ReSyncer (ECCV 2024), abstract and figure 2, with the noise insertion by concatenation of
StyleSync (CVPR 2023). The warped reference and the residual output are ours, see docs/adr/0004.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import CheckpointError
from models.folded import FoldedGenerator
from models.generator_layers import Encoder, GeneratorConfig, IdentityEncoder, Synthesis


@dataclass(frozen=True, eq=False)
class LiveInputs:
    """What changes with every frame, each `[B, C, 256, 256]` in 0..1 and zero outside the mask.

    Attributes:
        warped: Reference warped onto the target mesh, 3 channels.
        shade: White mesh render, 1 channel.
        interior: Mouth opening, 1 channel.
        seen: Mouth opening as far as the warped reference shows it, 1 channel.
    """

    warped: Tensor
    shade: Tensor
    interior: Tensor
    seen: Tensor

    def stacked(self) -> Tensor:
        """All of it as one tensor `[B, 6, 256, 256]`."""
        return torch.cat([self.warped, self.shade, self.interior, self.seen], 1)


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
        rendered: Tensor = self.synthesis(maps, live.stacked(), style)
        return rendered

    def fold(self, style: Tensor, *, winograd: bool = False) -> FoldedGenerator:
        """The same network for one constant style code `[style_dim]`, with plain or Winograd convolutions."""
        return FoldedGenerator(self.config, self.encoder, self.synthesis, style, winograd=winograd)

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
        settings = {"painted_interior": False, **config["generator"]}  # older ones don't say
        settings["channels"] = tuple(settings["channels"])
        model = cls(GeneratorConfig(**settings))
        earlier = {"synthesis.interior_residual": torch.ones(())}
        model.load_state_dict(earlier | {name: value.float() for name, value in tensors.items()})
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(tensors[name].numpy().tobytes())
        model.fingerprint = digest.hexdigest()[:16]
        return model.eval()


def composite(target: Tensor, rendered: Tensor, mask: Tensor) -> Tensor:
    """Blend the rendered crop into the target crop.

    Args:
        target: `[B, 3, S, S]`.
        rendered: Colour and blend mask `[B, 4, S, S]`.
        mask: The crop mask `[S, S]`, feathered.
    """
    alpha = rendered[:, 3:] * mask
    return target + alpha * (rendered[:, :3] - target)
