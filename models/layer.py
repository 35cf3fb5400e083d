"""The layer that is pasted onto the still: what the folded generator gives, as colour and opacity in bytes.

The same function as the last lines of `Synthesis.forward`, on a CPU and in one pass over planes that lie one behind the
other: on 50,000 pixels what costs is how often memory is walked through.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.crop import Window, crop_mask
from models.generator_layers import COVERING, DEEP, PATCH
from models.mesh import Floats

Layer = NDArray[np.uint8]
"""Colour and opacity `[h, w, 4]` of a window of the crop; opacity 0 outside the crop's mask."""
Planes = NDArray[np.uint8]
"""Live inputs `[256, 256, 6]`, see `live_planes`."""
_INNER = np.ones((5, 5), np.uint8)  # two patches inside the face's own border


def layer_of_patches(patches: Tensor, planes: Planes, window: Window, interior_residual: float = 1.0) -> Layer:
    """Compose the layer of a window.

    Args:
        patches: From `FoldedGenerator.patches`, `[1, 64, h / 4, w / 4]`, float32.
        planes: The live inputs it was made from.
        window: Of the generator.
        interior_residual: Of the generator, see `Synthesis`.
    """
    _, _, height, width = patches.shape
    # `torch.pixel_shuffle`, but one plane behind the other whatever the memory format: one copy instead of two.
    rows = patches.view(4, PATCH, PATCH, height, width).permute(0, 3, 1, 4, 2)
    picture: Floats = rows.reshape(4, PATCH * height, PATCH * width).numpy()
    live = planes.transpose(2, 0, 1)[:, window.top : window.bottom, window.left : window.right]
    soft, inner = _coverage(live)
    soft *= 255
    if interior_residual != 1:
        soft *= 1 - np.float32(1 - interior_residual) * _deep_inside(live[4])
    for residual, warped in zip(picture[:3], live[:3], strict=True):
        residual *= soft
        residual += warped
    opacity = picture[3]
    opacity += COVERING
    np.negative(opacity, out=opacity)
    cv2.exp(opacity, opacity)
    opacity += 1
    np.divide(1, opacity, out=opacity)
    np.maximum(opacity, inner, out=opacity)
    opacity *= _mask_255(window)
    np.clip(picture, 0, 255, out=picture)
    picture += 0.5
    layer: Layer = np.asarray(cv2.merge(list(picture.astype(np.uint8))), np.uint8)
    return layer


def layer_of_picture(rendered: Tensor, window: Window) -> Layer:
    """The same from what the generator's `forward` gives, `[1, 4, 256, 256]` on any device."""
    mask = torch.from_numpy(_mask_255(window)).to(rendered.device)
    cut = window.cut(rendered)[0]
    scaled = torch.cat([255 * cut[:3], mask * cut[3:]]) + 0.5
    layer: Layer = scaled.byte().permute(1, 2, 0).contiguous().cpu().numpy()
    return layer


@cache
def _mask_255(window: Window) -> Floats:
    mask: Floats = crop_mask()[window.top : window.bottom, window.left : window.right] * np.float32(255)
    return mask


def _coverage(live: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """`soften(face_coverage(live))`, and the same `shrink`ed by two patches, each `[h, w]`.

    Nothing is covered at the window's border, so that it does not matter what the filters find beyond it.
    """
    _, height, width = live.shape
    inside = ((live[3] | live[4]) > 0).astype(np.float32)
    coverage = cv2.resize(inside, (width // PATCH, height // PATCH), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.blur(coverage, (3, 3)), (width, height))
    inner = cv2.resize(cv2.blur(cv2.erode(coverage, _INNER), (3, 3)), (width, height))
    return soft.astype(np.float32, copy=False), inner.astype(np.float32, copy=False)


def _deep_inside(interior: NDArray[np.uint8]) -> Floats:
    """`generator_layers.deep_inside` of a window's opening `[h, w]`."""
    mean = cv2.blur(interior.astype(np.float32), (5, 5), borderType=cv2.BORDER_CONSTANT)
    mean *= np.float32(1 / 255)
    mean[mean <= DEEP] = 0
    deep: Floats = cv2.blur(mean, (3, 3), borderType=cv2.BORDER_CONSTANT)
    return deep
