"""Brows and lashes: strands that follow the face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, LinearNDInterpolator
from scipy.spatial import cKDTree

from presenter.studio import materials
from presenter.studio.character import Brows, Character
from presenter.studio.geometry import BROWS, EYES, FACE, FloatArray, Head
from presenter.studio.nodes import Shader, add_strands, move_strands


class FaceStrands:
    """Strands rooted on the face: they move with the nearest skin vertices.

    Args:
        head: Whose face.
        name: Object name.
        points: Strand points ``[strands, k, 3]``, root first.
        radius: Root radius ``[strands]``.
        shader: Hair material.
        blink_fold: How far each strand swings down when the eyes close, ``[strands]``; 0 for none.
    """

    def __init__(
        self,
        head: Head,
        name: str,
        points: FloatArray,
        radius: FloatArray,
        shader: Shader,
        blink_fold: FloatArray | None = None,
    ) -> None:
        distance, self._anchors = cKDTree(head.base[slice(*FACE.vertices)]).query(points[:, 0], k=6)
        weights = 1.0 / (distance + 0.05) ** 2
        self._weights = weights / weights.sum(1, keepdims=True)
        self._base, self._points = head.base, points
        self._fold = np.zeros(len(points)) if blink_fold is None else blink_fold
        self._thing = add_strands(name, points, radius, shader, tip=0.22)

    def follow(self, vertices: FloatArray, weights: Mapping[str, float]) -> None:
        """Move with the head's ``vertices``; ``weights`` give the amount of blink."""
        shift = (vertices - self._base)[self._anchors]
        root = self._points[:, :1] + (shift * self._weights[..., None]).sum(1)[:, None]
        along = self._points - self._points[:, :1]
        along[..., 1] *= 1.0 - self._fold[:, None] * weights.get("eyeBlink", 0.0)
        move_strands(self._thing, root + along)


def build_brows(head: Head, character: Character) -> FaceStrands:
    """Two brows of short flat hairs."""
    rng = np.random.default_rng(7)
    front = head.base[slice(*FACE.vertices)]
    front = front[(front[:, 2] > 4) & (front[:, 1] > 2) & (front[:, 1] < 10)]
    depth = LinearNDInterpolator(front[:, :2], front[:, 2])
    look, hair = character.brows, character.hair
    strands = np.concatenate(
        [_brow(head.landmarks[brow, :2], side, depth, rng, look) for side, brow in zip((-1, 1), BROWS, strict=True)]
    )
    shader = materials.hair("brow hair", hair.melanin, hair.redness * 0.6, 0.6, 0.35)
    return FaceStrands(head, "brows", strands, look.thickness * rng.uniform(0.005, 0.010, len(strands)), shader)


def build_lashes(head: Head, look: Brows) -> FaceStrands:
    """Upper and lower lashes."""
    rng = np.random.default_rng(8)
    strands: list[FloatArray] = []
    upper: list[bool] = []
    for eye in EYES:
        corners = head.landmarks[eye]
        for margin, count, is_upper in ((corners[:4], 120, True), (np.vstack([corners[3:], corners[:1]]), 36, False)):
            strands.append(_lashes(margin, corners.mean(0), count, is_upper, rng, look.lashes))
            upper += [is_upper] * count
    is_upper_strand = np.array(upper)
    shader = materials.hair("lash hair", 1.0, 0.0, 0.6, 0.0)
    radius, fold = look.lashes * np.where(is_upper_strand, 0.012, 0.006), np.where(is_upper_strand, 1.7, 0.0)
    return FaceStrands(head, "lashes", np.concatenate(strands), radius, shader, fold)


def _brow(
    landmarks: FloatArray, side: int, depth: LinearNDInterpolator, rng: np.random.Generator, look: Brows
) -> FloatArray:
    line = (landmarks if side > 0 else landmarks[::-1]).copy()  # inner to outer
    count = look.count
    line[:, 1] += look.lift + look.arch * np.array([-0.12, -0.08, -0.05, 0.18, 0.45])
    line[:, 0] *= 1.0 + look.inset * np.array([0.04, 0.02, -0.01, -0.05, -0.10])
    curve = CubicSpline(np.arange(5), line)
    # Sparse where a brow begins, above the nose, and where it ends: an even density looks drawn.
    t = 3.45 * rng.beta(1.35, 1.25, count)
    tangent = curve(t, 1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    across *= np.sign(across[:, 1:])
    width = look.width * np.interp(t, [0, 0.5, 2, 2.8, 3.45], [0.75, 1.05, 0.95, 0.6, 0.25])
    offset = np.clip(rng.normal(0, 0.52, count), -1.3, 1.3)
    root = curve(t) + across * (offset * width)[:, None]
    lift = np.interp(t, [0, 0.8, 2, 4], [1.2, 0.55, 0.2, 0.0]) - offset * 0.45
    direction = tangent + across * lift[:, None]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction += rng.normal(0, 0.12, direction.shape)
    length = rng.uniform(0.5, 0.95, count) * np.interp(t, [0, 1, 4], [0.8, 1, 0.5])
    along = np.linspace(0.0, 1.0, 7)
    flat = root[:, None] + direction[:, None] * (length[:, None] * along)[..., None]
    flat[..., 1] -= 0.07 * along**2
    strands = np.concatenate([flat, (depth(flat) + 0.02 + 0.07 * np.sin(np.pi * along))[..., None]], -1)
    return strands[np.isfinite(strands).all((1, 2))]


def _lashes(
    margin: FloatArray, eye_center: FloatArray, count: int, is_upper: bool, rng: np.random.Generator, longer: float
) -> NDArray[np.float64]:
    curve = CubicSpline(np.arange(len(margin)), margin)
    root = curve(rng.uniform(0.12, len(margin) - 1.05, count))
    outward = np.sign(eye_center[0])
    outer = outward * (root[:, 0] - eye_center[0]) / 1.4  # -1 at the nose, 1 at the temple
    up = 1.0 if is_upper else -1.0
    direction = np.stack([outward * (0.15 + 0.55 * outer), np.full(count, 0.35 * up), np.ones(count)], -1)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction += rng.normal(0, 0.09, direction.shape)
    length = longer * (0.52 if is_upper else 0.16) * rng.uniform(0.7, 1.1, count) * (0.8 + 0.3 * np.clip(outer, -1, 1))
    along = np.linspace(0.0, 1.0, 6)
    strands = root[:, None] + direction[:, None] * (length[:, None] * along)[..., None]
    strands[..., 1] += up * 0.40 * length[:, None] * along**2
    return np.asarray(strands)
