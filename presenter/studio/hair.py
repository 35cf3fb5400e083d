"""Scalp hair, strand by strand: parted at a side and cut at the chin, or cropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from presenter.studio import materials
from presenter.studio.character import Hair, HeadShape
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


def build_scalp_hair(head: Head, look: Hair) -> None:
    """Add the hair of the head.

    Raises:
        ValueError: If its style is unknown.
    """
    rng = np.random.default_rng(11)
    scalp = _Scalp.of(head)
    roots = scalp.sample_roots(look.count, rng)
    shader = materials.hair("scalp hair", look.melanin, look.redness, 0.30, 0.30)
    if look.style == "bob":
        combed = _comb(scalp, roots, rng)
        strands = _clump(combed, rng)
        add_strands("scalp hair", strands, rng.uniform(0.013, 0.022, len(strands)), shader, tip=0.4)
        loose = _loosen(combed, above_hairline(roots, head.shape), rng)
        add_strands("loose hair", loose, rng.uniform(0.006, 0.011, len(loose)), shader, tip=0.2)
    elif look.style == "cropped":
        strands = _crop(scalp, roots, look.length, rng)
        radius = rng.uniform(0.009, 0.016, len(strands))
        temple = smoothstep(4.5, 6.8, np.abs(roots[:, 0])) * smoothstep(8.5, 5.5, roots[:, 1])
        grey = rng.random(len(roots)) < look.grey * (0.4 + 2.2 * temple)
        add_strands("scalp hair", strands[~grey], radius[~grey], shader, tip=0.6)
        if grey.any():
            bleached = materials.hair("grey hair", 0.10, 0.05, 0.35, 0.3)
            add_strands("grey hair", strands[grey], radius[grey], bleached, tip=0.6)
    else:
        raise ValueError(f"expected a hair style, bob or cropped, got {look.style!r}")


@dataclass(frozen=True)
class _Scalp:
    """The head's surface without the ears, with smooth normals."""

    points: FloatArray
    normals: FloatArray
    tree: cKDTree
    quads: FloatArray
    base: FloatArray
    shape: HeadShape

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
        return cls(head.base[kept], normals[kept], cKDTree(head.base[kept]), bare, head.base, head.shape)

    def sample_roots(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Random points where hair grows, dense by area, with a soft hairline."""
        corners = self.base[self.quads]
        near = above_hairline(corners.mean(1), self.shape) > -0.8
        corners = corners[near & (corners[..., 2].mean(1) > -7.0)]
        area = np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
        c = corners[rng.choice(len(corners), count, p=area / area.sum())]
        u, v = rng.random((2, count, 1))
        roots = (c[:, 0] * (1 - u) + c[:, 1] * u) * (1 - v) + (c[:, 3] * (1 - u) + c[:, 2] * u) * v
        return roots[above_hairline(roots, self.shape) + 0.15 > 1.5 * rng.random(count) ** 2]

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
    # Some end higher, or the ends look cut with a ruler.
    tips = TIPS + rng.normal(0, 0.35, count) - 0.35 * (1 - front) + np.minimum(rng.exponential(0.6, count), 2.5)
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
        rise = smoothstep(0.0, 3.2, grown + np.clip(above_hairline(roots, scalp.shape), 0.0, None))
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


def _loosen(combed: FloatArray, above: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Fine strands that left the others: short ones along the hairline, wisps beside the face, and some all around.

    Args:
        combed: Strands ``[n, k, 3]``.
        above: How high over the hairline each begins ``[n]``.
        rng: Of the choice.
    """
    count, k, _ = combed.shape
    t = np.linspace(0.0, 1.0, k)[None, :, None]
    # By the hairline: the first centimetres only, each bent in a direction of its own.
    edge = rng.choice(np.flatnonzero(above < 0.5), 2600)
    share = rng.uniform(1.2, 4.5, (len(edge), 1)) * t[0, :, 0] / STEP
    lower = np.clip(share.astype(int), 0, k - 2)
    part = (share - lower)[..., None]
    short = np.take_along_axis(combed[edge], lower[..., None], 1) * (1 - part)
    short = short + np.take_along_axis(combed[edge], lower[..., None] + 1, 1) * part
    short = short + t**1.5 * rng.normal(0, 0.16, (len(edge), 1, 3))
    # Around the head: a wave that grows towards the tip.
    stray = combed[rng.choice(count, 1600)]
    phase, waves = rng.uniform(0, 2 * np.pi, (1600, 1, 3)), rng.uniform(3.0, 9.0, (1600, 1, 3))
    drift = rng.exponential(0.08, (1600, 1, 1)) * (stray - [0.0, 0.0, MIDDLE]) / 8.0
    stray = stray + smoothstep(0.0, 0.35, t) * (0.09 * np.sin(phase + waves * t) + drift)
    # Beside the face: those that begin at the front and swing in over temple and cheek.
    front = np.flatnonzero((above < 2.0) & (combed[:, 0, 2] > 3.0) & (np.abs(combed[:, 0, 0]) > 1.0))
    wisp = combed[rng.choice(front, 900)].copy()
    y = wisp[..., 1]
    swing = rng.uniform(0.2, 0.75, (900, 1)) * smoothstep(8.5, 4.0, y) * smoothstep(-8.5, -2.0, y)
    wisp[..., 0] -= np.sign(wisp[..., 0]) * swing
    wisp[..., 2] += 0.5 * swing
    return np.concatenate([short, stray, wisp])


def _crop(scalp: _Scalp, roots: FloatArray, length: float, rng: np.random.Generator) -> FloatArray:
    """Short curled strands ``[n, 6, 3]`` that stand off the head, shorter towards the hairline and at the sides."""
    count = len(roots)
    _, normal = scalp.tangent_plane(roots)
    inside = above_hairline(roots, scalp.shape)
    top = smoothstep(4.5, 10.5, roots[:, 1])
    long = length * (0.25 + 0.75 * top) * (0.2 + 0.8 * smoothstep(-0.2, 2.8, inside)) * rng.uniform(0.6, 1.0, count)
    # Combed to the front and down, each hair in a direction of its own.
    lie = np.stack([0.35 * np.sign(roots[:, 0]), np.full(count, -0.25), np.full(count, 0.45)], -1)
    lie = lie + rng.normal(0, 0.55, (count, 3))
    lie -= normal * (lie * normal).sum(1, keepdims=True)
    across = np.cross(normal, lie)
    along = np.linspace(0.0, 1.0, 6)[None, :, None]
    turn = rng.uniform(0, 2 * np.pi, (count, 1, 1)) + rng.uniform(2.0, 4.5, (count, 1, 1)) * along
    curl = 0.16 * along * (np.cos(turn) * lie[:, None] + np.sin(turn) * across[:, None])
    straight = along * normal[:, None] * 0.75 + along**1.5 * lie[:, None] * 0.7
    return roots[:, None] + (straight + curl) * long[:, None, None]


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
