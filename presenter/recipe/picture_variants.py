"""One portrait in many ways: other light, other media, and what people wear or hold, to evaluate pictures.

Used by `presenter contact-sheet --variants`. All is drawn by the face mesh: no picture of a person is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import INNER_LIP_RING, LEFT_CORNER, OUTER_LIP_RING, RIGHT_CORNER, Floats

Picture = NDArray[np.uint8]
_RIGHT_EYE, _LEFT_EYE = [33, 160, 158, 133, 153, 144], [263, 387, 385, 362, 380, 373]
_NOSE, _LIP_TOP, _CHIN = 2, 0, 152
_JAW = [172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397]
_CHEEKS = [436, 426, 164, 206, 216]
_FINE = 3  # bits after the point in drawn coordinates
_SEED = 0


def variants(picture: Picture, landmarks: Floats) -> dict[str, Picture]:
    """Every variant by its name.

    Args:
        picture: A portrait `[H, W, 3]`, RGB.
        landmarks: The face mesh in it `[>= 468, 2 or more]`, pixels.
    """
    points = np.ascontiguousarray(landmarks[:, :2], np.float32)
    return {name: draw(picture.copy(), points) for name, draw in _VARIANTS.items()}


def _blend(picture: Picture, mask: Floats, colour: Any) -> Picture:
    """The colour, or picture, over the picture where the mask `[H, W]` in 0..1 is."""
    over = np.asarray(colour, np.float32)
    return np.clip(picture + mask[..., None] * (over - picture) + 0.5, 0, 255).astype(np.uint8)


def _filled(picture: Picture, polygon: Floats, soft: float) -> Floats:
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.fillPoly(mask, [_fixed(polygon)], 1.0, cv2.LINE_AA, _FINE)
    return cv2.GaussianBlur(mask, (0, 0), soft) if soft > 0 else mask


def _fixed(points: Floats) -> NDArray[np.int32]:
    return np.rint(points * (1 << _FINE)).astype(np.int32)


def _eye_distance(points: Floats) -> float:
    return float(np.linalg.norm(points[_LEFT_EYE].mean(0) - points[_RIGHT_EYE].mean(0)))


def _grey(picture: Picture, points: Floats) -> Picture:
    del points
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def _sepia(picture: Picture, points: Floats) -> Picture:
    grey = _grey(picture, points).astype(np.float32)
    return np.clip(grey * [1.0, 0.86, 0.66] + [12, 8, 4], 0, 255).astype(np.uint8)


def _faded(picture: Picture, points: Floats) -> Picture:
    return _blend(picture, np.full(picture.shape[:2], 0.6, np.float32), _grey(picture, points))


def _light(*gains: float) -> Callable[[Picture, Floats], Picture]:
    def draw(picture: Picture, points: Floats) -> Picture:
        del points
        return np.clip(picture * np.array(gains) + 0.5, 0, 255).astype(np.uint8)

    return draw


def _side_light(picture: Picture, points: Floats) -> Picture:
    across = (np.arange(picture.shape[1]) - points[_NOSE, 0]) / _eye_distance(points)
    gain = 0.35 + 0.75 / (1 + np.exp(-2.5 * across))
    return np.clip(picture * gain[None, :, None] + 0.5, 0, 255).astype(np.uint8)


def _grain(picture: Picture, points: Floats) -> Picture:
    del points
    noise = np.random.default_rng(_SEED).normal(0, 25, picture.shape)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def _compressed(picture: Picture, points: Floats) -> Picture:
    del points
    _, stored = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 12])
    return cv2.cvtColor(np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB).astype(
        np.uint8
    )


def _soft(picture: Picture, points: Floats) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), _eye_distance(points) / 60).astype(np.uint8)


def _cartoon(picture: Picture, points: Floats) -> Picture:
    flat = cv2.pyrMeanShiftFiltering(picture, 12, 28)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.minimum(hsv[..., 1] * 1.4, 255)
    flat = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    luma = cv2.medianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 5)
    block = int(_eye_distance(points) / 12) | 1
    lines = cv2.adaptiveThreshold(luma, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, max(block, 5), 5)
    return _blend(flat, cv2.GaussianBlur(lines.astype(np.float32), (0, 0), 0.7), (30, 22, 24))


def _painting(picture: Picture, points: Floats) -> Picture:
    """Brush strokes: every small patch has the colour of its most frequent brightness (an oil-paint filter)."""
    radius = max(int(_eye_distance(points) / 25), 2)
    levels = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) // 26).astype(np.int64)
    size = (2 * radius + 1, 2 * radius + 1)
    counts, sums = [], []
    for level in range(10):
        here = (levels == level).astype(np.float32)
        counts.append(cv2.boxFilter(here, -1, size, normalize=False))
        sums.append(cv2.boxFilter(picture * here[..., None], -1, size, normalize=False))
    most = np.argmax(counts, 0)[None]
    count = np.take_along_axis(np.stack(counts), most, 0)[0]
    colour = np.take_along_axis(np.stack(sums), most[..., None], 0)[0]
    return np.clip(colour / np.maximum(count, 1)[..., None] + 0.5, 0, 255).astype(np.uint8)


def _glasses(picture: Picture, points: Floats) -> Picture:
    unit = _eye_distance(points)
    for eye in (_RIGHT_EYE, _LEFT_EYE):
        centre = points[eye].mean(0) + [0, 0.05 * unit]
        size = np.array([0.36, 0.29]) * unit
        cv2.ellipse(picture, _point(centre), _point(size), 0, 0, 360, (38, 30, 28), _line(unit), cv2.LINE_AA, _FINE)
    for one, other in ((133, 362), (33, 234), (263, 454)):
        cv2.line(picture, _point(points[one]), _point(points[other]), (38, 30, 28), _line(unit), cv2.LINE_AA, _FINE)
    return picture


def _line(unit: float) -> int:
    return max(int(0.035 * unit + 0.5), 1)


def _point(xy: Any) -> tuple[int, int]:
    x, y = _fixed(np.asarray(xy, np.float32))
    return int(x), int(y)


def _hairs(picture: Picture, area: Floats, points: Floats, count: int, length: float) -> Picture:
    """Short hairs that point down and outwards, all over an area."""
    random = np.random.default_rng(_SEED)
    unit = _eye_distance(points)
    mask = _filled(picture, area, 0)
    cv2.fillPoly(mask, [_fixed(points[OUTER_LIP_RING])], 0.0, cv2.LINE_AA, _FINE)
    rows, columns = np.nonzero(mask > 0.5)
    hairs = np.zeros_like(mask)
    for pick in random.integers(0, len(rows), count):
        root = np.array([columns[pick], rows[pick]], np.float32)
        lean = (root[0] - points[_NOSE, 0]) / unit + random.normal(0, 0.25)
        tip = root + length * unit * np.array([lean, 1.0]) * random.uniform(0.5, 1.2)
        cv2.line(hairs, _point(root), _point(tip), random.uniform(0.4, 1.0), 1, cv2.LINE_AA, _FINE)
    keep = 1 - _filled(picture, points[INNER_LIP_RING], 0)
    return _blend(picture, hairs * keep * 0.9, (48, 34, 26))


def _moustache(picture: Picture, points: Floats) -> Picture:
    corners = points[[RIGHT_CORNER, LEFT_CORNER]]
    middle = points[[_NOSE]] * 0.6 + points[[_LIP_TOP]] * 0.4
    lip = points[[_LIP_TOP]]
    outer = corners + (corners - corners[::-1]) * 0.08
    area = np.concatenate([outer[:1], middle, outer[1:], lip])
    return _hairs(picture, area, points, 1400, 0.07)


def _beard(picture: Picture, points: Floats) -> Picture:
    picture = _hairs(picture, np.concatenate([points[_JAW], points[_CHEEKS]]), points, 6000, 0.06)
    return _moustache(picture, points)


def _lipstick(picture: Picture, points: Floats) -> Picture:
    unit = _eye_distance(points)
    mask = _filled(picture, points[OUTER_LIP_RING], unit / 60) - _filled(picture, points[INNER_LIP_RING], unit / 120)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / np.float32(150)
    return _blend(picture, np.float32(0.75) * mask.clip(0, 1), light * np.array([196, 18, 48], np.float32))


def _piercing(picture: Picture, points: Floats) -> Picture:
    unit = _eye_distance(points)
    for place in (0.75 * points[17] + 0.25 * points[_CHIN], points[_LIP_TOP] + 0.35 * (points[61] - points[_LIP_TOP])):
        cv2.circle(picture, _point(place + [0, 0.02 * unit]), _point((0.03 * unit, 0))[0], (70, 70, 74), -1, 16, _FINE)
        cv2.circle(picture, _point(place), _point((0.022 * unit, 0))[0], (214, 214, 220), -1, 16, _FINE)
    return picture


def _microphone(picture: Picture, points: Floats) -> Picture:
    unit = _eye_distance(points)
    head = points[LEFT_CORNER] + np.array([0.3, 0.12]) * unit
    ear = points[454] + np.array([0.05, 0.1]) * unit
    cv2.line(picture, _point(ear), _point(head), (28, 28, 30), _line(unit), cv2.LINE_AA, _FINE)
    cv2.ellipse(picture, _point(head), _point(np.array([0.11, 0.08]) * unit), -25, 0, 360, (40, 40, 44), -1, 16, _FINE)
    return picture


_VARIANTS: dict[str, Callable[[Picture, Floats], Picture]] = {
    "grey": _grey,
    "sepia": _sepia,
    "faded": _faded,
    "warm": _light(1.12, 0.96, 0.68),
    "cool": _light(0.8, 0.96, 1.18),
    "dark": _light(0.45, 0.45, 0.45),
    "side-light": _side_light,
    "grain": _grain,
    "compressed": _compressed,
    "soft": _soft,
    "cartoon": _cartoon,
    "painting": _painting,
    "glasses": _glasses,
    "moustache": _moustache,
    "beard": _beard,
    "lipstick": _lipstick,
    "piercing": _piercing,
    "microphone": _microphone,
}
