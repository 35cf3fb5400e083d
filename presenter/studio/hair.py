"""Scalp hair, strand by strand, combed back into a knot behind the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from presenter.studio import materials
from presenter.studio.geometry import OUTER_HEAD_FACES, FloatArray, Head, smoothstep
from presenter.studio.masks import above_hairline
from presenter.studio.nodes import add_strands

KNOT = np.array([0.3, 12.6, -7.2])
"""Where the hair is tied, high on the back of the head."""
KNOT_RADIUS = 2.5
CLEARANCE = 0.16
"""Least height of hair over the estimated scalp, in centimetres; lower, the skin would show through in patches."""
ROUNDS_PER_STRAND = 22


def build_scalp_hair(head: Head, palette: materials.Palette, count: int = 36000) -> None:
    """Add hair combed from the hairline back to ``KNOT``."""
    rng = np.random.default_rng(11)
    scalp = _Scalp.of(head)
    roots = scalp.sample_roots(count, rng)
    strands = _comb(scalp, roots, rng)
    strands = np.concatenate([_clump(strands, rng), _knot(rng)])
    shader = materials.hair("scalp hair", palette.hair_melanin, palette.hair_redness, 0.30, 0.30)
    add_strands("scalp hair", strands, rng.uniform(0.013, 0.022, len(strands)), shader, tip=0.6)


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
    """Grow strands over the surface from the hairline back to the knot."""
    count, length = len(roots), 15.0
    depth_in_hair = np.clip(above_hairline(roots), 0.0, None)
    top = smoothstep(7.0, 10.5, roots[:, 1])
    thickness = rng.random(count) ** 0.8 * (0.38 + 0.60 * top)
    # A loose wave lifts whole locks a little, so that the outline is not a helmet's.
    thickness *= 1.0 + 0.22 * np.sin(1.9 * roots[:, 0] + 0.6) * np.sin(1.1 * roots[:, 0] + 2.0)
    side = np.tanh(roots[:, 0] / 3.0)
    points, strand = roots.copy(), [roots]
    for round_ in range(ROUNDS_PER_STRAND):
        grown = length * round_ / ROUNDS_PER_STRAND
        height, normal = scalp.tangent_plane(points)
        direction = KNOT - points
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        direction += np.stack(
            [side * 0.55 * top * np.exp(-grown / 5.0), 0 * top, -0.35 * np.exp(-grown / 5.0) * (1 - top)], -1
        )
        direction -= normal * (direction * normal).sum(1, keepdims=True)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
        arrived = np.linalg.norm(points - KNOT, axis=1) < 2.5
        points = points + direction * np.where(arrived, 0.02, length / ROUNDS_PER_STRAND)[:, None]
        rise = smoothstep(0.0, 3.0, depth_in_hair * 0.8 + grown)
        height, normal = scalp.tangent_plane(points)
        points = points + normal * (CLEARANCE + thickness * rise - height)[:, None]
        strand.append(points)
    return np.stack(strand, 1)


def _clump(strands: FloatArray, rng: np.random.Generator, clumps: int = 650) -> FloatArray:
    """Gather strands into comb marks and let a few of them stray."""
    count, k, _ = strands.shape
    leaders = rng.choice(count, clumps, replace=False)
    middle = strands[:, 8]
    nearest = cKDTree(middle[leaders]).query(middle)[1]
    t = np.linspace(0.0, 1.0, k)[None, :, None]
    pull = 0.30 * smoothstep(0.35, 0.9, t) * rng.uniform(0.3, 1.0, (count, 1, 1))
    gathered = strands * (1 - pull) + strands[leaders][nearest] * pull
    stray = rng.exponential(0.035, (count, 1, 1)) * rng.normal(0, 1, (count, 1, 3))
    return gathered + stray * np.sin(t * rng.uniform(2.0, 7.0, (count, 1, 1)))


def _knot(rng: np.random.Generator, count: int = 5000) -> FloatArray:
    """The knot itself: locks wound around a tilted axis, ``[count, ROUNDS_PER_STRAND + 1, 3]``."""
    lock = rng.integers(0, 9, count)
    turn = 2 * np.pi * rng.random((count, 1)) + np.linspace(0.0, 1.9, ROUNDS_PER_STRAND + 1)
    latitude = (-1.1 + 0.27 * lock + rng.normal(0, 0.08, count))[:, None] + 0.22 * np.sin(turn + lock[:, None])
    # Each lock is a ridge: full in its middle, hollow between neighbours.
    radius = KNOT_RADIUS * (1.0 - 0.09 * rng.random((count, 1)) + 0.05 * np.sin(3 * turn + 2.1 * lock[:, None]))
    ball = (
        np.stack([np.cos(latitude) * np.cos(turn), np.sin(latitude), np.cos(latitude) * np.sin(turn)], -1)
        * radius[..., None]
    )
    tilt = 0.5
    rotation = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    center = KNOT + np.array([0.0, 2.0, -0.4])
    return np.asarray(center + ball @ rotation.T * (1.12, 0.95, 1.0) + rng.normal(0, 0.05, (count, 1, 3)))
