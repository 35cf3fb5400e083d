"""Procedural materials: skin, eyes, mouth, hair and cloth. Colours are linear RGB; lengths are centimetres."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from presenter.studio.character import Background, Color, Skin
from presenter.studio.geometry import FloatArray
from presenter.studio.nodes import Shader, tint


def skin(look: Skin, masks: FloatArray) -> Shader:
    """Skin with lips, fed by the texture ``masks`` and the attributes rest, blush, shade, scalp and beard."""
    s, tone = Shader("skin"), look.tone
    rest = s.attribute("rest").outputs["Vector"]
    lips, brows, lids = _mask_channels(s, masks)
    broad, fine, pores = s.noise(rest, 0.55, 5, 0.6), s.noise(rest, 3.2, 5, 0.65), s.noise(rest, 9.0, 3, 0.6)
    color = s.mix(s.step(broad, 0.32, 0.70), tint(tone, 0.93, 0.86, 0.84), tint(tone, 1.05, 1.07, 1.08))
    color = s.mix(s.math("MULTIPLY", s.step(fine, 0.42, 0.72), 0.60), color, tint(tone, 0.92, 0.73, 0.69))
    color = s.mix(_freckles(s, rest, broad, look.freckles), color, tint(tone, 0.62, 0.48, 0.40))
    layers = (
        (s.attribute("blush").outputs["Fac"], look.redness, tint(tone, 1.0, 0.66, 0.62)),
        (s.attribute("shade").outputs["Fac"], look.shade, tint(tone, 0.80, 0.70, 0.72)),
        (lids, 0.45, tint(tone, 0.50, 0.33, 0.30)),
        (brows, 0.26, (0.10, 0.06, 0.04)),
        (s.attribute("scalp").outputs["Fac"], 0.80, look.scalp),
    )
    for mask, amount, layer in layers:
        color = s.mix(s.math("MULTIPLY", mask, amount), color, layer)
    if look.stubble:
        color = s.mix(_stubble(s, rest, look.stubble), color, tint(tone, 0.34, 0.34, 0.38))
    lip_color = s.mix(s.step(fine, 0.30, 0.70), look.lips, tint(look.lips, 1.12, 1.25, 1.22))
    color = s.mix(s.math("MULTIPLY", lips, 0.75), color, lip_color)
    roughness = s.math("ADD", s.math("MULTIPLY", pores, 0.18), look.roughness)
    roughness = s.math("SUBTRACT", roughness, s.math("MULTIPLY", lips, 0.12))
    bsdf = s.principled(Base_Color=color, Roughness=roughness, Subsurface_Weight=1.0, Subsurface_Scale=0.28, IOR=1.4)
    bsdf.subsurface_method = "RANDOM_WALK"
    bsdf.inputs["Subsurface Radius"].default_value = (1.0, 0.36, 0.20)
    bsdf.inputs["Specular IOR Level"].default_value = 0.42
    bsdf.inputs["Sheen Weight"].default_value = 0.06
    relief = s.math("ADD", s.noise(rest, 7.0, 4, 0.7), s.math("MULTIPLY", s.noise(rest, 24.0, 2, 0.5), 0.4))
    creases = s.noise(s.stretch(rest, (7.0, 0.8, 0.8)), 1.0, 3, 0.6)
    relief = s.math("ADD", relief, s.math("MULTIPLY", s.math("MULTIPLY", creases, lips), 1.3))
    s.bump(bsdf, relief, 0.45, 0.07)
    return s


def wet_flesh(name: str, color: Color, deep: Color | None = None) -> Shader:
    """Moist tissue of mouth and eye sockets; a little emission stands for light scattered inside the flesh."""
    s = Shader(name)
    texture = s.noise(s.node("ShaderNodeTexCoord").outputs["Object"], 3.0)
    s.principled(
        Base_Color=s.mix(texture, tint(color, 0.85), tint(deep or color, 1.1)), Roughness=0.33, Subsurface_Weight=0.5,
        Subsurface_Scale=0.2, Emission_Color=color, Emission_Strength=0.022,
    )  # fmt: skip
    return s


def gums_and_tongue() -> Shader:
    """Gums, and the tongue where the attribute ``tongue`` is 1."""
    s = Shader("gums")
    rest = s.attribute("rest").outputs["Vector"]
    gum = s.mix(s.noise(rest, 3.0), (0.44, 0.12, 0.11), (0.57, 0.21, 0.19))
    tongue = s.mix(s.noise(rest, 6.0, 5), (0.60, 0.22, 0.20), (0.74, 0.34, 0.31))
    color = s.mix(s.attribute("tongue").outputs["Fac"], gum, tongue)
    bsdf = s.principled(
        Base_Color=color,
        Roughness=0.36,
        Subsurface_Weight=0.6,
        Subsurface_Scale=0.15,
        Emission_Color=color,
        Emission_Strength=0.05,
    )
    s.bump(bsdf, s.noise(rest, 9.0, 3), 0.35, 0.05)
    return s


def teeth() -> Shader:
    """Slightly warm enamel."""
    s = Shader("teeth")
    color = s.mix(s.noise(s.attribute("rest").outputs["Vector"], 2.0, 3), (0.66, 0.60, 0.51), (0.76, 0.71, 0.62))
    s.principled(
        Base_Color=color,
        Roughness=0.28,
        Subsurface_Weight=0.4,
        Subsurface_Scale=0.1,
        Emission_Color=color,
        Emission_Strength=0.03,
    )
    return s


def eyeball(color: Color, iris_radius: float) -> Shader:
    """White and iris of an eye centred on its object's origin and looking along -y."""
    s = Shader("eyeball")
    place = s.node("ShaderNodeTexCoord").outputs["Object"]
    x, _, z = s.node("ShaderNodeSeparateXYZ", {0: place}).outputs
    radius = s.math("SQRT", s.math("ADD", s.math("POWER", x, 2.0), s.math("POWER", z, 2.0)))
    angle = s.math("ARCTAN2", z, x)
    around = [s.math("MULTIPLY", s.math(turn, angle), 3.0) for turn in ("COSINE", "SINE")]
    spokes = s.node("ShaderNodeCombineXYZ", {0: around[0], 1: around[1], 2: s.math("MULTIPLY", radius, 0.9)}).outputs[0]
    iris = s.mix(s.step(s.noise(spokes, 5.5, 6, 0.7), 0.30, 0.68), tint(color, 0.35), tint(color, 2.0))
    iris = s.mix(s.step(radius, iris_radius * 0.72, iris_radius * 0.36), iris, tint(color, 1.8, 1.5, 1.1))
    iris = s.mix(s.step(radius, iris_radius * 0.80, iris_radius), iris, tint(color, 0.12))
    iris = s.mix(s.step(radius, iris_radius * 0.40, iris_radius * 0.35), iris, (0.002, 0.002, 0.002))
    white = s.mix(s.step(s.noise(place, 2.2, 6, 0.7), 0.45, 0.75), (0.74, 0.69, 0.66), (0.68, 0.55, 0.52))
    white = s.mix(s.step(radius, iris_radius * 1.6, iris_radius * 2.6), white, (0.62, 0.42, 0.38))
    color_socket = s.mix(s.step(radius, iris_radius * 1.07, iris_radius * 0.95), white, iris)
    s.principled(
        Base_Color=color_socket, Roughness=0.5, Specular_IOR_Level=0.1, Subsurface_Weight=0.15, Subsurface_Scale=0.15
    )
    return s


def wet_film() -> Shader:
    """Clear film that only adds reflections: cornea and tear line."""
    s = Shader("film")
    clear = s.node("ShaderNodeBsdfTransparent").outputs[0]
    shine = s.node("ShaderNodeBsdfGlossy", {"Roughness": 0.03}).outputs[0]
    edge = s.node("ShaderNodeFresnel", {"IOR": 1.5}).outputs[0]
    s.surface(s.node("ShaderNodeMixShader", {0: edge, 1: clear, 2: shine}).outputs[0])
    return s


def hair(name: str, melanin: float, redness: float, roughness: float, variation: float) -> Shader:
    """Hair fibre coloured by its melanin."""
    s = Shader(name)
    fibre = s.node("ShaderNodeBsdfHairPrincipled", parametrization="MELANIN")
    settings = {
        "Melanin": melanin, "Melanin Redness": redness, "Roughness": roughness, "Radial Roughness": 0.45,
        "Random Color": variation, "Coat": 0.05,
    }  # fmt: skip
    for key, value in settings.items():
        fibre.inputs[key].default_value = value
    s.surface(fibre.outputs[0])
    return s


def cloth(name: str, color: Color, weave: float, contrast: float = 0.2) -> Shader:
    """Matte woven cloth; ``weave`` in threads per centimetre, whose colours differ by ``contrast`` from the mean."""
    s = Shader(name)
    place = s.node("ShaderNodeTexCoord").outputs["Object"]
    threads, folds = s.noise(place, weave, 3, 0.6), s.noise(place, 0.35, 3, 0.5)
    bsdf = s.principled(
        Base_Color=s.mix(threads, tint(color, 1 - contrast), tint(color, 1 + contrast)),
        Roughness=0.8,
        Sheen_Weight=0.25,
        Specular_IOR_Level=0.15,
    )
    s.bump(bsdf, s.math("ADD", s.math("MULTIPLY", threads, 0.15), s.math("MULTIPLY", folds, 4.0)), 0.32, 0.25)
    return s


def backdrop(look: Background) -> Shader:
    """A self-lit wall, lighter behind the head."""
    s = Shader("backdrop")
    place = s.node("ShaderNodeTexCoord").outputs["Object"]
    away = s.node("ShaderNodeVectorMath", {0: place}, operation="DISTANCE")
    away.inputs[1].default_value = (4.0, 70.0, 6.0)
    color = s.mix(s.step(away.outputs["Value"], 3.0, 40.0), look.inner, look.outer)
    across, _, up = s.node("ShaderNodeSeparateXYZ", {0: place}).outputs if look.blurs else (None, None, None)
    for blur in look.blurs:
        inside: Any = 1.0
        for axis, middle, half in zip((across, up), blur.center, blur.half, strict=True):
            distance = s.math("ABSOLUTE", s.math("SUBTRACT", axis, middle))
            inside = s.math("MULTIPLY", inside, s.step(distance, half + blur.softness / 2, half - blur.softness / 2))
        color = s.mix(inside, color, blur.color)
    s.surface(s.node("ShaderNodeEmission", {0: color}).outputs[0])
    return s


def _mask_channels(s: Shader, masks: FloatArray) -> Any:
    height, width, _ = masks.shape
    image = bpy.data.images.new("masks", width, height, float_buffer=True, is_data=True)
    image.pixels.foreach_set(np.ascontiguousarray(masks, np.float32).ravel())
    image.update()
    uv = s.node("ShaderNodeUVMap", uv_map="UVMap").outputs[0]
    texture = s.node("ShaderNodeTexImage", {0: uv}, image=image, extension="CLIP", interpolation="Cubic")
    return s.node("ShaderNodeSeparateColor", {0: texture.outputs[0]}).outputs


def _freckles(s: Shader, rest: Any, broad: Any, strength: float) -> Any:
    cells = s.node("ShaderNodeTexVoronoi", {"Scale": 2.6, "Vector": rest}).outputs["Distance"]
    spots = s.math("MULTIPLY", s.step(cells, 0.16, 0.05), s.step(broad, 0.45, 0.62))
    return s.math("MULTIPLY", spots, strength)


def _stubble(s: Shader, rest: Any, strength: float) -> Any:
    """Short dark hairs, too small to be seen one by one."""
    hairs = s.math("ADD", s.math("MULTIPLY", s.step(s.noise(rest, 14.0, 2, 0.6), 0.42, 0.60), 0.6), 0.4)
    return s.math("MULTIPLY", s.math("MULTIPLY", s.attribute("beard").outputs["Fac"], hairs), strength)
