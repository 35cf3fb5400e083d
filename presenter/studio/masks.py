"""Texture maps and per-vertex weights that give the skin material where lips, brows, lids, blush and scalp are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, LinearNDInterpolator
from scipy.spatial import cKDTree

from presenter.studio.character import HeadShape
from presenter.studio.geometry import (
    BROWS,
    CHIN,
    EYES,
    FACE,
    LOWER_LIP,
    NOSE_BASE,
    NOSE_TIP,
    OUTER_LIPS,
    SKIN,
    FloatArray,
    Head,
    smoothstep,
)


def face_texture(head: Head, size: int = 1024) -> NDArray[np.float32]:
    """Draw the face's texture map ``[size, size, 4]``: red = lips, green = under the brows, blue = lid margins.

    Row 0 is v = 0, as Blender stores pixels.
    """
    positions = _position_map(head, size)
    x, y, z = np.moveaxis(positions, -1, 0)
    front = np.nan_to_num(positions[..., :2], nan=99.0)
    lips = _lip_distance(head, x, y, z)
    grain = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, (size, size)), (0, 0), 4)
    lips = smoothstep(-0.10, 0.14, lips + 0.025 * grain / grain.std())
    brows = np.zeros((size, size))
    for brow in BROWS:
        distance = _distance_to(CubicSpline(np.arange(5), head.landmarks[brow, :2])(np.linspace(0, 4, 60)), front)
        brows = np.maximum(brows, smoothstep(0.75, 0.10, distance) * (z > 4))
    lids = np.zeros((size, size))
    for eye in EYES:
        distance = _distance_to(closed_curve(head.landmarks[eye, :2], 120), front)
        lids = np.maximum(lids, smoothstep(0.55, 0.05, distance) * (z > 4))
    return np.stack([lips, brows, lids, np.ones_like(lips)], -1).astype(np.float32)


def blush(head: Head) -> NDArray[np.float64]:
    """Redness of cheeks, nose, ears and chin per skin vertex, 0..1.2."""
    points, marks = head.base[slice(*SKIN.vertices)], head.landmarks
    x, y, z = points.T
    cheek_y = (marks[NOSE_BASE, 1] + marks[EYES[0].start, 1]) / 2 - 0.5
    cheeks = np.exp(-(((np.abs(x) - 4.6) / 1.9) ** 2) - ((y - cheek_y) / 1.5) ** 2) * (z > 3)
    nose = np.exp(-((np.linalg.norm(points - marks[NOSE_TIP], axis=1) / 1.5) ** 2))
    chin = np.exp(-((np.linalg.norm(points - marks[CHIN], axis=1) / 2.2) ** 2))
    ears = smoothstep(6.6, 8.2, np.abs(x)) * (z < 3) * (y > -3) * (y < 6)
    return np.clip(cheeks + 0.8 * nose + 0.7 * ears + 0.35 * chin, 0.0, 1.2)


def eye_shade(head: Head) -> NDArray[np.float64]:
    """Darker, cooler skin around the eyes per skin vertex, 0..1."""
    x, y, z = head.base[slice(*SKIN.vertices)].T
    shade = np.zeros(len(x))
    for eye in EYES:
        cx, cy, _ = head.landmarks[eye].mean(0)
        shade += np.exp(-(((x - cx) / 2.0) ** 2) - ((y - cy + 0.5) / 1.2) ** 2) * (z > 3)
    return np.clip(shade, 0.0, 1.0)


def beard(head: Head) -> NDArray[np.float64]:
    """Where a beard grows per skin vertex, 0..1: upper lip, chin, jaw and the front of the neck."""
    points, marks = head.base[slice(*SKIN.vertices)], head.landmarks
    x, y, z = points.T
    out = np.abs(x)
    # Its upper limit: under the nose in the middle, below the cheeks, rising to the ears.
    nose, mouth = marks[NOSE_BASE, 1], marks[OUTER_LIPS.start, 1]
    limit = np.interp(out, [0, 1.8, 3.2, 5.2, 6.8, 7.6], [nose - 0.2, nose - 0.35, mouth + 0.1, mouth + 0.3, 1.0, 2.6])
    neck = marks[CHIN, 1]
    return smoothstep(limit + 0.5, limit - 0.8, y) * smoothstep(neck - 3.5, neck - 0.5, y) * smoothstep(0.5, 2.5, z)


def above_hairline(points: FloatArray, shape: HeadShape) -> FloatArray:
    """Signed height of ``points [..., 3]`` above the hairline in centimetres; positive where hair grows.

    Args:
        points: Where.
        shape: Whose; a hairline that lies higher does so twice as much beside the middle of the forehead.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    forehead = np.interp(
        np.abs(x), [0, 1.5, 3, 4.5, 5.5, 6.3, 6.9, 7.4], [10.45, 10.4, 10.15, 9.45, 8.4, 6.9, 5.2, 3.6]
    )
    forehead = forehead + shape.hairline * np.interp(np.abs(x), [0, 2, 4.2, 6.0], [1.0, 1.2, 2.0, 0.0])
    forehead = forehead - shape.sideburns * smoothstep(5.5, 6.8, np.abs(x))
    sides = np.interp(z, [-9, -5.5, -4, -2.5, 1.6, 3.0, 4.0], [-4.0, -3.0, 2.0, 6.2, 6.2, 5.2, 4.6]) - shape.sideburns
    return y - sides - (forehead - sides) * smoothstep(2.2, 4.6, z)


def closed_curve(points: FloatArray, samples: int) -> NDArray[np.float64]:
    """A smooth closed curve ``[samples, d]`` through ``points``."""
    ring = np.vstack([points, points[:1]])
    curve = CubicSpline(np.arange(len(ring)), ring, bc_type="periodic")
    return np.asarray(curve(np.linspace(0, len(points), samples, endpoint=False)))


def _position_map(head: Head, size: int) -> NDArray[np.float32]:
    """Surface point under each texel of the face's texture tile; NaN outside it."""
    faces = slice(*FACE.faces)
    uv, first = np.unique(head.uv[head.quad_uv[faces].ravel()], axis=0, return_index=True)
    points = head.base[head.quads[faces].ravel()][first]
    grid = (np.arange(size) + 0.5) / size
    return np.asarray(LinearNDInterpolator(uv, points)(*np.meshgrid(grid, grid)), np.float32)


def _distance_to(curve: FloatArray, points: FloatArray) -> FloatArray:
    return np.asarray(cKDTree(curve).query(points)[0])


def _lip_distance(head: Head, x: FloatArray, y: FloatArray, z: FloatArray) -> FloatArray:
    """Signed distance (cm, frontal plane) to the outer lip line: positive on the lips, -9 far away."""
    per_cm = 160
    outline = closed_curve(head.landmarks[OUTER_LIPS, :2], 240)
    origin = outline.min(0) - 1.0
    width, height = np.ceil((outline.max(0) + 1.0 - origin) * per_cm).astype(int)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [((outline - origin) * per_cm).round().astype(np.int32)], 1)
    signed = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    marks = head.landmarks
    near = (np.abs(x) < 4.5) & (y < marks[NOSE_BASE, 1] - 0.3) & (y > marks[LOWER_LIP, 1] - 1.5) & (z > 4)
    rows = np.clip((y[near] - origin[1]) * per_cm, 0, height - 1).astype(int)
    columns = np.clip((x[near] - origin[0]) * per_cm, 0, width - 1).astype(int)
    distance = np.full(x.shape, -9.0)
    distance[near] = signed[rows, columns] / per_cm
    return distance
