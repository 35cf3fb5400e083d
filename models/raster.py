"""Rasterising the mesh: white shaded render, mouth-interior mask and the reference warped through it.

Inside one triangle everything that is interpolated is affine in the pixel position, so a picture of
triangle numbers is all that has to be drawn; shade and source position follow from it per pixel.
`MeshRasteriser` draws that picture with OpenCV, for a CPU; for a GPU see `models.device.mesh_planes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import FACE_OVAL, INNER_LIP_RING, LIPS, NUM_VERTICES, OUTER_LIP_RING, Floats, Ints, topology

RING_SCALE = 1.5  # how far outside the face oval the warp has faded to nothing
_RING_CENTRE = np.array([0.0, 0.7, 0.2], np.float32)
LIGHT = np.array([-0.25, -0.35, -0.9], np.float32) / np.linalg.norm([-0.25, -0.35, -0.9])
_SUBPIXEL_BITS = 4
_FACE, _MOUTH, _RING = 0, 1, 2
_RIM, _AROUND = 0.05, 0.4  # of the way from the rim to the lips, between which references appear
# Outside the ring the reference is not moved: source x = x, source y = y, shade = 0.
_UNMOVED = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, _RING]], np.float32)[:, None]
_NOWHERE = np.zeros_like(_UNMOVED)
_UNMOVED_TWICE = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]], np.float32)[:, None]


MIXED = 3
"""So many references are mixed at the most."""


class Mix(NamedTuple):
    """Crops of one face that are warped onto the same mesh and mixed.

    The first lies behind: it is shown where the face ends, and what the others show of the mouth fades into it.
    """

    pictures: list[NDArray[np.uint8]]
    """One, or that and `MIXED`, `[S, S, 3]` each."""
    sources: list[Floats]
    """The extended mesh in each `[514, 3]`."""
    weights: Floats
    """How much of each but the first, by colour `[MIXED, 3]`."""
    gap: float
    """How far the widest mouth is open that they show, pixels."""
    own: float = 1.0
    """How much of what is mixed is the first again."""

    @classmethod
    def of_one(cls, picture: NDArray[np.uint8], source: Floats, gap: float = 0.0) -> Mix:
        """A single crop."""
        return cls([picture], [source], np.zeros((0, 3), np.float32), gap)


@dataclass(frozen=True, eq=False)
class WarpMesh:
    """The face mesh, closed over the mouth and continued to a ring of fixed points around the face.

    The ring lets skin below the chin stretch instead of tearing where the face mesh ends.

    Attributes:
        triangles: Vertex indices `[N, 3]` into 478 face vertices followed by the ring.
            The face comes first, then the mouth opening, then the ring.
        num_face: How many triangles are the face.
        num_mouth: How many close the mouth opening.
    """

    triangles: Ints
    num_face: int
    num_mouth: int


def warp_mesh() -> WarpMesh:
    """Build the triangles of the extended mesh."""
    ring = list(INNER_LIP_RING)
    upper, lower = ring[:11], [ring[0], *ring[:10:-1], ring[10]]
    mouth = []
    for i in range(10):
        mouth += [(upper[i], upper[i + 1], lower[i]), (upper[i + 1], lower[i + 1], lower[i])]
    mouth = [t for t in mouth if len(set(t)) == 3]
    count = len(FACE_OVAL)
    outside = []
    for i in range(count):
        j = (i + 1) % count
        a, b, c, d = FACE_OVAL[i], FACE_OVAL[j], NUM_VERTICES + i, NUM_VERTICES + j
        outside += [(a, b, c), (b, d, c)]
    # The topology closes the mouth with triangles of its own, which would be drawn as skin over the opening.
    face = topology().triangles
    face = face[~np.isin(face, ring).all(1)]
    triangles = np.concatenate([face, np.array(mouth), np.array(outside)])
    return WarpMesh(triangles, len(face), len(mouth))


def ring_points(neutral: Floats) -> Floats:
    """The fixed points around the face `[36, 3]`, from a neutral canonical mesh `[478, 3]`."""
    oval = neutral[FACE_OVAL]
    return (_RING_CENTRE + RING_SCALE * (oval - _RING_CENTRE)).astype(np.float32)


def vertex_shade(vertices: Floats, triangles: Ints) -> Floats:
    """Lambert shade of each vertex `[V]`, 0.1..1, for `vertices [V, 3]` in pixels; 0 is left for "no face"."""
    first = vertices[triangles[:, 0]]
    (ax, ay, az), (bx, by, bz) = (np.transpose(vertices[triangles[:, k]] - first) for k in (1, 2))
    normals = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    summed = np.stack([np.bincount(triangles.ravel(), np.repeat(n, 3), len(vertices)) for n in normals], -1)
    length = np.linalg.norm(summed, axis=-1, keepdims=True) + 1e-6
    return (0.1 + 0.9 * np.clip(summed / length @ LIGHT, 0.0, 1.0)).astype(np.float32)


class Drawn(NamedTuple):
    """A rasterised mesh, zero outside the rasteriser's region."""

    shade: NDArray[np.uint8]
    """`[S, S]`."""
    interior: NDArray[np.uint8]
    """255 where the mouth is open `[S, S]`."""
    warped: NDArray[np.uint8]
    """The reference, moved by linear interpolation `[S, S, 3]`."""
    positions: tuple[Floats, Floats]
    """Where in the reference each pixel of the region comes from: columns and rows `[h, w]`."""
    region: tuple[slice, slice]
    behind: tuple[NDArray[np.uint8], Floats] | None = None
    """Of a mix: the first crop alone `[h, w, 3]`, and how much of it is seen `[h, w]`."""

    def moved(self, picture: Floats) -> Floats:
        """Another picture `[S, S, 3]` moved in the same way, by cubic interpolation, which keeps its texture.

        Of a mix, it takes the first crop's place in it.
        """
        moved = np.zeros((*self.shade.shape, 3), np.float32)
        there = cv2.remap(picture, *self.positions, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if self.behind is not None:
            behind, seen = self.behind
            there = self.warped[self.region] + seen[..., None] * (there - behind)
        moved[self.region] = there
        return moved


class MeshRasteriser:
    """Draws the extended mesh into a square picture on the CPU.

    Args:
        size: Side of the picture in pixels.
        region: `(top, bottom, left, right)`, the only part that is drawn; the rest stays zero.
    """

    def __init__(self, size: int, region: tuple[int, int, int, int]) -> None:
        self.size = size
        self.region = region
        mesh = warp_mesh()
        self._triangles = mesh.triangles
        self._num_face, self._num_inner = mesh.num_face, mesh.num_face + mesh.num_mouth
        top, bottom, left, right = region
        self._ids = np.zeros((bottom - top, right - left), np.int32)
        # New ones of this size cost as much as the work.
        self._buffers = np.zeros((3, *self._ids.shape, _UNMOVED.shape[-1]), np.float32)
        x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
        self._x, self._y = (np.repeat(axis[..., None], _UNMOVED.shape[-1], -1) for axis in (x, y))

    def draw(self, vertices: Floats, source: Floats, reference: NDArray[np.uint8]) -> Drawn:
        """Render the mesh and warp the reference through it.

        Args:
            vertices: Where the extended mesh goes `[478 + 36, 3]`, pixels of this picture.
            source: Where the same vertices lie in the reference `[478 + 36, 3]`.
            reference: The picture to warp `[S, S, 3]`.
        """
        return self.draw_mix(vertices, Mix.of_one(reference, source))

    def draw_mix(self, vertices: Floats, mix: Mix) -> Drawn:
        """`draw` with several references, each warped onto the mesh `vertices [478 + 36, 3]`."""
        top, bottom, left, right = self.region
        order = self._visible(vertices)
        corners = vertices[self._triangles[order], :2]
        ids = self._draw_ids(corners)
        shades = vertex_shade(vertices, self._triangles[: self._num_face])
        first = np.column_stack([mix.sources[0][:, :2], 255 * shades, np.zeros_like(shades)])
        values = first[self._triangles[order]]
        # A row of four numbers per triangle, the last one its kind: rows of three take three times as long to look up.
        planes = _planes(corners, values)
        planes[2, :, 3] = np.digitize(order, [self._num_face, self._num_inner])
        source_x, source_y, shade, kinds = self._per_pixel(np.concatenate([planes, _UNMOVED], 1), ids)
        shaded = np.zeros((self.size, self.size), np.uint8)
        inside = np.zeros_like(shaded)
        warped = np.zeros((self.size, self.size, 3), np.uint8)
        region = np.s_[top:bottom, left:right]
        shaded[region] = np.clip(shade, 0, 255) * (kinds == _FACE)
        inside[region] = (kinds == _MOUTH) * np.uint8(255)
        shown, behind = _moved(mix.pictures[0], source_x, source_y), None
        if len(mix.pictures) > 1:
            values = np.column_stack([*(source[:, :2] for source in mix.sources[1:]), mouth_share(), shades])
            *places, share, _ = [
                plane
                for first in (0, 4)
                for plane in self._per_pixel(
                    np.concatenate([_planes(corners, values[self._triangles[order], first : first + 4]), _NOWHERE], 1),
                    ids,
                )
            ]
            behind = shown, 1 - (1 - mix.own) * share
            shown = _mixed(mix, shown, places, share)
        warped[region] = shown
        return Drawn(shaded, inside, warped, (source_x, source_y), region, behind)

    def warp(self, vertices: Floats, *looks: tuple[Floats, NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Warp one or two pictures through the mesh to the same place; two cost little more than one.

        Args:
            vertices: Where the extended mesh goes `[478 + 36, 3]`, pixels of this picture.
            looks: Where the same vertices lie in a picture `[478 + 36, 3]`, and the picture `[S, S, 3]`.

        Returns:
            Each as large as the region `[H, W, 3]`.
        """
        order = self._visible(vertices)
        triangles = self._triangles[order]
        corners = vertices[triangles, :2]
        values = np.concatenate([looks[k][0][triangles, :2] for k in (0, -1)], -1)
        maps = self._per_pixel(np.concatenate([_planes(corners, values), _UNMOVED_TWICE], 1), self._draw_ids(corners))
        return [_moved(looks[k][1], maps[2 * k], maps[2 * k + 1]) for k in range(len(looks))]

    def _per_pixel(self, planes: Floats, ids: NDArray[np.int32]) -> Sequence[NDArray[np.float32]]:
        """Four values of each pixel `[H, W]`, from the planes of triangles `[3, N, 4]`."""
        for plane, looked_up in zip(planes, self._buffers, strict=True):
            np.take(plane, ids, 0, looked_up, "clip")
        slope_x, slope_y, summed = self._buffers
        cv2.accumulateProduct(slope_x, self._x, summed)
        cv2.accumulateProduct(slope_y, self._y, summed)
        return cv2.split(summed)

    def _visible(self, vertices: Floats) -> Ints:
        """The triangles that touch the region, far to near."""
        top, bottom, left, right = self.region
        a, b, c = (vertices[self._triangles[:, k]] for k in range(3))  # reducing an axis of three is slow
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        visible = (high[:, 1] >= top) & (low[:, 1] < bottom) & (high[:, 0] >= left) & (low[:, 0] < right)
        order = np.argsort(np.where(visible, -(a[:, 2] + b[:, 2] + c[:, 2]) / 3, np.inf))
        return order[: int(visible.sum())]

    def _draw_ids(self, corners: Floats) -> NDArray[np.int32]:
        """Draw the numbers of triangles `[N, 3, 2]`, each over those before it; `N` marks pixels outside the ring.

        One call per triangle, of 0.7 us: drawing rows of all of them at once in numpy takes five times as long.
        """
        top, _, left, _ = self.region
        points = np.rint((corners - [left, top]) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        self._ids.fill(len(corners))
        for number, triangle in enumerate(points):
            cv2.fillConvexPoly(self._ids, triangle, number, 8, _SUBPIXEL_BITS)
        return self._ids


@cache
def mouth_share() -> Floats:
    """How much references are shown at each vertex of the extended mesh `[514]`: 1 around the mouth, 0 at the rim."""
    reference = topology().reference[:NUM_VERTICES]
    to_lips, to_rim = (
        np.linalg.norm(reference[:, None] - reference[ring], axis=2).min(1) for ring in (OUTER_LIP_RING, FACE_OVAL)
    )
    along = np.clip((to_rim / (to_lips + to_rim) - _RIM) / (_AROUND - _RIM), 0, 1)
    along[LIPS] = 1
    share = along * along * (3 - 2 * along)
    return np.concatenate([share, np.zeros(len(FACE_OVAL))]).astype(np.float32)


def _mixed(mix: Mix, behind: NDArray[np.uint8], places: list[Floats], share: Floats) -> NDArray[np.uint8]:
    """References moved to where they are wanted and mixed, over what lies behind by `share`; `[h, w, 3]`."""
    total = np.zeros(behind.shape, np.float32)
    for number, weight in enumerate(mix.weights):
        moved = _moved(mix.pictures[number + 1], places[2 * number], places[2 * number + 1])
        total += cv2.multiply(moved, (*map(float, weight), 0.0), dtype=cv2.CV_32F)
    total += (1 - share)[..., None] * (behind - total)
    return np.asarray(cv2.convertScaleAbs(total), np.uint8)


def _moved(picture: NDArray[np.uint8], source_x: Floats, source_y: Floats) -> NDArray[np.uint8]:
    """Each pixel of a picture `[S, S, 3]` that lies at `(x, y)`."""
    padded = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA)  # OpenCV moves four channels in half the time of three
    moved = cv2.remap(padded, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB).astype(np.uint8, copy=False)


def _planes(corners: Floats, values: Floats) -> Floats:
    """`value = a x + b y + c` in each triangle `[N, 3, 2]`: coefficients `[3, N, K]` for `values [N, 3, K]`."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    safe = np.where(np.abs(area) < 1e-3, 1e-3, area)[:, None]
    db, dc = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    slope_x = (db * ac[:, 1:2] - dc * ab[:, 1:2]) / safe
    slope_y = (dc * ab[:, 0:1] - db * ac[:, 0:1]) / safe
    offset = values[:, 0] - slope_x * a[:, 0:1] - slope_y * a[:, 1:2]
    return np.stack([slope_x, slope_y, offset]).astype(np.float32)
