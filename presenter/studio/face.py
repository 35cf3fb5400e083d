"""Builds skin, eyes, gums, tongue and teeth, and moves them when the face takes an expression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presenter.studio import masks, materials
from presenter.studio.character import Character, Color, Skin
from presenter.studio.geometry import (
    EYE_SOCKET_FACES,
    EYEBALLS,
    GUMS,
    MOUTH_SOCKET_FACES,
    SKIN,
    TEAR_LINES,
    TEETH,
    FloatArray,
    Head,
    Part,
    smoothstep,
    to_blender,
)
from presenter.studio.nodes import Shader, add_attribute, add_mesh, move_vertices


@dataclass(frozen=True)
class MovingPart:
    """A Blender mesh that follows a range of the head's vertices."""

    thing: Any
    part: Part

    def follow(self, vertices: FloatArray) -> None:
        """Copy the part's range of ``vertices [26719, 3]`` to the mesh."""
        move_vertices(self.thing, vertices[slice(*self.part.vertices)])


def build_face(head: Head, character: Character) -> list[MovingPart]:
    """Add everything that an expression deforms; eyeballs are added too but do not deform."""
    film = materials.wet_film()
    _add_eyeballs(head, character.iris, film)
    parts = [_add_skin(head, character.skin), _add_gums(head), _add_teeth(head)]
    for line in TEAR_LINES:
        thing = add_mesh("tear line", head.base[slice(*line.vertices)], head.faces(line), [film])
        thing.visible_shadow = False
        parts.append(MovingPart(thing, line))
    return parts


def _add_skin(head: Head, look: Skin) -> MovingPart:
    material_index = np.zeros(SKIN.faces[1], int)
    material_index[slice(*MOUTH_SOCKET_FACES)] = 1
    material_index[slice(*EYE_SOCKET_FACES)] = 2
    shaders = [
        materials.skin(look, masks.face_texture(head)),
        materials.wet_flesh("mouth socket", (0.40, 0.12, 0.10)),
        materials.wet_flesh("eye socket", (0.50, 0.20, 0.17)),
    ]
    points = head.base[slice(*SKIN.vertices)]
    thing = add_mesh(
        "skin",
        points,
        head.faces(SKIN),
        shaders,
        uvs=head.face_uvs(SKIN),
        material_index=material_index,
        subdivisions=2,
    )
    add_attribute(thing, "rest", points)
    add_attribute(thing, "blush", masks.blush(head))
    add_attribute(thing, "shade", masks.eye_shade(head))
    add_attribute(thing, "scalp", smoothstep(-0.30, 1.30, masks.above_hairline(points, head.shape)))
    if look.stubble:
        add_attribute(thing, "beard", masks.beard(head))
    return MovingPart(thing, SKIN)


def _add_gums(head: Head) -> MovingPart:
    points = head.base[slice(*GUMS.vertices)]
    thing = add_mesh("gums", points, head.faces(GUMS), [materials.gums_and_tongue()], subdivisions=1)
    add_attribute(thing, "rest", points)
    add_attribute(thing, "tongue", head.tongue_mask())
    return MovingPart(thing, GUMS)


def _add_teeth(head: Head) -> MovingPart:
    points = head.base[slice(*TEETH.vertices)]
    thing = add_mesh("teeth", points, head.faces(TEETH), [materials.teeth()], subdivisions=1)
    add_attribute(thing, "rest", points)
    return MovingPart(thing, TEETH)


def _add_eyeballs(head: Head, iris: Color, film: Shader) -> None:
    spheres = [_fit_sphere(head.base[first:last]) for first, last in EYEBALLS]
    radius = spheres[0][1]
    iris_radius = 0.46 * radius
    ball, cornea, faces = _eye_surfaces(radius, iris_radius)
    shader = materials.eyeball(iris, iris_radius)
    for side, (center, _) in zip((1, -1), spheres, strict=True):
        eye = add_mesh("eyeball", ball, faces, [shader])
        front = add_mesh("cornea", cornea, faces, [film])
        front.visible_shadow = False
        for thing in (eye, front):
            thing.location = to_blender(center)
            # The eyes converge on the viewer.
            thing.rotation_euler = (0.0, 0.0, -0.02 * side)


def _fit_sphere(points: FloatArray) -> tuple[NDArray[np.float64], float]:
    """Least-squares centre and radius of the round back of an eyeball."""
    back = points[points[:, 2] < points[:, 2].mean() + 0.3].astype(np.float64)
    solution = np.linalg.lstsq(np.c_[2 * back, np.ones(len(back))], (back**2).sum(1), rcond=None)[0]
    center = solution[:3]
    radius = math.sqrt(solution[3] + (center**2).sum())
    # Slightly too large, with the same front: the enlarged lids must not show the eyeball's edge.
    grown = 1.06 * radius
    return center - (0.0, 0.0, grown - radius), grown


def _eye_surfaces(radius: float, iris_radius: float) -> tuple[FloatArray, FloatArray, list[list[int]]]:
    """Points of an eyeball with a concave iris, of its cornea, and their common faces."""
    polar = np.concatenate([np.linspace(0, 0.62, 56), np.linspace(0.64, np.pi, 40)])
    around = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    sphere = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1) * radius
    off_axis = np.hypot(sphere[..., 0], sphere[..., 1])
    ball, cornea = sphere.copy(), sphere * 1.004
    in_iris = smoothstep(iris_radius * 1.04, iris_radius * 0.94, off_axis) * (sphere[..., 2] > 0)
    iris_depth = math.sqrt(radius**2 - iris_radius**2) - 0.10 + 0.10 * (off_axis / iris_radius) ** 2
    ball[..., 2] = ball[..., 2] * (1 - in_iris) + iris_depth * in_iris
    bulge = np.clip(1 - (off_axis / (iris_radius * 1.12)) ** 2, 0, 1) ** 1.2
    cornea[..., 2] += (sphere[..., 2] > 0) * bulge * 0.16 * radius / 1.5
    rows, columns = theta.shape
    faces = [
        [i * columns + j, i * columns + (j + 1) % columns, (i + 1) * columns + (j + 1) % columns, (i + 1) * columns + j]
        for i in range(rows - 1)
        for j in range(columns)
    ]
    return ball.reshape(-1, 3), cornea.reshape(-1, 3), faces
