"""The mouth's inside as geometry: teeth, gums and tongue of ICT-FaceKit, as relief maps in the mesh's canonical space.

Run by `presenter train interior`; writes what `models.mouth_interior` draws. A relief is the geometry seen from the
front: what is there, how it is lit and how far back it lies, which is all that a mouth shows of its inside.
ICT-FaceKit is MIT-licensed (Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from models.mesh import topology
from models.mouth_interior import ASSET, ORIGIN, PIXELS_PER_UNIT, RELIEF_SHAPE
from presenter.studio.character import HeadShape
from presenter.studio.geometry import GUMS, LANDMARKS, TEETH, Head, Part

_FINER = 4  # drawn so much larger, then averaged
# Landmarks of the usual 68, and the mesh's vertices at the same places.
_USUAL = [36, 39, 42, 45, 27, 30, 33, 48, 54, 60, 64, 62, 66, 8]
_VERTICES = [33, 133, 362, 263, 168, 4, 2, 61, 291, 78, 308, 13, 14, 152]
_LIGHT = np.array([-0.15, -0.45, -0.88]) / np.linalg.norm([-0.15, -0.45, -0.88])
_FIXED = 0.05  # centimetres: what the jaw moves less belongs to the skull
_TONGUE = 0.3  # of a tongue's mask: below is gum
_FARTHEST = 0.5  # canonical z: what lies behind is palate and throat, which are dark

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class InteriorReliefs:
    """Settings of the step.

    Attributes:
        geometry: `ict_facekit.npz`.
        out: File to write.
    """

    geometry: Path
    out: Path = ASSET


def build_interior(settings: InteriorReliefs) -> None:
    """Draw the reliefs of the mean head and write them."""
    head = Head(settings.geometry, HeadShape(seed=0, spread=0.0))
    points = _canonical(head)
    drop = np.linalg.norm(head.posed({"jawOpen": 1.0}) - head.posed({}), axis=1)
    tongue = np.zeros(len(points))
    tongue[slice(*GUMS.vertices)] = head.tongue_mask()
    tensors: dict[str, NDArray[Any]] = {}
    for name, jaw in (("upper", False), ("lower", True)):
        moved = (drop > _FIXED) == jaw
        layers = [(part, moved & (tongue < _TONGUE)) for part in (GUMS, TEETH)]
        tensors |= _relief(name, head, points, layers)
    tensors |= _relief("tongue", head, points, [(GUMS, tongue >= _TONGUE)])
    _continue_down(tensors["tongue"])
    save_file(tensors, settings.out, metadata={"source": "ICT-FaceKit", "license": "MIT"})


def _canonical(head: Head) -> Floats:
    """The head's vertices in the mesh's canonical space: a similarity, fitted to landmarks that both have."""
    wanted = topology().reference[_VERTICES].astype(np.float64)
    given = head.base[LANDMARKS[_USUAL]].astype(np.float64)
    a, b = given - given.mean(0), wanted - wanted.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (singular * np.diag(sign)).sum() / np.square(a).sum()
    return np.asarray(scale * (head.base - given.mean(0)) @ (u @ sign @ vt).T + wanted.mean(0))


def _relief(
    name: str, head: Head, points: Floats, layers: list[tuple[Part, NDArray[np.bool_]]]
) -> dict[str, NDArray[Any]]:
    """`NAME` `[H, W, 3]`: opacity, share of tooth and shade in 0..255; `NAME.depth` `[H, W]`, canonical z."""
    height, width = RELIEF_SHAPE[0] * _FINER, RELIEF_SHAPE[1] * _FINER
    picture, depth = np.zeros((height, width, 3), np.float32), np.full((height, width), np.inf, np.float32)
    for part, wanted in layers:
        for polygon in head.faces(part):
            corners = np.array(polygon) + part.vertices[0]
            p = points[corners]
            if not wanted[corners].all() or p[:, 2].max() > _FARTHEST:
                continue
            normal = np.cross(p[1] - p[0], p[2] - p[0])
            normal /= np.linalg.norm(normal) + 1e-9
            normal *= -np.sign(normal[2]) or 1.0
            shade = 0.35 + 0.65 * max(float(normal @ _LIGHT), 0.0)
            pixels = (p[:, :2] - ORIGIN) * PIXELS_PER_UNIT * _FINER
            area = np.zeros((height, width), np.uint8)
            low, high = np.floor(pixels.min(0)).astype(int), np.ceil(pixels.max(0)).astype(int) + 1
            low, high = np.maximum(low, 0), np.minimum(high, [width, height])
            if (high <= low).any():
                continue
            box = np.s_[low[1] : high[1], low[0] : high[0]]
            patch = np.ascontiguousarray(area[box])
            cv2.fillConvexPoly(patch, np.rint((pixels - low) * 16).astype(np.int32), 1, 8, 4)
            nearer = (patch > 0) & (p[:, 2].mean() < depth[box])
            picture[box][nearer] = 255, 255 * (part == TEETH), 255 * shade
            depth[box][nearer] = p[:, 2].mean()
    size = RELIEF_SHAPE[::-1]
    weight = (picture[..., 0] > 0).astype(np.float32)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    averaged = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    averaged[..., 1:] /= np.maximum(share, 1e-6)[..., None]
    averaged[..., 1] *= _teeth_alone(averaged[..., 1])
    far = cv2.resize(np.where(weight > 0, depth, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    profile = _profile(far / np.maximum(share, 1e-6), share)
    return {name: np.clip(averaged + 0.5, 0, 255).astype(np.uint8), f"{name}.depth": profile}


def _teeth_alone(tooth: Floats) -> NDArray[np.bool_]:
    """Where the row of teeth is `[H, W]`: tips of roots that show through the gum are no teeth."""
    _, labels, about, _ = cv2.connectedComponentsWithStats((tooth > 0).astype(np.uint8))
    row = 1 + int(np.argmax(about[1:, cv2.CC_STAT_AREA])) if len(about) > 1 else 0
    kept: NDArray[np.bool_] = labels == row
    return kept


def _continue_down(relief: NDArray[np.uint8]) -> None:
    """Fill every column below its first pixel, in place: the tongue's root, which no lower row of teeth may uncover."""
    for row in range(1, len(relief)):
        empty = relief[row, :, 0] < relief[row - 1, :, 0]
        relief[row, empty] = relief[row - 1, empty]


def _profile(depth: Floats, share: Floats) -> NDArray[np.float32]:
    """Canonical z of the frontmost surface in each column `[W]`, smoothed; continued where there is none."""
    columns = np.where(share > 0.5, depth, np.inf).min(0)
    known = np.isfinite(columns)
    x = np.arange(len(columns))
    filled = np.interp(x, x[known], columns[known]).astype(np.float32)
    filled = (filled + filled[::-1]) / 2
    smooth: NDArray[np.float32] = cv2.GaussianBlur(filled[None], (0, 0), 3)[0]
    return smooth
