"""The head's geometry: an ICT-FaceKit identity, its blendshapes and a tongue that can articulate.

Coordinates are those of ICT-FaceKit: centimetres, x to the subject's left, y up, z towards the viewer.
Nothing here needs Blender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from presenter.studio.character import HeadShape

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

TONGUE_SHAPES = ("tongueRaise", "tongueForward")
"""Shapes this module adds to the ICT blendshapes, one centimetre at weight 1."""

# The 68 usual face landmarks as vertex numbers of the ICT-FaceKit topology.
LANDMARKS = np.array([
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081,
    0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966,
])  # fmt: skip
BROWS = (slice(17, 22), slice(22, 27))
EYES = (slice(36, 42), slice(42, 48))
OUTER_LIPS = slice(48, 60)
NOSE_TIP, NOSE_BASE, CHIN, LOWER_LIP = 30, 33, 8, 57


@dataclass(frozen=True)
class Part:
    """A contiguous piece of the ICT mesh: half-open ranges of vertices and of faces."""

    vertices: tuple[int, int]
    faces: tuple[int, int]


FACE = Part((0, 9409), (0, 9230))
SKIN = Part((0, 14062), (0, 14034))  # face, head and neck, mouth socket, eye sockets
MOUTH_SOCKET_FACES = (11144, 13226)
EYE_SOCKET_FACES = (13226, 14034)
GUMS = Part((14062, 17039), (14034, 17006))  # tongue included
TEETH = Part((17039, 21451), (17006, 21496))
EYEBALLS = ((21451, 22221), (23021, 23791))
TEAR_LINES = (Part((24591, 24795), (24692, 24855)), Part((24795, 24999), (24855, 25018)))
OUTER_HEAD_FACES = 11144


def smoothstep(low: float | FloatArray, high: float | FloatArray, x: FloatArray) -> NDArray[np.float64]:
    """Hermite step from 0 at ``low`` to 1 at ``high``; ``low > high`` gives a falling step."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def to_blender(points: FloatArray) -> NDArray[np.float32]:
    """Turn ICT coordinates ``[..., 3]`` (y up, z front) into Blender's (z up, -y front)."""
    p = np.asarray(points, np.float32)
    return np.stack([p[..., 0], -p[..., 2], p[..., 1]], -1)


class Head:
    """One synthetic person: rest vertices and everything that moves them.

    Args:
        path: ``ict_facekit.npz`` with ``neutral``, ``quads``, ``quad_uv``, ``uv``, ``expr_*`` and ``id_*`` arrays.
        shape: Whose head.
    """

    def __init__(self, path: Path, shape: HeadShape) -> None:
        self.shape = shape
        data = np.load(path, allow_pickle=True)
        self.quads: IntArray = data["quads"]
        self.quad_uv: IntArray = data["quad_uv"]
        self.uv: FloatArray = data["uv"]
        self._deltas = {str(name): delta for name, delta in zip(data["expr_names"], data["expr_delta"], strict=True)}
        coefficients = np.random.default_rng(shape.seed).normal(0.0, shape.spread, len(data["id_delta"]))
        for number, amount in shape.components:
            coefficients[number] += amount
        self.base = (data["neutral"] + np.tensordot(coefficients, data["id_delta"], 1)).astype(np.float32)
        _even_out(self.base, np.asarray(data["neutral"]), shape.evenness)
        _enlarge_eyes(self.base, shape.eyes)
        _slim_neck(self.base, shape.neck)
        _soften_jaw(self.base, shape.jaw)
        _tuck_ears(self.base, shape.ears)
        self.base += np.float32(shape.seal) * self._deltas["mouthClose"]
        self.landmarks = self.base[LANDMARKS]
        self._deltas.update(self._tongue_deltas())

    def faces(self, part: Part) -> list[list[int]]:
        """Polygons of ``part`` (3 or 4 corners), numbered from the part's first vertex."""
        start = part.vertices[0]
        return [[int(i) - start for i in face if i >= 0] for face in self.quads[slice(*part.faces)]]

    def face_uvs(self, part: Part) -> NDArray[np.float32]:
        """Texture coordinates ``[corners, 2]`` in the corner order of :meth:`faces`."""
        quads, corners = self.quads[slice(*part.faces)], self.quad_uv[slice(*part.faces)]
        return self.uv[corners[quads >= 0]].astype(np.float32)

    def tongue_mask(self) -> NDArray[np.float64]:
        """How much each vertex of ``GUMS`` belongs to the tongue, ``[2977]`` in 0..1."""
        x, y, z = self.base[slice(*GUMS.vertices)].T
        inside_arch = smoothstep(2.1, 1.5, np.abs(x)) * smoothstep(9.75, 9.25, z + 0.18 * x * x)
        is_lower_jaw = np.linalg.norm(self._deltas["jawOpen"][slice(*GUMS.vertices)], axis=1) > 1.0
        return inside_arch * smoothstep(-4.75, -4.35, y) * smoothstep(3.5, 5.0, z) * is_lower_jaw

    def posed(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Vertices ``[26719, 3]`` for blendshape ``weights``.

        Args:
            weights: Weight per shape. A name without ``_L``/``_R`` sets both sides; a name with a side overrides it.

        Raises:
            KeyError: A name is not a blendshape.
        """
        vertices = self.base.copy()
        for name, weight in split_sides(weights, self._deltas).items():
            vertices += np.float32(weight) * self._deltas[name]
        return vertices

    def _tongue_deltas(self) -> dict[str, NDArray[np.float32]]:
        part = slice(*GUMS.vertices)
        z = self.base[part, 2]
        tip = self.tongue_mask() * smoothstep(5.0, 9.0, z)
        raised, forward = np.zeros((2, *self.base.shape), np.float32)
        raised[part, 1] = tip
        forward[part, 2] = tip
        return dict(zip(TONGUE_SHAPES, (raised, forward), strict=True))


def split_sides(weights: Mapping[str, float], known: Mapping[str, object]) -> dict[str, float]:
    """Expand names without a side (``mouthSmile``) to both (``mouthSmile_L``, ``mouthSmile_R``)."""
    sided: dict[str, float] = {}
    for name, weight in weights.items():
        for full in (name,) if name in known else (f"{name}_L", f"{name}_R"):
            if full not in known:
                raise KeyError(f"no blendshape named {name}")
            sided[full] = sided.get(full, 0.0) + weight
    return sided


def _even_out(base: NDArray[np.float32], neutral: FloatArray, amount: float) -> None:
    """Move ``base`` towards its mirror image; some asymmetry keeps it human."""
    mirror = np.array([-1.0, 1.0, 1.0], np.float32)
    # Coincident vertices of different parts may swap partners here; they lie at the same place, so it does not matter.
    partner = cKDTree(neutral).query(neutral * mirror)[1]
    base += 0.5 * amount * (base[partner] * mirror - base)


def _enlarge_eyes(base: NDArray[np.float32], amount: float) -> None:
    for eye in EYES:
        away = base - (base[LANDMARKS[eye]].mean(0) - (0.0, 0.0, 1.3))
        radius = np.linalg.norm(away, axis=1, keepdims=True)
        base += away * amount * np.exp(-((radius / 2.9) ** 4))


_SLIM = 0.80  # the width that the limits below were made for


def _slim_neck(base: NDArray[np.float32], width: float) -> None:
    x, y, z = base.T
    behind_chin = z < 9.0
    x *= 1.0 - (1.0 - width) * smoothstep(-6.0, -11.0, y) * behind_chin * smoothstep(-21.0, -15.0, y)
    limit = np.interp(y, [-30, -15, -13, -11.5, -10], [4.0, 4.8, 5.4, 6.2, 30.0]) * (width / _SLIM)
    np.copyto(x, np.clip(x, -limit, limit), where=(y < -10) & behind_chin)
    # The model's bust would stick out of the clothes.
    np.copyto(z, np.clip(z, -5.0, np.interp(y, [-13.0, -11.5], [2.8, 6.5])), where=y < -11.5)


def _soften_jaw(base: NDArray[np.float32], width: float) -> None:
    y = base[:, 1]
    base[:, 0] *= 1.0 - (1.0 - width) * smoothstep(1.0, -5.0, y) * smoothstep(-12.0, -8.0, y)


def _tuck_ears(base: NDArray[np.float32], scale: float) -> None:
    x, y, z = base.T
    ear = smoothstep(-4.5, -3.5, y) * smoothstep(7.5, 6.5, y) * smoothstep(4.2, 3.4, z)
    excess = np.sign(x) * np.maximum(np.abs(x) - 7.2, 0.0)
    x -= (1.0 - scale) * excess * ear
