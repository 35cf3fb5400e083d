"""The face crop: the square around the lower face that the generator renders."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.mesh import Floats, Pose
from models.raster import MeshRasteriser, ring_points

CROP_SIZE = 256
CROP_SIDE = 2.3  # inter-ocular distances: from just under the eyes to below an open jaw
CROP_CENTRE = np.array([0.0, 1.3, -0.1], np.float32)
# The masked part, as shares of the side: from the base of the nose to below the chin.
_MASK_CENTRE = (0.5, 0.61)
_MASK_RADII = (0.43, 0.365)
_FEATHER = 0.05


def crop_transform(pose: Pose) -> Floats:
    """The affine map `[2, 3]` from frame pixels to crop pixels, upright and to scale."""
    centre = pose.project(CROP_CENTRE)[:2]
    across = pose.rotation[:2, 0]
    roll = np.arctan2(across[1], across[0])
    scale = CROP_SIZE / (CROP_SIDE * pose.scale)
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    linear = np.array([[cos, sin], [-sin, cos]])
    offset = CROP_SIZE / 2 - linear @ centre
    return np.concatenate([linear, offset[:, None]], 1).astype(np.float32)


def to_crop(points: Floats, transform: Floats) -> Floats:
    """Map points `[..., 3]` in frame pixels to crop pixels; depth is scaled alike."""
    scale = float(np.hypot(transform[0, 0], transform[0, 1]))
    flat = points[..., :2] @ transform[:, :2].T + transform[:, 2]
    return np.concatenate([flat, points[..., 2:] * scale], -1).astype(np.float32)


def crop_points(mesh: Floats, neutral: Floats, pose: Pose, transform: Floats) -> Floats:
    """The extended mesh in crop pixels.

    Args:
        mesh: Canonical `[478, 3]`.
        neutral: The speaker's closed-mouth mesh `[478, 3]`; the fixed ring around the face follows from it.
        pose: From canonical space to frame pixels.
        transform: From frame to crop pixels `[2, 3]`.

    Returns:
        `[478 + 36, 3]`.
    """
    whole = np.concatenate([mesh, ring_points(neutral)])
    return to_crop(pose.project(whole), transform)


def cut_crop(rgb: NDArray[np.uint8], transform: Floats, *, sharp: bool = False) -> NDArray[np.uint8]:
    """Resample the crop `[256, 256, 3]` out of a frame.

    Args:
        rgb: The frame `[H, W, 3]`.
        transform: From frame to crop pixels `[2, 3]`.
        sharp: By cubic interpolation, which keeps a fifth more of the detail; the base generator learns from linear.
    """
    how = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    size = (CROP_SIZE, CROP_SIZE)
    return cv2.warpAffine(rgb, transform, size, flags=how, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


@cache
def crop_mask() -> Floats:
    """Where the generator renders `[256, 256]`: 1 inside, feathered to 0; a superellipse."""
    grid = (np.arange(CROP_SIZE, dtype=np.float32) + 0.5) / CROP_SIZE
    x = np.abs(grid[None, :] - _MASK_CENTRE[0]) / _MASK_RADII[0]
    y = np.abs(grid[:, None] - _MASK_CENTRE[1]) / _MASK_RADII[1]
    inside = (x**3 + y**3 <= 1).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), _FEATHER * CROP_SIZE / 2)
    # Start the fade at the border and end it inside, so that nothing outside is ever touched.
    mask = np.clip((soft - 0.5) * 2.0, 0.0, 1.0) * inside
    return mask.astype(np.float32)


@cache
def mask_region() -> tuple[int, int, int, int]:
    """The mask's bounding box `(top, bottom, left, right)`."""
    rows, columns = np.nonzero(crop_mask() > 0)
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


@dataclass(frozen=True)
class Window:
    """A rectangle of the crop, in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around_mask(cls, margin: int, unit: int) -> Window:
        """The smallest window of whole `unit`s around the mask and `margin` pixels more, where the crop has them."""
        top, bottom, left, right = mask_region()
        low = [max(edge - margin, 0) // unit * unit for edge in (top, left)]
        high = [-(-min(edge + margin, CROP_SIZE) // unit) * unit for edge in (bottom, right)]
        return cls(low[0], high[0], low[1], high[1])

    def cut(self, x: Tensor) -> Tensor:
        """This part of a picture or feature map `[B, C, S, S]` of the whole crop, at any size."""
        size = x.shape[-1]
        top, bottom, left, right = (edge * size // CROP_SIZE for edge in astuple(self))
        return x[..., top:bottom, left:right]

    def put_back(self, x: Tensor) -> Tensor:
        """A whole crop `[B, C, 256, 256]` of this part, zero elsewhere."""
        return F.pad(x, (self.left, CROP_SIZE - self.right, self.top, CROP_SIZE - self.bottom))


def crop_rasteriser() -> MeshRasteriser:
    """A rasteriser for the masked part of the crop."""
    return MeshRasteriser(CROP_SIZE, mask_region())
