"""What makes one person of the studio different from another: plain data, without Blender."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Color = tuple[float, float, float]
"""Linear RGB."""
HairStyle = Literal["bob", "cropped"]
ClothesStyle = Literal["jacket", "sweater"]


@dataclass(frozen=True)
class HeadShape:
    """An ICT-FaceKit identity and how it is adapted.

    Attributes:
        seed: Of the random identity.
        spread: Standard deviation of its coefficients; small values stay near the average face.
        components: Pairs of an identity component's number and what is added to its coefficient.
        evenness: Share by which the face moves towards its mirror image.
        eyes: Share by which the eyes are enlarged.
        neck: Width of the neck in relation to the model's.
        jaw: Width of the jaw in relation to the model's.
        ears: How far the ears stand off in relation to the model's.
        hairline: By how many centimetres the hairline lies higher on the forehead.
        sideburns: By how many centimetres it lies lower at the sides.
        seal: Weight of ``mouthClose`` that closes the lips of this identity at rest.
    """

    seed: int = 2
    spread: float = 0.6
    components: tuple[tuple[int, float], ...] = ()
    evenness: float = 0.75
    eyes: float = 0.08
    neck: float = 0.80
    jaw: float = 0.955
    ears: float = 0.70
    hairline: float = 0.0
    sideburns: float = 0.0
    seal: float = 0.0


@dataclass(frozen=True)
class Skin:
    """The skin's colours and surface.

    Attributes:
        tone: Mean colour.
        lips: Of the lips.
        scalp: Under the hair.
        redness: Of cheeks, nose and ears, 0..1.
        freckles: Their strength, 0..1.
        shade: Of the skin around the eyes, 0..1.
        stubble: Of a shaved beard, 0..1.
        roughness: Of the surface between the pores.
    """

    tone: Color = (0.66, 0.385, 0.270)
    lips: Color = (0.44, 0.105, 0.10)
    scalp: Color = (0.085, 0.048, 0.030)
    redness: float = 0.52
    freckles: float = 0.26
    shade: float = 0.22
    stubble: float = 0.0
    roughness: float = 0.40


@dataclass(frozen=True)
class Hair:
    """Hair of the head, and the colour of the brows.

    Attributes:
        style: ``bob`` (parted at a side, cut at the chin) or ``cropped`` (a few millimetres, curled).
        count: Strands.
        melanin: 0 is white, 1 is black.
        redness: Share of red pigment.
        grey: Share of grey strands, most of them at the temples; of the cropped style only.
        length: Of the cropped style's strands on top, in centimetres.
    """

    style: HairStyle = "bob"
    count: int = 42000
    melanin: float = 0.62
    redness: float = 0.30
    grey: float = 0.0
    length: float = 0.6


@dataclass(frozen=True)
class Brows:
    """Brows and lashes.

    Attributes:
        count: Hairs of a brow.
        width: Half the height of a brow, in centimetres.
        lift: How much higher than the landmarks it lies, in centimetres.
        arch: How much its outer half rises; 1 is a marked arch.
        inset: How much of the brow's outer end is taken in; 1 is a short brow.
        thickness: Of the hairs, in relation to fine ones.
        lashes: Length and thickness of the lashes, in relation to long ones.
    """

    count: int = 450
    width: float = 0.31
    lift: float = -0.30
    arch: float = 1.0
    inset: float = 1.0
    thickness: float = 1.0
    lashes: float = 1.0


@dataclass(frozen=True)
class Clothes:
    """What is worn.

    Attributes:
        style: ``jacket`` (open, over a shirt with a ribbed collar) or ``sweater`` (knitted, with a round neck).
        shirt: Colour of the shirt or the sweater.
        jacket: Colour of the jacket.
        rise: How much higher than its rings say the torso sits, in centimetres: a shorter neck.
        shoulders: Their width in relation to a narrow torso's.
        neckline: Width of the neck's opening in relation to a slim neck's.
    """

    style: ClothesStyle = "jacket"
    shirt: Color = (0.70, 0.685, 0.66)
    jacket: Color = (0.024, 0.044, 0.058)
    rise: float = 0.9
    shoulders: float = 1.0
    neckline: float = 1.0


@dataclass(frozen=True)
class Blur:
    """A soft-edged rectangle on the wall behind, as something out of focus.

    Attributes:
        color: Of its middle.
        center: To the viewer's right and up, in centimetres on the wall.
        half: Half of its width and height.
        softness: Width of its edges.
    """

    color: Color
    center: tuple[float, float]
    half: tuple[float, float]
    softness: float


@dataclass(frozen=True)
class Background:
    """The self-lit wall: lighter behind the head, with what stands out of focus before it."""

    inner: Color = (0.34, 0.37, 0.38)
    outer: Color = (0.085, 0.10, 0.115)
    blurs: tuple[Blur, ...] = ()


@dataclass(frozen=True)
class Light:
    """A rectangular lamp that faces the head: position and size in centimetres, power in watts, colour."""

    position: tuple[float, float, float]
    size: tuple[float, float]
    power: float
    color: Color


PORTRAIT_LIGHTS = (
    Light((-42, 34, 62), (36, 36), 46000, (1.0, 0.95, 0.89)),  # key
    Light((52, 8, 58), (50, 50), 10000, (0.92, 0.96, 1.0)),  # fill
    Light((26, 40, -42), (18, 40), 6000, (0.97, 0.97, 1.0)),  # rims
    Light((-38, 26, -44), (16, 40), 6000, (0.90, 0.94, 1.0)),
    Light((0, -30, 56), (50, 20), 5500, (1.0, 0.95, 0.92)),  # from below, into the mouth
    Light((-22, 20, 60), (11, 11), 5200, (1.0, 0.97, 0.93)),  # glint in the eyes
)


@dataclass(frozen=True)
class Character:
    """Who is in the picture and how the camera stands.

    Attributes:
        head: Shape of the head.
        skin: Of the face.
        iris: Colour of the eyes.
        hair: Of the head.
        brows: And lashes.
        clothes: What is worn.
        background: What is behind.
        lights: Lamps.
        ambient: Strength of the light from everywhere.
        exposure: Of the picture, in stops.
        frame_height: Height in centimetres that fills the picture at the depth of the face.
        center_height: Height of the picture's centre.
        focal_length: Of the lens in millimetres (36 mm sensor).
    """

    head: HeadShape = field(default_factory=HeadShape)
    skin: Skin = field(default_factory=Skin)
    iris: Color = (0.085, 0.048, 0.022)
    hair: Hair = field(default_factory=Hair)
    brows: Brows = field(default_factory=Brows)
    clothes: Clothes = field(default_factory=Clothes)
    background: Background = field(default_factory=Background)
    lights: tuple[Light, ...] = PORTRAIT_LIGHTS
    ambient: float = 0.16
    exposure: float = 0.05
    frame_height: float = 34.0
    center_height: float = 0.9
    focal_length: float = 85.0


SAM = Character(
    head=HeadShape(
        seed=16, spread=0.55, components=((0, -0.7), (2, -1.0)), eyes=0.0, neck=0.90, jaw=0.985, ears=0.80,
        hairline=0.3, sideburns=1.3, seal=0.042,
    ),
    skin=Skin(
        tone=(0.255, 0.122, 0.068), lips=(0.215, 0.072, 0.062), scalp=(0.020, 0.013, 0.010), redness=0.30,
        freckles=0.10, shade=0.32, stubble=0.60, roughness=0.34,
    ),
    iris=(0.040, 0.020, 0.010),
    hair=Hair(style="cropped", count=70000, melanin=0.95, redness=0.10, grey=0.16, length=0.55),
    brows=Brows(count=430, width=0.36, lift=-0.64, arch=-0.5, inset=0.1, thickness=1.0, lashes=0.62),
    clothes=Clothes(style="sweater", shirt=(0.050, 0.078, 0.120), rise=1.5, shoulders=1.1, neckline=1.16),
    background=Background(
        inner=(0.46, 0.40, 0.33), outer=(0.21, 0.165, 0.125),
        blurs=(
            Blur((0.88, 0.84, 0.76), (-31.0, 14.0), (9.0, 20.0), 10.0),
            Blur((0.125, 0.135, 0.085), (31.0, -2.0), (6.0, 14.0), 14.0),
            Blur((0.15, 0.100, 0.066), (31.0, -24.0), (14.0, 8.0), 9.0),
        ),
    ),
    exposure=0.22,
)  # fmt: skip

CHARACTERS: dict[str, Character] = {"default": Character(), "sam": SAM}
"""The shipped presenters by name."""
