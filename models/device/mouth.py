"""The mouth's inside painted into the warped reference, as `models.mouth_interior` does it, for batches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.crop import CROP_SIZE
from models.device.sampling import blur, gaussian, sample
from models.mesh import INNER_LIP_PAIRS, NUM_VERTICES, Floats, fit_pose
from models.mouth_interior import (
    CHIN,
    CHIN_LEVER,
    DIMMEST,
    EDGE,
    JAW,
    PIXELS_PER_UNIT,
    SMOOTH,
    THIN,
    InteriorLook,
    pieces,
    projected,
    reliefs,
)

TAPS = 17  # of the blur of the softest reference
_SHADE_TAPS = 25  # OpenCV's for `SMOOTH`, of bytes
_SHADE_BELOW = 3  # rows: light comes from above


class MouthLook(NamedTuple):
    """What stays the same while a reference does, of one stream or `[B, ...]`; see `mouth_look`."""

    columns: Tensor
    """Of each piece's relief at each column of the crop `[3, 256]`, pieces from back to front."""
    offset: Tensor
    """Of each piece's rows, with the jaw closed `[3, 256]`."""
    drop: Tensor
    """By how much that grows for each unit that the jaw drops `[3, 256]`."""
    colours: Tensor
    """Flesh of each piece, tooth and cavity, RGB in 0..255 `[5, 3]`."""
    kernel: Tensor
    """How blurred the reference is `[17]`."""
    canonical: Tensor
    """From a point in the crop to its canonical y: `xyz * [:3] + [3]`, `[4]`."""
    numbers: Tensor
    """Rows of a relief per pixel, canonical y of the chin, the gap between the lips `[3]`."""


def mouth_look(look: InteriorLook, points: Floats) -> MouthLook:
    """Compute it on a CPU.

    Args:
        look: Of the reference.
        points: The mesh at rest in the crop `[>= 478, 3]`; what speech does not move of it says how the head is held.
    """
    pose = fit_pose(points[:NUM_VERTICES])
    parts, places = pieces(look), np.arange(CROP_SIZE)
    projections = [projected(piece.relief, pose, places) for piece in parts]
    rate = projections[0][1]
    offset, drop = [], []
    for piece, (_, _, raised, falls) in zip(parts, projections, strict=True):
        offset.append(raised + np.float32(PIXELS_PER_UNIT) * (look.edge - EDGE) + piece.lowered * falls)
        drop.append(piece.follows * falls)
    colours = look.colours
    down = pose.rotation[:, 1] / np.float32(pose.scale)
    size = round(8 * look.blur + 1) | 1 if look.blur else 1
    arrays = (
        np.stack([projection[0] for projection in projections]),
        np.stack(offset),
        np.stack(drop),
        np.stack([piece.flesh for piece in parts] + [colours.tooth, colours.cavity]),
        gaussian(look.blur, size, TAPS).numpy(),
        np.append(down, -pose.translation @ down),
        np.array([rate, look.chin, look.gap]),
    )
    return MouthLook(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


class MouthPainter(nn.Module):
    """Paints teeth, gums and tongue; see `paint_interior`."""

    reliefs: Tensor
    shade: Tensor
    edge: Tensor
    grid: Tensor
    upper: Tensor
    lower: Tensor
    marks: Tensor

    def __init__(self) -> None:
        super().__init__()
        pictures = np.stack([relief.picture for relief in reliefs().values()]).astype(np.float32) / 255
        upper, lower = np.array(INNER_LIP_PAIRS).T.copy()
        held = {
            "reliefs": torch.from_numpy(pictures.transpose(0, 3, 1, 2)),
            "shade": gaussian(SMOOTH, _SHADE_TAPS, _SHADE_TAPS)[None],
            "edge": gaussian(0, 3, 3)[None],
            "grid": torch.arange(CROP_SIZE, dtype=torch.float32),
            "upper": torch.from_numpy(upper),
            "lower": torch.from_numpy(lower),
            "marks": torch.tensor([CHIN, *upper, *lower]),
        }
        for name, tensor in held.items():
            self.register_buffer(name, tensor.contiguous(), persistent=False)

    def seen_share(self, points: Tensor, gap: Tensor) -> Tensor:
        """How much of the mouths' opening in `points [B, 514, 3]` references show, open by `gap [B]`; 0..1, `[B]`."""
        gaps = points[:, self.lower, :2] - points[:, self.upper, :2]
        wanted = torch.linalg.vector_norm(gaps, dim=-1).mean(1)
        return (gap / wanted.clamp(min=1)).clamp(0, 1)

    def forward(self, warped: Tensor, interior: Tensor, points: Tensor, share: Tensor, look: MouthLook) -> Tensor:
        """Warped references with painted mouths `[B, 3, 256, 256]`, in 0..255.

        Args:
            warped: `[B, 3, 256, 256]`, in 0..255.
            interior: 255 where the mouth is open `[B, 1, 256, 256]`.
            points: The mesh in the crop `[B, 514, 3]`.
            share: How opaque the paint is, 0..1, `[B]`.
            look: `[B, ...]`.
        """
        rate, chin_at_rest, gap_at_rest = look.numbers.unbind(1)
        chin, gap = self._lips(points, look.canonical)
        share = share * (gap / THIN - 1).clamp(0, 1)
        opened = torch.maximum(CHIN_LEVER * (chin - chin_at_rest) + gap_at_rest, JAW * gap)
        jaw = torch.minimum(opened, gap + 0.05)
        batch = len(points)
        picture = look.colours[:, 4, :, None, None].expand(-1, -1, CROP_SIZE, CROP_SIZE)
        for k in range(3):
            x = look.columns[:, k, None].expand(-1, CROP_SIZE, -1)
            rows = rate[:, None] * self.grid - 0.5
            y = rows[..., None] - (look.offset[:, k] + jaw[:, None] * look.drop[:, k])[:, None]
            drawn = sample(self.reliefs[k].expand(batch, -1, -1, -1), x, y, outside="zeros")
            opacity, tooth, flesh = drawn.split(1, 1)
            colours = look.colours[..., None, None]
            picture = picture * (1 - opacity) + tooth * colours[:, 3] + flesh * colours[:, k]
        lit = blur(interior / 255, self.shade.expand(batch, -1))
        lit = F.pad(lit[:, :, :-_SHADE_BELOW], (0, 0, _SHADE_BELOW, 0)).clamp(0.2, 1.0)
        picture = blur(picture * (DIMMEST + (1 - DIMMEST) * lit), look.kernel)
        opacity = blur(F.max_pool2d(interior, 3, 1, 1) / 255, self.edge.expand(batch, -1)) * share[:, None, None, None]
        return (warped + opacity * (picture - warped) + 0.5).floor()

    def _lips(self, points: Tensor, canonical: Tensor) -> tuple[Tensor, Tensor]:
        """Canonical y of the chins, and the gaps between the lips (0 or more), each `[B]`."""
        y = (points[:, self.marks] * canonical[:, None, :3]).sum(-1) + canonical[:, 3:]
        upper, lower = y[:, 1:].chunk(2, 1)
        return y[:, 0], (lower - upper).mean(1).clamp(min=0)
