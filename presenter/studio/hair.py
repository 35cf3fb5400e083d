"""Scalp hair, strand by strand: parted at a side, combed over the head and cut above the shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from presenter.studio import materials
from presenter.studio.geometry import OUTER_HEAD_FACES, FloatArray, Head, smoothstep
from presenter.studio.masks import above_hairline
from presenter.studio.nodes import add_strands

PARTING = -2.4
"""Where the hair is parted, to the side of the middle, in centimetres."""
TIPS = -8.6
"""Height of the tips: at the chin."""
EARS = 7.7
"""Half of the head's width with its ears: hair that falls passes outside."""
MIDDLE = -1.0
"""Depth of the middle of head and neck, in centimetres."""
CLEARANCE = 0.16
"""Least height of hair over the estimated scalp, in centimetres; lower, the skin would show through in patches."""
STEPS, STEP = 40, 0.72


def build_scalp_hair(head: Head, palette: materials.Palette, count: int = 42000) -> None:
    """Add hair that falls from a parting to both sides of the face."""
    rng = np.random.default_rng(11)
    scalp = _Scalp.of(head)
    roots = scalp.sample_roots(count, rng)
    strands = _clump(_comb(scalp, roots, rng), rng)
    shader = materials.hair("scalp hair", palette.hair_melanin, palette.hair_redness, 0.30, 0.30)
    add_strands("scalp hair", strands, rng.uniform(0.013, 0.022, len(strands)), shader, tip=0.5)


@dataclass(frozen=True)
class _Scalp:
    """The head's surface without the ears, with smooth normals."""

    points: FloatArray
    normals: FloatArray
    tree: cKDTree
    quads: FloatArray
    base: FloatArray

    @classmethod
    def of(cls, head: Head) -> _Scalp:
        quads = head.quads[:OUTER_HEAD_FACES]
        corners = head.base[quads]
        face_normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        normals = np.zeros_like(head.base)
        for corner in range(4):
            np.add.at(normals, quads[:, corner], face_normals)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        x, y, z = head.base.T
        ear = (np.abs(x) > 7.0) & (z < 3.6) & (z > -4) & (y < 6.5) & (y > -3.5)
        kept = np.setdiff1d(np.unique(quads), np.flatnonzero(ear))
        bare = quads[~ear[quads].any(1)]
        return cls(head.base[kept], normals[kept], cKDTree(head.base[kept]), bare, head.base)

    def sample_roots(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Random points where hair grows, dense by area, with a soft hairline."""
        corners = self.base[self.quads]
        near = above_hairline(corners.mean(1)) > -0.8
        corners = corners[near & (corners[..., 2].mean(1) > -7.0)]
        area = np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
        c = corners[rng.choice(len(corners), count, p=area / area.sum())]
        u, v = rng.random((2, count, 1))
        roots = (c[:, 0] * (1 - u) + c[:, 1] * u) * (1 - v) + (c[:, 3] * (1 - u) + c[:, 2] * u) * v
        return roots[above_hairline(roots) + 0.15 > 1.5 * rng.random(count) ** 2]

    def tangent_plane(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Height over the surface ``[n]`` and normal ``[n, 3]`` at ``points``, averaged over near vertices."""
        distance, index = self.tree.query(points, k=14)
        weight = 1.0 / (distance + 0.4) ** 3
        weight /= weight.sum(1, keepdims=True)
        normal = (self.normals[index] * weight[..., None]).sum(1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        foot = (self.points[index] * weight[..., None]).sum(1)
        return ((points - foot) * normal).sum(1), normal


def _comb(scalp: _Scalp, roots: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Grow strands from the parting over the head to the sides, and let them fall ``[n, STEPS + 1, 3]``."""
    count = len(roots)
    side = np.where(roots[:, 0] + 0.6 * rng.normal(0, 1, count) > PARTING, 1.0, -1.0)
    front = smoothstep(1.0, 6.0, roots[:, 2])
    thickness = rng.random(count) ** 0.7 * (0.5 + 0.75 * smoothstep(5.0, 10.5, roots[:, 1]))
    # Loose waves lift whole locks a little, so that the outline is not a helmet's.
    thickness *= 1.0 + 0.2 * np.sin(1.7 * roots[:, 0] + 0.9 * roots[:, 2]) * np.sin(0.9 * roots[:, 0] + 2.0)
    tips = TIPS + rng.normal(0, 0.35, count) - 0.35 * (1 - front)
    flare = rng.normal(0, 0.45, count)
    points, strand = roots.copy(), [roots]
    for step in range(STEPS):
        grown = step * STEP
        _, normal = scalp.tangent_plane(points)
        falls = smoothstep(6.2, 2.6, points[:, 1]) * smoothstep(4.5, 6.6, np.abs(points[:, 0]))
        falls = np.maximum(falls, smoothstep(3.5, 1.0, points[:, 1]))[:, None]
        back = -0.28 + 0.20 * smoothstep(6.0, 0.0, points[:, 2])
        over = np.stack([side, np.full(count, -0.30 - 0.06 * grown), back - 0.10 * front], -1)
        over -= normal * (over * normal).sum(1, keepdims=True)
        over /= np.linalg.norm(over, axis=1, keepdims=True) + 1e-9
        inward = smoothstep(-3.0, TIPS, points[:, 1])
        down = np.stack([side * (0.10 - 0.55 * inward), -np.ones(count), 0.10 * front + 0.12 * inward], -1)
        direction = over * (1 - falls) + down * falls
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        growing = (points[:, 1] > tips)[:, None]
        points = points + STEP * direction * np.where(growing, 1.0, 0.01)
        rise = smoothstep(0.0, 3.2, grown + np.clip(above_hairline(roots), 0.0, None))
        height, normal = scalp.tangent_plane(points)
        lifted = points + normal * (CLEARANCE + thickness * rise - height)[:, None]
        # Below the skull it hangs free, outside of an ellipse around ears and neck.
        width = EARS + 0.55 * thickness + 0.16 * flare - 0.9 * inward**2
        across, along = points[:, 0] / width, (points[:, 2] - MIDDLE) / (width + 1.8)
        outwards = np.maximum(1.0 / np.maximum(np.hypot(across, along), 0.3), 1.0)
        hanging = np.stack([across * outwards * width, points[:, 1], MIDDLE + along * outwards * (width + 1.8)], -1)
        points = lifted * (1 - falls) + hanging * falls
        strand.append(points)
    return np.stack(strand, 1)


def _clump(strands: FloatArray, rng: np.random.Generator, clumps: int = 650) -> FloatArray:
    """Gather strands into comb marks and let a few of them stray."""
    count, k, _ = strands.shape
    leaders = rng.choice(count, clumps, replace=False)
    middle = strands[:, 14]
    nearest = cKDTree(middle[leaders]).query(middle)[1]
    t = np.linspace(0.0, 1.0, k)[None, :, None]
    pull = 0.30 * smoothstep(0.35, 0.9, t) * rng.uniform(0.3, 1.0, (count, 1, 1))
    gathered = strands * (1 - pull) + strands[leaders][nearest] * pull
    stray = rng.exponential(0.035, (count, 1, 1)) * rng.normal(0, 1, (count, 1, 3))
    return gathered + stray * np.sin(t * rng.uniform(2.0, 7.0, (count, 1, 1)))
