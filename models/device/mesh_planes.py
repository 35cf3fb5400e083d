"""The mesh rasterised with a z-buffer, and the reference warped through it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.crop import CROP_SIZE, mask_region
from models.device.sampling import rounded, sample
from models.mesh import Floats, topology
from models.raster import LIGHT, MIXED, mouth_share, warp_mesh

_HIGHEST = 0.3  # canonical y: triangles wholly above lie outside of the crop's mask, in whatever pose
_SMALL, _LARGE = (48, 40), (112, 96)
"""Rows and columns around a triangle of the face, and around one of the mouth or the ring, in which it is drawn. With
lips 0.48 inter-ocular distances apart and a head turned by 20 degrees the largest touch 37 x 32 and 97 x 79."""
_DEPTHS, _FARTHEST = 512, 1023.0  # steps of depth per pixel, and pixels before and behind the middle
_TRIANGLES = 1024  # room for their numbers below the depth in 30 bits
_SLACK = 0.5  # pixels: OpenCV draws the outline of a triangle too, so that neighbours leave no gap
_FACE, _MOUTH, _NOTHING = 0, 1, 2


def _unmoved() -> Floats:
    """Slopes and offset where no triangle is: source x = x, y = y of each reference, share and shade 0, the kind."""
    last = np.array([[0, 0, 0], [0, 0, 0], [0, 0, _NOTHING]])
    return np.concatenate([np.eye(3)[:, :2]] * (1 + MIXED) + [last], 1).astype(np.float32)


class MeshPlanes(NamedTuple):
    """What rasterising gives, each `[B, C, 256, 256]` in whole grey values as floats, zero outside the mask's box."""

    warped: Tensor
    """The reference, 3 channels."""
    base: Tensor
    """The base, 3 channels, moved by cubic interpolation."""
    shade: Tensor
    interior: Tensor
    """255 where the mouth is open."""
    shift: Tensor
    """From each pixel to where in the reference it came from, 2 channels, pixels; not whole."""


class MeshRaster(nn.Module):
    """Rasterises the triangles of the lower face, as `MeshRasteriser` does: the nearer triangle by its mean depth wins.

    Each triangle is compared with the pixels of a patch around it, and keeps those for which nothing is nearer.
    """

    triangles: Tensor
    face: Tensor
    touching: Tensor
    kinds: Tensor
    light: Tensor
    share: Tensor
    grid: Tensor
    unmoved: Tensor

    def __init__(self) -> None:
        super().__init__()
        mesh = warp_mesh()
        highest = np.concatenate([topology().reference[:, 1], np.full(len(topology().reference), np.inf)])
        kept = highest[mesh.triangles].max(1) > _HIGHEST
        num_inner = mesh.num_face + mesh.num_mouth
        kinds = np.repeat([_FACE, _MOUTH, _NOTHING], [mesh.num_face, mesh.num_mouth, len(mesh.triangles) - num_inner])
        face = mesh.triangles[: mesh.num_face]
        touching = np.zeros((int(mesh.triangles.max()) + 1, len(face)), np.float32)
        touching[face.ravel(), np.repeat(np.arange(len(face)), 3)] = 1
        top, bottom, left, right = mask_region()
        self._box = (top, bottom, left, right)
        self._num_small = int((kinds[kept] == _FACE).sum())
        grid = np.arange(CROP_SIZE, dtype=np.float32)
        held = {
            "triangles": mesh.triangles[kept],
            "face": face,
            "touching": touching,  # [V, F], which makes sums over the triangles of a vertex a product
            "kinds": kinds[kept].astype(np.float32),
            "light": LIGHT.astype(np.float32),
            "share": mouth_share(),
            "grid": grid,
            "unmoved": _unmoved().reshape(1, 1, -1),
        }
        for name, array in held.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)), persistent=False)

    def forward(
        self, points: Tensor, sources: Tensor, references: Tensor, base: Tensor, weights: Tensor, own: Tensor
    ) -> MeshPlanes:
        """Draw meshes.

        Args:
            points: Where the extended meshes go `[B, 514, 3]`, pixels of the crop.
            sources: Where the same vertices lie in the references `[B, 1 + MIXED, 514, 2]`; see `Mix`.
            references: Face crops `[B, 1 + MIXED, 3, 256, 256]` in 0..255.
            base: What the generator's residual is laid over `[B, 3, 256, 256]`; see `models.rest_error`.
            weights: How much of each reference but the first is mixed, by colour `[B, MIXED, 3]`.
            own: How much of what is mixed is the first again `[B]`.
        """
        corners = points[:, self.triangles]  # [B, N, 3, 3]
        places = sources.transpose(1, 2).flatten(2)
        shares = self.share.expand(len(points), -1)[..., None]
        values = torch.cat([places, shares, 255 * self._shades(points)[..., None]], -1)[:, self.triangles]
        table = torch.cat([self._affine(corners[..., :2], values), self.unmoved.expand(len(points), -1, -1)], 1)
        chosen = self._nearest(corners)
        slopes = table.gather(1, chosen.flatten(1)[..., None].expand(-1, -1, table.shape[-1]))
        across, along, offset = slopes.view(len(points), CROP_SIZE, CROP_SIZE, 3, -1).unbind(-2)
        drawn = across * self.grid[:, None] + along * self.grid[:, None, None] + offset
        *moved_to, share, shade, kind = drawn.unbind(-1)
        inside = self._inside_box()
        x, y = (torch.stack(moved_to[axis::2], 1).flatten(0, 1) for axis in (0, 1))
        moved = sample(references.flatten(0, 1), x, y).view_as(references)
        mixed = torch.lerp(moved[:, 0], (moved[:, 1:] * weights[..., None, None]).sum(1), share[:, None])
        warped = rounded(mixed) * inside
        seen = 1 - (1 - own[:, None, None]) * share
        there = sample(base, *moved_to[:2], cubic=True)
        shade = shade.clamp(0, 255).floor() * (kind == _FACE) * inside
        below = torch.cat([mixed + seen[:, None] * (there[:, :3] - moved[:, 0]), there[:, 3:]], 1) * inside
        shift = torch.stack([moved_to[0] - self.grid, moved_to[1] - self.grid[:, None]], 1) * inside
        return MeshPlanes(warped, below, shade[:, None], (255 * ((kind == _MOUTH) * inside))[:, None], shift)

    def _inside_box(self) -> Tensor:
        top, bottom, left, right = self._box
        rows, columns = self.grid[:, None], self.grid
        return ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)).to(self.grid.dtype)

    def _shades(self, points: Tensor) -> Tensor:
        """See `vertex_shade`; `[B, V]`."""
        a, b, c = points[:, self.face].unbind(2)
        summed = self.touching @ torch.linalg.cross(b - a, c - a)
        length = torch.linalg.vector_norm(summed, dim=-1) + 1e-6
        return 0.1 + 0.9 * (summed @ self.light / length).clamp(0, 1)

    def _affine(self, corners: Tensor, values: Tensor) -> Tensor:
        """Per triangle, slopes along x and y and offset of source x and y of each reference, share, shade and kind."""
        a, b, c = corners.unbind(2)
        ab, ac = b - a, c - a
        area = ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]
        safe = area.masked_fill(area.abs() < 1e-3, 1e-3)[..., None]
        db, dc = values[..., 1, :] - values[..., 0, :], values[..., 2, :] - values[..., 0, :]
        across = (db * ac[..., 1:] - dc * ab[..., 1:]) / safe
        along = (dc * ab[..., :1] - db * ac[..., :1]) / safe
        offset = values[..., 0, :] - across * a[..., :1] - along * a[..., 1:]
        kinds = self.kinds.expand(*area.shape)[..., None]
        nothing = torch.zeros_like(kinds)
        return torch.cat([across, nothing, along, nothing, offset, kinds], -1)

    def _nearest(self, corners: Tensor) -> Tensor:
        """The number of the nearest triangle at each pixel `[B, 256, 256]`; that of none is one more than the last."""
        batch, count = corners.shape[:2]
        depth = (corners[..., 2].mean(-1) + _FARTHEST).clamp(0, 2 * _FARTHEST)
        numbers = torch.arange(count, dtype=torch.int32, device=corners.device)
        keys = (depth * _DEPTHS).to(torch.int32) * _TRIANGLES + numbers
        pixels = CROP_SIZE * CROP_SIZE
        nothing = torch.iinfo(torch.int32).max // _TRIANGLES * _TRIANGLES + count
        buffer = torch.full((batch, pixels + 1), nothing, dtype=torch.int32, device=corners.device)
        for part, (rows, columns) in ((slice(0, self._num_small), _SMALL), (slice(self._num_small, None), _LARGE)):
            place = self._places(corners[:, part, :, :2], rows, columns)
            key = keys[:, part, None].expand(*place.shape)
            buffer = buffer.scatter_reduce(1, place.flatten(1), key.flatten(1), "amin")
        return (buffer[:, :pixels] % _TRIANGLES).long().view(batch, CROP_SIZE, CROP_SIZE)

    def _places(self, corners: Tensor, rows: int, columns: int) -> Tensor:
        """The pixels that triangles `[B, N, 3, 2]` cover of a patch each `[B, N, rows * columns]`.

        A pixel is the number of its place in the crop, or the crop's number of pixels where nothing is covered.
        """
        top, bottom, left, right = self._box
        low, high = (corners.amin(2) + 0.5).floor(), (corners.amax(2) + 0.5).floor()
        x = low[..., :1].clamp(left, right) + self.grid[:columns]  # [B, N, columns]
        y = low[..., 1:].clamp(top, bottom) + self.grid[:rows]
        x_inside = (x <= high[..., :1]) & (x < right)
        y_inside = (y <= high[..., 1:]) & (y < bottom)
        ends = corners.roll(-1, 2) - corners  # along each edge [B, N, 3, 2]
        area = ends[..., 0, 0] * ends[..., 1, 1] - ends[..., 0, 1] * ends[..., 1, 0]
        turn = (2 * (area >= 0) - 1)[..., None] / ends.abs().amax(-1).clamp(min=1e-3)
        across, along = -ends[..., 1] * turn, ends[..., 0] * turn  # the larger of the two is 1 [B, N, 3]
        offset = -across * corners[..., 0] - along * corners[..., 1] + _SLACK
        covered = x_inside[..., None, :] & y_inside[..., None]
        for k in range(3):
            by_row = along[..., k, None] * y + offset[..., k, None]
            covered = covered & (by_row[..., None] + (across[..., k, None] * x)[..., None, :] >= 0)
        place = y[..., None] * CROP_SIZE + x[..., None, :]
        return place.masked_fill(~covered, CROP_SIZE**2).to(torch.int64).flatten(2)
