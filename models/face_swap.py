"""Face swap: another person's face in a tracked one, which keeps pose, expression, gaze, light and mouth interior.

The source's texture is warped by the mesh to the target's pose and expression, as the reference is for lip-sync; the
shape of its features comes with it, the outline stays the target's. No network draws it; a small one finds what is
before the face and stays there (docs/adr/0024).

Source: ReSyncer (ECCV 2024) swaps faces with the network of lip-sync, whose identity enters through W; here identity
enters through the warped reference alone (docs/adr/0015).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import to_crop
from models.face_square import FACE_SIDE, FaceTexture, cut_face, face_points, face_transform
from models.mesh import FACE_OVAL, INNER_LIP_RING, OUTER_LIP_RING, Floats, Pose, topology
from models.occlusion import SIZE, OcclusionFinder, refined
from models.raster import MeshRasteriser
from models.source_face import BROWS, EYES, polygons, widened, without_smile

Picture = NDArray[np.uint8]

# Lengths in inter-ocular distances.
_SHAPE_RISE = 0.25  # from the outline inwards, where the features' shape becomes the source's
_LIGHT_SIGMA = 0.45  # lighting is what changes slower than this
_RIM, _RIM_SIGMA = 0.10, 0.07
_FEATURE_SIGMA = 0.02
_FOREHEAD = (-0.75, -0.45)  # canonical y: the face fades in between, below the hair of most people
_GAIN = (0.25, 4.0)
_COARSE, _HALF = 4, 2  # light, and what is blurred a little, are drawn at so much less than the square's size


@cache
def _inner_share() -> Floats:
    """How far each vertex is from the outline `[478, 1]`, 0 on it to 1."""
    reference = topology().reference
    gaps = np.linalg.norm(reference[:, None, :2] - reference[None, FACE_OVAL, :2], axis=-1).min(1)
    share = np.clip(gaps / _SHAPE_RISE, 0, 1)
    return (share * share * (3 - 2 * share))[:, None].astype(np.float32)


class FaceSwap:
    """Puts one source's face into the frames of one target; call it from one thread.

    Args:
        source: The face to show, bared.
        target: The target's own face, seen whole, from the front, with the size of the squares that are to be filled.
    """

    def __init__(self, source: FaceTexture, target: FaceTexture) -> None:
        self._source = source
        self.target = target
        self.size = len(target.picture)
        """Side of the squares, pixels."""
        self.hidden = 0.0
        """Share of the other face that was not shown in the last frame, because something is before the target's."""
        self._unit = self.size / FACE_SIDE
        self._finder = OcclusionFinder()
        self._rasteriser = MeshRasteriser(self.size, (0, self.size, 0, self.size))

    @property
    def target(self) -> FaceTexture:
        """May be exchanged between frames for another of the same size, as more of the target is seen."""
        return self._target

    @target.setter
    def target(self, target: FaceTexture) -> None:
        self._target = target
        small = cv2.resize(target.picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        self._look = FaceTexture(small, _resized(target.points, len(target.picture)), target.neutral)

    def swap(self, frame: Picture, mesh: Floats, pose: Pose, weight: float = 1.0) -> Picture:
        """The frame with the other face; outside the target's face every pixel is the frame's own.

        Args:
            frame: `[H, W, 3]`, not changed.
            mesh: The target's face in it, canonical `[478, 3]`.
            pose: From canonical space to the frame's pixels.
            weight: 0..1, opacity of the other face; for fades.
        """
        transform = face_transform(pose, self.size)
        own = cut_face(frame, transform, self.size)
        points = face_points(mesh, self.target.neutral, pose, transform)
        change = without_smile(self._source.neutral - self.target.neutral)
        shape = mesh + _inner_share() * change
        swapped = face_points(shape, self.target.neutral, pose, transform)
        # The other face, and the target's own in the other's shape.
        face, moved = self._rasteriser.warp(swapped, (self._source.points, self._source.picture), (points, own))
        features = self._features(swapped)
        lit = cv2.multiply(face, self._whole(self._gain(face, moved, swapped)), dtype=cv2.CV_8U)
        colour = cv2.blendLinear(moved, lit, features, 1 - features).astype(np.uint8, copy=False)
        face_opacity = self._opacity(points, swapped, mesh, pose, transform)
        opacity = face_opacity * (1 - self._occlusion(own, points))
        self.hidden = 1 - float(opacity.sum() / max(face_opacity.sum(), 1e-6))
        return _paste(frame, colour, weight * opacity, transform)

    def _filled(self, *outlines: Floats, reach: float = 0.0, smaller: int = 1) -> Floats:
        """Polygons of the square `[N, 2]`, 1 inside, wider by `reach` inter-ocular distances; drawn so much smaller."""
        mask = polygons(self.size // smaller, *((outline + 0.5) / smaller - 0.5 for outline in outlines))
        return widened(mask, reach * self._unit / smaller).astype(np.float32)

    def _blurred(self, picture: Floats, sigma: float) -> Floats:
        """A Gaussian of so many inter-ocular distances over the square, drawn at any size."""
        return cv2.GaussianBlur(picture, (0, 0), sigma * self._unit * len(picture) / self.size).astype(
            np.float32, copy=False
        )

    def _whole(self, picture: Floats) -> Floats:
        """What was drawn smaller, as large as the square."""
        return cv2.resize(picture, (self.size, self.size)).astype(np.float32, copy=False)

    def _features(self, points: Floats) -> Floats:
        """Where the target's own eyes and mouth interior are shown `[S, S]`."""
        mask = self._filled(*(points[ring, :2] for ring in (*EYES, INNER_LIP_RING)))
        return self._blurred(mask, _FEATURE_SIGMA)

    def _gain(self, face: Picture, moved: Picture, points: Floats) -> Floats:
        """What takes the source's skin to the target's light and tone, slowly varying, small `[S / 4, S / 4, 3]`."""
        skin = self._filled(points[FACE_OVAL, :2], reach=-0.08, smaller=_COARSE)
        rings = (points[ring, :2] for ring in (*EYES, *BROWS, OUTER_LIP_RING))
        skin *= 1 - self._filled(*rings, reach=0.06, smaller=_COARSE)
        pixels = _LIGHT_SIGMA * self._unit / _COARSE
        light = []
        for picture in (face, moved):
            small = _smaller(picture, _COARSE)
            masked = np.dstack([small * skin[..., None], skin])
            light.append(cv2.GaussianBlur(masked, (0, 0), pixels, borderType=cv2.BORDER_CONSTANT))
        floor = 2.0 * np.maximum(light[0][..., 3:], 0.02)
        gain = (light[1][..., :3] + floor) / (light[0][..., :3] + floor)
        return np.clip(gain, *_GAIN).astype(np.float32)

    def _opacity(self, own: Floats, swapped: Floats, mesh: Floats, pose: Pose, transform: Floats) -> Floats:
        """Where the other face is shown `[S, S]`: inside the outline, soft, below the hair."""
        ovals = own[FACE_OVAL, :2], swapped[FACE_OVAL, :2]
        inside = self._filled(ovals[0]) * self._filled(ovals[1])
        core = self._filled(ovals[0], smaller=_HALF) * self._filled(ovals[1], smaller=_HALF)
        rim = self._whole(self._blurred(widened(core, -_RIM * self._unit / _HALF), _RIM_SIGMA)) * inside
        heights = [to_crop(pose.project(np.array([[0, y, 0]], np.float32)), transform)[0, 1] for y in _FOREHEAD]
        rows = np.arange(self.size, dtype=np.float32)
        return rim * np.clip((rows - heights[0]) / max(heights[1] - heights[0], 1.0), 0, 1)[:, None]

    def _occlusion(self, own: Picture, points: Floats) -> Floats:
        """Where something is before the target's face `[S, S]`: a hand, a microphone, a cup."""
        small = cv2.resize(own, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        return refined(self._finder.mask(small, _resized(points, self.size), self._look), own)


def _resized(points: Floats, size: int) -> Floats:
    """Points of a square of `size` pixels, where the occlusion network has them."""
    share = SIZE / size
    moved = points * np.float32(share)
    moved[:, :2] += 0.5 * share - 0.5
    return moved


def _smaller(picture: Picture, times: int) -> Picture:
    """A square at so much less than its size."""
    side = len(picture) // times
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _paste(frame: Picture, colour: Picture, opacity: Floats, transform: Floats) -> Picture:
    """Blend a square into a copy of the frame; where the opacity is 0 nothing is changed."""
    made = frame.copy()
    height, width = frame.shape[:2]
    left, top, wide, high = cv2.boundingRect((opacity > 0).astype(np.uint8))
    corners = np.array([[left + x, top + y, 1] for x in (-1, wide) for y in (-1, high)])
    corners = corners @ cv2.invertAffineTransform(transform).T
    x0, y0 = np.clip(np.floor(corners.min(0)), 0, [width, height]).astype(int)
    x1, y1 = np.clip(np.ceil(corners.max(0)) + 1, 0, [width, height]).astype(int)
    if not wide or x1 <= x0 or y1 <= y0:
        return made
    place = transform.copy()
    place[:, 2] += place[:, :2] @ [x0, y0]
    size = (int(x1 - x0), int(y1 - y0))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    placed = cv2.warpAffine(colour, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(opacity, place, size, flags=flags)
    part = made[y0:y1, x0:x1]
    part[:] = cv2.blendLinear(placed, np.ascontiguousarray(part), share, 1 - share)
    return made
