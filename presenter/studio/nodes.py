"""A thin vocabulary over Blender's shader nodes and objects, so that materials read as formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from presenter.studio.character import Color
from presenter.studio.geometry import FloatArray, to_blender

Socket = Any  # bpy has no useful static types


def tint(color: Color, *factors: float) -> Color:
    """Multiply a linear RGB colour by one factor or by one per channel."""
    r, g, b = factors if len(factors) == 3 else factors * 3
    return color[0] * r, color[1] * g, color[2] * b


class Shader:
    """A material under construction. Every method adds a node and returns its output socket."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()
        self.output = self.tree.nodes.new("ShaderNodeOutputMaterial")

    def node(self, kind: str, inputs: Mapping[Any, Any] | None = None, **settings: Any) -> Any:
        """Add a node of ``kind``; values of ``inputs`` are sockets (linked) or constants."""
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in (inputs or {}).items():
            self._feed(node.inputs[key], value)
        return node

    def attribute(self, name: str) -> Any:
        """A per-vertex attribute node; use its ``Vector`` or ``Fac`` output."""
        return self.node("ShaderNodeAttribute", attribute_name=name)

    def mix(self, factor: Any, a: Any, b: Any) -> Socket:
        """Blend colour ``a`` to ``b`` by ``factor``."""
        node = self.node("ShaderNodeMix", data_type="RGBA")
        for index, value in ((0, factor), (6, a), (7, b)):
            self._feed(node.inputs[index], value)
        return node.outputs[2]

    def math(self, operation: str, a: Any, b: Any = 0.0) -> Socket:
        """One arithmetic node, e.g. ``math("MULTIPLY", a, b)``."""
        node = self.node("ShaderNodeMath", operation=operation)
        self._feed(node.inputs[0], a)
        self._feed(node.inputs[1], b)
        return node.outputs[0]

    def step(self, value: Socket, low: float, high: float) -> Socket:
        """Smooth step of ``value`` between ``low`` and ``high``."""
        node = self.node("ShaderNodeMapRange", interpolation_type="SMOOTHSTEP")
        for index, item in enumerate((value, low, high)):
            self._feed(node.inputs[index], item)
        return node.outputs[0]

    def noise(self, position: Socket, scale: float, detail: float = 4.0, roughness: float = 0.55) -> Socket:
        """Fractal noise around 0.5; ``scale`` in cycles per centimetre."""
        settings = {"Vector": position, "Scale": scale, "Detail": detail, "Roughness": roughness}
        return self.node("ShaderNodeTexNoise", settings).outputs["Fac"]

    def stretch(self, position: Socket, factors: Color) -> Socket:
        """Scale a position vector per axis, to draw streaks with :meth:`noise`."""
        node = self.node("ShaderNodeVectorMath", operation="MULTIPLY")
        self._feed(node.inputs[0], position)
        node.inputs[1].default_value = factors
        return node.outputs[0]

    def principled(self, **inputs: Any) -> Any:
        """The surface: a Principled BSDF. ``Base_Color=...`` sets input ``Base Color``."""
        node = self.node("ShaderNodeBsdfPrincipled", {key.replace("_", " "): value for key, value in inputs.items()})
        self.surface(node.outputs[0])
        return node

    def bump(self, bsdf: Any, height: Socket, strength: float, distance: float) -> None:
        """Roughen the normals of ``bsdf`` by a height field."""
        node = self.node("ShaderNodeBump", {"Strength": strength, "Distance": distance, "Height": height})
        self.tree.links.new(node.outputs[0], bsdf.inputs["Normal"])

    def surface(self, socket: Socket) -> None:
        """Connect a closure to the material output."""
        self.tree.links.new(socket, self.output.inputs[0])

    def _feed(self, socket: Socket, value: Any) -> None:
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, tuple) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value


def add_mesh(
    name: str,
    points: FloatArray,
    faces: list[list[int]],
    shaders: list[Shader],
    *,
    uvs: FloatArray | None = None,
    material_index: FloatArray | None = None,
    subdivisions: int = 0,
) -> Any:
    """Add a smooth-shaded mesh object from ``points [n, 3]`` in ICT coordinates."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(to_blender(points).tolist(), [], faces)
    mesh.update()
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    if uvs is not None:
        mesh.uv_layers.new(name="UVMap").data.foreach_set("uv", np.ascontiguousarray(uvs, np.float32).ravel())
    for shader in shaders:
        mesh.materials.append(shader.material)
    if material_index is not None:
        mesh.polygons.foreach_set("material_index", np.asarray(material_index, np.int32))
    thing = _link(name, mesh)
    if subdivisions:
        modifier = thing.modifiers.new("smooth", "SUBSURF")
        modifier.levels = modifier.render_levels = subdivisions
    return thing


def add_strands(name: str, points: FloatArray, radius: FloatArray, shader: Shader, tip: float) -> Any:
    """Add hair curves ``points [strands, k, 3]`` of root ``radius [strands]`` that taper to ``tip`` times it."""
    count, k, _ = points.shape
    curves = bpy.data.hair_curves.new(name)
    curves.add_curves([k] * count)
    attribute = curves.attributes.get("radius") or curves.attributes.new("radius", "FLOAT", "POINT")
    taper = np.linspace(1.0, tip, k) ** 0.7
    attribute.data.foreach_set("value", np.outer(radius, taper).astype(np.float32).ravel())
    curves.materials.append(shader.material)
    thing = _link(name, curves)
    move_strands(thing, points)
    return thing


def move_vertices(thing: Any, points: FloatArray) -> None:
    """Give a mesh object new vertex positions, ICT coordinates ``[n, 3]``."""
    thing.data.vertices.foreach_set("co", to_blender(points).ravel())
    thing.data.update()


def move_strands(thing: Any, points: FloatArray) -> None:
    """Give a curves object new points, ICT coordinates ``[strands, k, 3]``."""
    thing.data.position_data.foreach_set("vector", to_blender(points).ravel())
    thing.data.update_tag()


def add_attribute(thing: Any, name: str, values: FloatArray) -> None:
    """Attach a per-vertex float ``[n]`` or vector ``[n, 3]`` that shaders can read."""
    kind, field = ("FLOAT_VECTOR", "vector") if values.ndim == 2 else ("FLOAT", "value")
    attribute = thing.data.attributes.new(name, kind, "POINT")
    attribute.data.foreach_set(field, np.asarray(values, np.float32).ravel())


def _link(name: str, data: Any) -> Any:
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    return thing
