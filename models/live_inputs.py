"""The generator's inputs that change with every frame."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import crop_mask
from models.mesh import INNER_LIP_PAIRS, Floats
from models.mouth_interior import InteriorLook, paint_interior
from models.raster import Drawn, MeshRasteriser, Mix

Picture = NDArray[np.uint8]
UNSEEN = 0.25  # of an opening: where the reference lacks more, its own teeth would be stretched, and none is shown


def mouth_gap(points: Floats) -> float:
    """Lip opening in crop pixels."""
    upper, lower = np.array(INNER_LIP_PAIRS).T
    return float(np.linalg.norm(points[lower, :2] - points[upper, :2], axis=1).mean())


def seen_share(target: Floats, gap: float) -> float:
    """How much of the target's mouth opening a reference shows whose lips are `gap` crop pixels apart, 0..1."""
    return float(np.clip(gap / max(mouth_gap(target), 1.0), 0.0, 1.0))


def masked_target(target: Tensor) -> Tensor:
    """Target crops `[B, 3, 256, 256]` without the region that the generator renders."""
    return target * (1 - torch.from_numpy(crop_mask()))


def match_colour(picture: Picture, wanted: Picture) -> Picture:
    """Scale a crop's colours to those of another, by what both show outside the mask.

    Args:
        picture: The reference crop `[256, 256, 3]`.
        wanted: The target crop, whose masked part is ignored.
    """
    visible = crop_mask() == 0
    mean = picture[visible].mean(0) + 1.0
    gain = np.clip((wanted[visible].mean(0) + 1.0) / mean, 0.5, 2.0)
    return np.clip(picture * gain, 0, 255).astype(np.uint8)


def live_planes(
    rasteriser: MeshRasteriser,
    points: Floats,
    other: Picture,
    source: Floats,
    look: InteriorLook | None,
    *,
    hide_interior: bool = False,
) -> Picture:
    """Rasterise a frame's mesh into the generator's live inputs; training and live use this one.

    Args:
        rasteriser: From `crop_rasteriser`.
        points: The extended mesh in the target crop `[514, 3]`.
        other: Reference crop `[256, 256, 3]`.
        source: The extended mesh in the reference crop `[514, 3]`.
        look: Of the reference, to paint teeth, gums and tongue where it shows none; None for generators that were not
            trained on it (`GeneratorConfig.painted_interior`).
        hide_interior: Paint them also where the reference shows its own.

    Returns:
        `[256, 256, 6]` in 0..255, zero outside the mask: warped reference (3), shade, mouth interior,
        and the interior as far as the warped reference shows it.
    """
    mix = Mix.of_one(np.asarray(other), source, mouth_gap(source))
    return mixed_planes(rasteriser, points, mix, look, hide_interior=hide_interior)


def mixed_planes(
    rasteriser: MeshRasteriser,
    points: Floats,
    mix: Mix,
    look: InteriorLook | None,
    *,
    hide_interior: bool = False,
) -> Picture:
    """`live_planes` of references that are mixed; see `models.references`."""
    return planes_of(rasteriser.draw_mix(points, mix), points, mix.gap, look, hide_interior=hide_interior)


def planes_of(
    drawn: Drawn,
    points: Floats,
    gap: float,
    look: InteriorLook | None,
    *,
    hide_interior: bool = False,
) -> Picture:
    """`live_planes` of what the rasteriser has drawn of a reference whose lips are `gap` crop pixels apart.

    An interior is painted into its warped reference, in place.
    """
    shade, interior, warped = drawn.shade, drawn.interior, drawn.warped
    share = seen_share(points, gap)
    if look is not None:
        paint_interior(warped, interior, points, look, 1.0 if hide_interior else min((1 - share) / UNSEEN, 1.0))
        share = 1.0
    seen = (interior > 0) * np.uint8(255 * share)
    # In memory one channel follows the other: masking is quick, and so is making a tensor of them.
    planes = np.stack([*cv2.split(warped), shade, interior, seen])
    planes *= crop_mask() > 0
    return planes.transpose(1, 2, 0)
