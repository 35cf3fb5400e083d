"""A shirt with a ribbed collar under an open jacket, or a sweater, lofted from a few torso rings."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from presenter.studio import materials
from presenter.studio.character import Clothes
from presenter.studio.geometry import FloatArray, smoothstep
from presenter.studio.nodes import add_mesh

RINGS = np.array([  # height, half width, half depth, centre z, squareness of the outline
    [-12.4, 5.7, 5.0, -0.9, 2.0], [-13.2, 6.4, 5.6, -0.8, 2.0], [-14.2, 8.4, 6.3, -0.8, 2.0],
    [-15.4, 12.0, 7.0, -0.8, 2.0], [-16.7, 15.6, 7.7, -0.9, 2.05], [-18.2, 18.4, 8.4, -1.0, 2.15],
    [-20.4, 20.2, 9.0, -1.0, 2.3], [-24.0, 21.2, 9.8, -1.0, 2.5], [-30.0, 21.8, 10.6, -1.0, 2.6],
    [-40.0, 22.0, 11.0, -1.0, 2.6],
])  # fmt: skip
LEVELS, AROUND = 90, 192
LAPEL_OPENING = ([-34, -22, -15.5, -13.5, -12.5], [0.2, 3.6, 6.1, 6.3, 6.0])
LAPEL_WIDTH = ([-30, -21, -19.2, -18.9, -17, -14.5, -13], [3.2, 5.0, 5.4, 3.7, 4.2, 3.6, 2.6])


def build_clothes(look: Clothes) -> None:
    """Add what is worn to the scene.

    Raises:
        ValueError: If its style is unknown.
    """
    if look.style not in ("jacket", "sweater"):
        raise ValueError(f"expected a style of clothes, jacket or sweater, got {look.style!r}")
    knitted = look.style == "sweater"
    shirt = materials.cloth("shirt", look.shirt, *((6.0, 0.75) if knitted else (10.0, 0.2)))
    body = _torso(look, 0.0)
    add_mesh("shirt", body.reshape(-1, 3), _grid_faces(LEVELS, AROUND, wrap=True), [shirt])
    collar = _collar(body[1], thickness=0.32 if knitted else 0.16)
    add_mesh("collar", collar.reshape(-1, 3), _tube_faces(*collar.shape[:2]), [shirt])
    if not knitted:
        _add_jacket(look)


def _add_jacket(look: Clothes) -> None:
    jacket = materials.cloth("jacket", look.jacket, 16.0)
    half = _jacket_half(look)
    for side in (1, -1):
        faces = _grid_faces(*half.shape[:2], wrap=False)
        mirrored = half * (side, 1, 1)
        thing = add_mesh("jacket", mirrored.reshape(-1, 3), [face[::side] for face in faces], [jacket])
        thickness = thing.modifiers.new("thickness", "SOLIDIFY")
        thickness.thickness, thickness.offset = 0.28, -1.0
        thing.modifiers.new("smooth", "SUBSURF").render_levels = 1


def _torso(look: Clothes, margin: float) -> FloatArray:
    """Surface points ``[LEVELS, AROUND, 3]``, grown outwards by ``margin``."""
    t = np.linspace(0, len(RINGS) - 1, LEVELS)
    rings = RINGS.copy()
    wider = np.interp(np.arange(len(rings)), [0, 1, 4], [look.neckline, look.neckline, look.shoulders])
    rings[:, 1:3] *= wider[:, None]
    height, half_width, half_depth, center_z, squareness = CubicSpline(np.arange(len(rings)), rings)(t).T[..., None]
    phi = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[None]
    c, s, power = np.cos(phi), np.sin(phi), 2.0 / squareness
    x = np.sign(c) * np.abs(c) ** power * (half_width + margin)
    z = np.sign(s) * np.abs(s) ** power * (half_depth + margin) + center_z
    neckline = -1.26 * smoothstep(0, 1, s) * smoothstep(3.2, 0, t[:, None]) + 0.7 * smoothstep(0, 1, -s) * smoothstep(
        3, 0, t[:, None]
    )
    return np.stack([x, height + look.rise + neckline + 0.25 * margin, z], -1)


def _collar(ring: FloatArray, thickness: float, sides: int = 14) -> FloatArray:
    """A tube ``[AROUND, sides, 3]`` along the neckline."""
    outward = (ring - ring.mean(0)) * (1, 0, 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    return (
        ring[:, None]
        + outward[:, None] * thickness * np.cos(angle)
        + np.array([0, 1, 0]) * (0.42 * np.sin(angle) + 0.12)
    )


def _jacket_half(look: Clothes, columns: int = 150) -> FloatArray:
    """The wearer's left half of the jacket with its lapel, ``[rows, columns, 3]``."""
    torso = _torso(look, 0.5)[6:]
    rows = []
    for ring in torso:
        height = ring[AROUND // 4, 1] - look.rise
        opening = np.interp(height, *LAPEL_OPENING)
        power = 2.0 / np.interp(
            ring[0, 1] - look.rise, [-40, -30, -24, -20.4, -18.2, -16.7], [2.6, 2.6, 2.5, 2.3, 2.15, 2.05]
        )
        end = np.arccos(min(1.0, (opening / np.abs(ring[:, 0]).max()) ** (1 / power)))
        phi = np.concatenate([np.linspace(-np.pi / 2, 0, 50)[:-1], np.linspace(0, end, columns - 49)])
        place = (phi % (2 * np.pi)) / (2 * np.pi) * AROUND
        index = np.floor(place).astype(int)
        part = (place - index)[:, None]
        rows.append(ring[index % AROUND] * (1 - part) + ring[(index + 1) % AROUND] * part)
    half = np.array(rows)
    from_edge = np.maximum(half[..., 0] - half[:, -1:, 0], 0)
    height = half[:, -1:, 1] - look.rise
    width = np.interp(height, *LAPEL_WIDTH)
    lapel = smoothstep(width + 0.12, width - 0.12, from_edge) * smoothstep(-0.5, 1.5, half[..., 2])
    half[..., 2] += lapel * (0.50 + 0.25 * smoothstep(0, 2.5, from_edge))
    half[..., 1] += lapel * 0.25 * smoothstep(-17, -14, height)
    return half


def _grid_faces(rows: int, columns: int, *, wrap: bool) -> list[list[int]]:
    last = columns if wrap else columns - 1
    return [
        [i * columns + j, i * columns + (j + 1) % columns, (i + 1) * columns + (j + 1) % columns, (i + 1) * columns + j]
        for i in range(rows - 1)
        for j in range(last)
    ]


def _tube_faces(rings: int, sides: int) -> list[list[int]]:
    return [
        [
            j * sides + k,
            (j + 1) % rings * sides + k,
            (j + 1) % rings * sides + (k + 1) % sides,
            j * sides + (k + 1) % sides,
        ]
        for j in range(rings)
        for k in range(sides)
    ]
