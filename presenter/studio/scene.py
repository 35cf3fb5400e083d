"""The studio: one person, fixed camera and lights, expressions and rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy
import cv2
import mathutils
import numpy as np
from numpy.typing import NDArray

from presenter.studio import brows, clothes, face, hair
from presenter.studio.character import Background, Character, Light
from presenter.studio.geometry import FloatArray, Head, to_blender
from presenter.studio.materials import backdrop
from presenter.studio.nodes import add_mesh

CANVAS = 512
"""All boxes and projected points are given on a square canvas of this many pixels."""


@dataclass(frozen=True)
class Box:
    """Pixel rectangle on the canvas, origin at the top left, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class Studio:
    """Builds the scene once; then :meth:`pose` and :meth:`render` in any order.

    Args:
        geometry: Path of ``ict_facekit.npz``.
        character: Who and how.
        threads: CPU threads of the renderer.
    """

    def __init__(self, geometry: Path, character: Character, threads: int = 1) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.head = Head(geometry, character.head)
        self._parts = face.build_face(self.head, character)
        self._strands = [brows.build_brows(self.head, character), brows.build_lashes(self.head, character.brows)]
        hair.build_scalp_hair(self.head, character.hair)
        clothes.build_clothes(character.clothes)
        self._place_camera(character)
        self._place_lights(character)
        self._backdrop = self._hang_backdrop(character.background)
        self._configure(threads, character.exposure)

    def pose(self, weights: Mapping[str, float]) -> NDArray[np.float32]:
        """Give the face an expression.

        Args:
            weights: Blendshape weights, see :meth:`presenter.studio.geometry.Head.posed`.

        Returns:
            All ICT vertices ``[26719, 3]`` of the expression, in centimetres.
        """
        vertices = self.head.posed(weights)
        for part in self._parts:
            part.follow(vertices)
        for strands in self._strands:
            strands.follow(vertices, weights)
        return vertices

    def project(self, vertices: FloatArray) -> NDArray[np.float32]:
        """Canvas coordinates ``[n, 2]`` (x right, y down, pixel edges at integers) of ICT points ``[n, 3]``."""
        camera = self.scene.camera
        corners = camera.data.view_frame(scene=self.scene)
        half_width, half_height, depth = corners[0].x, corners[0].y, -corners[0].z
        matrix = np.array(camera.matrix_world.inverted())
        local = to_blender(vertices).astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        scale = depth / -local[:, 2]
        x = 0.5 + 0.5 * local[:, 0] * scale / half_width
        y = 0.5 - 0.5 * local[:, 1] * scale / half_height
        return np.stack([x, y], -1).astype(np.float32) * CANVAS

    def render(self, path: Path, *, samples: int, resolution: int = CANVAS, box: Box | None = None) -> None:
        """Render the present pose to a PNG; with ``box``, only that part of the canvas."""
        render = self.scene.render
        render.resolution_x = render.resolution_y = resolution
        render.use_border = render.use_crop_to_border = box is not None
        if box is not None:
            render.border_min_x, render.border_max_x = box.left / CANVAS, box.right / CANVAS
            render.border_min_y, render.border_max_y = 1 - box.bottom / CANVAS, 1 - box.top / CANVAS
        self.scene.cycles.samples = samples
        # Written under another name first: a file that exists is a file that is whole.
        partial = path.with_name(path.stem + ".partial.png")
        render.filepath = str(partial)
        bpy.ops.render.render(write_still=True)
        partial.replace(path)

    def render_matte(self, path: Path, *, samples: int, resolution: int = CANVAS) -> None:
        """Render how opaque the person is in the present pose, 0 to 255, as a grey PNG of the canvas."""
        settings = self.scene.render.image_settings
        self._backdrop.hide_render = self.scene.render.film_transparent = True
        settings.color_mode = "RGBA"
        self.render(path, samples=samples, resolution=resolution)
        self._backdrop.hide_render = self.scene.render.film_transparent = False
        settings.color_mode = "RGB"
        # Blender writes straight alpha; colours don't matter here.
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., 3])

    def _place_camera(self, character: Character) -> None:
        lens = bpy.data.cameras.new("camera")
        lens.sensor_width, lens.lens = 36.0, character.focal_length
        camera = bpy.data.objects.new("camera", lens)
        self.scene.collection.objects.link(camera)
        self.scene.camera = camera
        distance = character.frame_height * character.focal_length / 36.0
        _aim(camera, (0.0, character.center_height + 0.5, distance + 5.0), (0.0, character.center_height, 5.0))
        bpy.context.view_layer.update()

    def _place_lights(self, character: Character) -> None:
        for light in character.lights:
            self._light(light)
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        ambient = world.node_tree.nodes["Background"].inputs
        ambient[0].default_value, ambient[1].default_value = (0.50, 0.52, 0.55, 1.0), character.ambient
        self.scene.world = world

    def _light(self, light: Light) -> None:
        lamp = bpy.data.lights.new("light", "AREA")
        lamp.shape, lamp.energy, lamp.color = "RECTANGLE", light.power, light.color
        lamp.size, lamp.size_y = light.size
        thing = bpy.data.objects.new("light", lamp)
        self.scene.collection.objects.link(thing)
        _aim(thing, light.position, (0.0, 1.0, 4.0))

    def _hang_backdrop(self, look: Background) -> bpy.types.Object:
        corners = np.array([[-120, -90, -70], [120, -90, -70], [120, 90, -70], [-120, 90, -70.0]])
        wall = add_mesh("backdrop", corners, [[0, 1, 2, 3]], [backdrop(look)])
        wall.visible_diffuse = wall.visible_glossy = False
        return wall

    def _configure(self, threads: int, exposure: float) -> None:
        scene, cycles = self.scene, self.scene.cycles
        scene.render.engine, cycles.device = "CYCLES", "CPU"
        scene.render.threads_mode, scene.render.threads = "FIXED", threads
        scene.render.image_settings.file_format = "PNG"
        scene.render.image_settings.color_mode = "RGB"
        scene.render.resolution_x = scene.render.resolution_y = CANVAS
        scene.render.resolution_percentage = 100
        scene.render.use_persistent_data = True
        scene.view_settings.view_transform, scene.view_settings.look = "Filmic", "High Contrast"
        scene.view_settings.exposure = exposure
        cycles.use_adaptive_sampling = False
        cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 8, 2, 3
        cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 16
        cycles.sample_clamp_indirect = 4
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
        cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
        scene.cycles_curves.shape = "RIBBONS"


def _aim(thing: bpy.types.Object, position: tuple[float, ...], target: tuple[float, ...]) -> None:
    thing.location = to_blender(np.array(position, float))
    direction = mathutils.Vector(to_blender(np.array(target, float))) - thing.location
    thing.rotation_euler = direction.to_track_quat("-Z", "Y").to_euler()
