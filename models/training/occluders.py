"""Things to draw before a face: hands of capsules, and objects of simple outlines with many textures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]


class Occluder(NamedTuple):
    """What is drawn: colours `[S, S, 3]`, 0..255, and opacity `[S, S]`, 0..1."""

    colour: Floats
    alpha: Floats


class Scene(NamedTuple):
    """Where something is drawn.

    Attributes:
        size: Of the square picture that is drawn, pixels.
        unit: Pixels per inter-ocular distance.
        centre: Where it covers the face, x and y in pixels.
        skin: The face's own colour `[3]`.
        others: Pictures whose parts serve as textures.
    """

    size: int
    unit: float
    centre: Floats
    skin: Floats
    others: Sequence[Picture]


class _Hand:
    """Capsules with shading, one over the other, as large as an adult's hand; lengths in inter-ocular distances."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self._rng = rng
        self._unit = scene.unit * rng.uniform(0.8, 1.3)
        self._centre = scene.centre
        angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.3 else rng.normal(-np.pi / 2, 0.7)
        cos, sin = np.cos(angle), np.sin(angle)
        flip = rng.choice([-1.0, 1.0])
        self._turn = np.array([[cos, sin], [-sin * flip, cos * flip]])  # along the fingers, and towards the thumb
        y, x = np.mgrid[: scene.size, : scene.size].astype(np.float32)
        self._grid = np.stack([x, y], -1)
        self._alpha = np.zeros((scene.size, scene.size), np.float32)
        self._colour = np.zeros((scene.size, scene.size, 3), np.float32)
        light = np.array([*rng.normal(0, 0.5, 2), 1.0])
        self._light = light / np.linalg.norm(light)
        self._ambient = rng.uniform(0.35, 0.75)
        likeness = rng.choice([0.06, 0.2])
        self.skin = np.clip(scene.skin * np.exp(rng.normal(0, likeness) + rng.normal(0, likeness / 3, 3)), 8, 255)

    def capsule(
        self, start: Sequence[float], end: Sequence[float], radii: tuple[float, float], colour: Floats | None = None
    ) -> None:
        """Draw one from `start` to `end`, in the hand's own axes: along the fingers, and towards the thumb."""
        a, b = (self._centre + self._unit * (np.array(point) @ self._turn) for point in (start, end))
        reach = self._unit * max(radii) + 2
        low = np.clip(np.floor(np.minimum(a, b) - reach), 0, len(self._alpha)).astype(int)
        high = np.clip(np.ceil(np.maximum(a, b) + reach) + 1, 0, len(self._alpha)).astype(int)
        if (high <= low).any():
            return
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        axis = b - a
        from_a = self._grid[part] - a
        along = np.clip(from_a @ axis / max(float(axis @ axis), 1e-3), 0, 1)
        across = from_a - along[..., None] * axis
        radius = self._unit * (radii[0] + along * (radii[1] - radii[0]))
        distance = np.sqrt(np.square(across).sum(-1))
        inside = np.clip(radius - distance + 0.5, 0, 1)
        height = np.sqrt(np.clip(1 - np.square(distance / radius), 0, 1))
        lit = across @ self._light[:2] / radius + height * self._light[2]
        shade = self._ambient + (1 - self._ambient) * np.clip(lit, 0, 1)
        crease = np.clip(1 - (distance - radius) / (0.06 * self._unit), 0, 1) * (self._ambient < 0.7) * 0.35
        base = self.skin if colour is None else colour
        below = ((1 - crease) * (1 - inside))[..., None]
        self._colour[part] = self._colour[part] * below + (shade * inside)[..., None] * base
        self._alpha[part] = np.maximum(self._alpha[part], inside)

    def finger(self, root: Sequence[float], direction: float, length: float, radius: float, bend: float) -> None:
        """Two phalanges and a nail; the direction is an angle from the hand's axis."""
        middle = np.array(root) + 0.55 * length * np.array([np.cos(direction), np.sin(direction)])
        tip = middle + 0.45 * length * np.array([np.cos(direction + bend), np.sin(direction + bend)])
        self.capsule(list(root), list(middle), (radius, 0.95 * radius))
        self.capsule(list(middle), list(tip), (0.95 * radius, 0.8 * radius))
        if self._rng.random() < 0.5:
            nail = tip - 0.05 * (tip - middle)
            self.capsule(list(nail), list(tip), (0.5 * radius, 0.5 * radius), np.minimum(self.skin * 1.15 + 8, 255))

    def arm(self) -> None:
        """Wrist and forearm, out of the square; sometimes in a sleeve."""
        side = self._rng.normal(0, 0.5)
        self.capsule([-0.5, 0], [-1.3, side / 3], (0.5, 0.42))
        sleeve = self._rng.uniform(5, 250, 3) if self._rng.random() < 0.5 else None
        self.capsule([-1.3, side / 3], [-5, side], (0.46, 0.75), sleeve)

    def palm(self, length: float = 0.8) -> None:
        """The back of the hand or its inside."""
        for across in (-0.45, -0.15, 0.15, 0.45):
            self.capsule([-0.6, 0.75 * across], [length - 0.6, across], (0.3, 0.24))

    def drawn(self) -> Occluder:
        """All of it, with uneven skin."""
        small = self._rng.normal(1, 0.06, (9, 9, 3)).astype(np.float32)
        uneven = cv2.resize(small, self._alpha.shape[::-1], interpolation=cv2.INTER_CUBIC)
        return Occluder(np.clip(self._colour * uneven, 0, 255).astype(np.float32), self._alpha)


def _open_hand(scene: Scene, rng: np.random.Generator) -> Occluder:
    hand = _Hand(scene, rng)
    hand.arm()
    hand.palm()
    spread, bend = rng.uniform(0, 0.25), rng.normal(0, 0.2)
    hand.finger([-0.4, 0.5], rng.uniform(0.4, 1.2), 0.95, 0.17, -0.3)
    for across, length in zip((-0.45, -0.15, 0.15, 0.45), (0.95, 1.2, 1.3, 1.15), strict=True):
        hand.finger([0.2, across], spread * across / 0.3 + rng.normal(0, 0.04), length, 0.15, bend)
    return hand.drawn()


def _some_fingers(scene: Scene, rng: np.random.Generator) -> Occluder:
    """Fingers alone, as of a hand that rests at the chin or cheek."""
    hand = _Hand(scene, rng)
    first = int(rng.integers(0, 3))
    for across in (-0.45, -0.15, 0.15, 0.45)[first : first + int(rng.integers(1, 4))]:
        hand.finger(
            [-1.4, across], rng.normal(0, 0.1), rng.uniform(1.5, 2.2), rng.uniform(0.13, 0.18), rng.normal(0, 0.3)
        )
    return hand.drawn()


def _forearm(scene: Scene, rng: np.random.Generator) -> Occluder:
    hand = _Hand(scene, rng)
    colour = rng.uniform(5, 250, 3) if rng.random() < 0.5 else None
    hand.capsule(
        [-5, rng.normal(0, 0.5)], [5, rng.normal(0, 0.5)], (rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.8)), colour
    )
    return hand.drawn()


def _fist(scene: Scene, rng: np.random.Generator) -> Occluder:
    hand = _Hand(scene, rng)
    hand.arm()
    hand.palm(0.7)
    for across in (-0.48, -0.16, 0.16, 0.48):
        hand.capsule([0.15, across], [-0.25, 0.9 * across], (0.19, 0.17))
    hand.finger([-0.45, 0.6], rng.uniform(-1.2, -0.6), 0.9, 0.18, -0.5)
    return hand.drawn()


def _pointing(scene: Scene, rng: np.random.Generator) -> Occluder:
    hand = _Hand(scene, rng)
    hand.arm()
    hand.palm(0.7)
    hand.finger([0.2, 0.45], rng.normal(0, 0.15), 1.2, 0.15, rng.normal(0, 0.2))
    for across in (-0.48, -0.16, 0.16):
        hand.capsule([0.15, across], [-0.25, 0.9 * across], (0.19, 0.17))
    hand.finger([-0.45, 0.6], rng.uniform(-1.2, -0.6), 0.9, 0.18, -0.5)
    return hand.drawn()


def _texture(scene: Scene, rng: np.random.Generator) -> Floats:
    """A surface `[S, S, 3]`: plain, shaded, striped, noisy, or a part of a photograph."""
    size = scene.size
    kind = rng.random()
    if kind < 0.3 and scene.others:
        other = scene.others[int(rng.integers(len(scene.others)))]
        side = int(rng.integers(len(other) // 4, len(other)))
        y, x = rng.integers(0, len(other) - side + 1, 2)
        surface = cv2.resize(other[y : y + side, x : x + side], (size, size)).astype(np.float32)
        return np.clip(surface * rng.uniform(0.6, 1.4), 0, 255).astype(np.float32)
    first = rng.uniform(5, 250, 3) if rng.random() < 0.8 else scene.skin * rng.uniform(0.7, 1.2)
    surface = np.tile(first.astype(np.float32), (size, size, 1))
    y, x = np.mgrid[:size, :size] / size
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    if kind < 0.5:
        wave = np.sin(2 * np.pi * along * rng.uniform(3, 25)) > rng.uniform(-0.5, 0.5)
        surface[wave] = rng.uniform(5, 250, 3)
    elif kind < 0.65:
        cells = rng.normal(0, rng.uniform(10, 60), (int(rng.integers(4, size)),) * 2 + (1,)).astype(np.float32)
        surface += cv2.resize(cells, (size, size))[..., None]
    shade = 1 + rng.uniform(0, 0.6) * (along - along.mean())
    return np.clip(surface * shade[..., None], 0, 255).astype(np.float32)


def _filled(scene: Scene, polygons: Sequence[NDArray[np.float64]]) -> Floats:
    """Polygons `[N, 2]` around the centre, inter-ocular distances, with soft edges."""
    mask = np.zeros((scene.size, scene.size), np.uint8)
    for polygon in polygons:
        pixels = scene.centre + scene.unit * polygon
        cv2.fillPoly(mask, [np.rint(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _rounded(width: float, height: float, power: float) -> NDArray[np.float64]:
    """A superellipse `[40, 2]`."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    wave = np.stack([np.cos(angle), np.sin(angle)], -1)
    return np.sign(wave) * np.abs(wave) ** (2 / power) * [width / 2, height / 2]


def _turned(polygon: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return polygon @ np.array([[cos, sin], [-sin, cos]])


def _cup(scene: Scene, rng: np.random.Generator) -> Occluder:
    width, height, angle = rng.uniform(0.9, 1.6), rng.uniform(1.0, 2.0), rng.normal(0, 0.3)
    low = width * rng.uniform(0.6, 1.0)
    body = np.array([[-width, 0], [width, 0], [low, 2 * height], [-low, 2 * height]]) / 2
    rim = _rounded(width, width * rng.uniform(0.1, 0.4), 2)
    return Occluder(_texture(scene, rng), _filled(scene, [_turned(body, angle), _turned(rim, angle)]))


def _paper(scene: Scene, rng: np.random.Generator) -> Occluder:
    width, height = rng.uniform(0.8, 4, 2)
    sheet = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    sheet = _turned(sheet + rng.normal(0, 0.1, (4, 2)), rng.normal(0, 0.5)) + rng.uniform(-0.5, 0.5, 2) * [
        width,
        height,
    ]
    return Occluder(_texture(scene, rng), _filled(scene, [sheet]))


def _microphone(scene: Scene, rng: np.random.Generator) -> Occluder:
    side, angle = rng.uniform(0.35, 1.0), rng.normal(0, 0.6)
    handle = np.array([[-0.3, 0], [0.3, 0], [0.25, 8], [-0.25, 8]]) * side
    head = _rounded(side, side * rng.uniform(0.9, 1.4), 2)
    return Occluder(_texture(scene, rng), _filled(scene, [_turned(handle, angle), _turned(head, angle)]))


def _strands(scene: Scene, rng: np.random.Generator) -> Occluder:
    """Hair or straps: thin lines that bend."""
    mask = np.zeros((scene.size, scene.size), np.uint8)
    towards = rng.normal(0, 0.5)
    for _ in range(int(rng.integers(3, 14))):
        along = np.linspace(-3, 3, 16)
        across = rng.normal(0, 0.3) + rng.normal(0, 0.08) * along**2 + 0.1 * np.sin(along * rng.uniform(0.5, 3))
        line = _turned(np.stack([across, along], -1), towards + rng.normal(0, 0.06))
        pixels = np.rint((scene.centre + scene.unit * line) * 16).astype(np.int32)
        cv2.polylines(mask, [pixels], False, 255, int(rng.integers(1, 5)), cv2.LINE_AA, 4)
    colour = rng.uniform(5, 160) * np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.4, 0.9)])
    surface = np.tile(colour.astype(np.float32), (scene.size, scene.size, 1))
    return Occluder(surface + rng.normal(0, 6, surface.shape[:2])[..., None].astype(np.float32), mask / np.float32(255))


def _blob(scene: Scene, rng: np.random.Generator) -> Occluder:
    outline = _rounded(rng.uniform(0.3, 2.2), rng.uniform(0.3, 2.2), 2) * rng.uniform(0.75, 1.25, (40, 1))
    outline = np.stack([np.convolve(np.tile(axis, 3), np.ones(5) / 5, "same")[40:80] for axis in outline.T], -1)
    return Occluder(_texture(scene, rng), _filled(scene, [_turned(outline, rng.uniform(0, np.pi))]))


def _phone(scene: Scene, rng: np.random.Generator) -> Occluder:
    body = _turned(_rounded(rng.uniform(1.0, 1.3), rng.uniform(2.2, 2.6), 9), rng.normal(0, 0.6))
    surface = _texture(scene, rng) if rng.random() < 0.3 else np.full((scene.size,) * 2 + (3,), rng.uniform(8, 60))
    return Occluder(surface.astype(np.float32), _filled(scene, [body]))


Draw = Callable[[Scene, np.random.Generator], Occluder]
KINDS: dict[str, tuple[Draw, float]] = {
    "open hand": (_open_hand, 3.0),
    "fingers": (_some_fingers, 2.0),
    "forearm": (_forearm, 1.0),
    "cup": (_cup, 1.0),
    "paper": (_paper, 1.0),
    "microphone": (_microphone, 1.0),
    "strands": (_strands, 0.7),
    "blob": (_blob, 1.5),
}
"""What the network learns from, and how often."""
HELD_OUT_KINDS: dict[str, Draw] = {"fist": _fist, "pointing hand": _pointing, "phone": _phone}
"""What it is measured with."""


def draw_any(scene: Scene, rng: np.random.Generator) -> Occluder:
    """Something of `KINDS`."""
    draws, shares = zip(*KINDS.values(), strict=True)
    return draws[int(rng.choice(len(draws), p=np.array(shares) / sum(shares)))](scene, rng)


def lay_over(picture: Picture, occluder: Occluder, unit: float, rng: np.random.Generator) -> Picture:
    """A picture `[H, W, 3]` with an occluder of its size before it, with a soft shadow; `unit` as in `Scene`."""
    shift = np.array([[1, 0, rng.normal(0, 0.1 * unit)], [0, 1, rng.normal(0.05 * unit, 0.1 * unit)]])
    dark = cv2.warpAffine(occluder.alpha, shift, occluder.alpha.shape[::-1])
    dark = cv2.GaussianBlur(dark, (0, 0), rng.uniform(0.03, 0.2) * unit) * rng.uniform(0, 0.45)
    behind = picture * (1 - dark)[..., None]
    alpha = occluder.alpha[..., None]
    return np.clip(behind + alpha * (occluder.colour - behind) + 0.5, 0, 255).astype(np.uint8)
