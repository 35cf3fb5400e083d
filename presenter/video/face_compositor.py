"""The second pass over a video: the lower face of one frame rendered with another mouth."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from models.compositor import Backend
from models.crop import CROP_SIZE, crop_mask, crop_points, crop_rasteriser, crop_transform, cut_crop, mask_region
from models.identity import picture_tensor
from models.layer import Layer, Planes
from models.live_inputs import masked_target, mouth_gap, planes_of
from models.mesh import FACE_OVAL, INNER_LIP_RING, Floats, topology
from models.mouth_interior import interior_look
from models.raster import Drawn, MeshRasteriser
from models.references import light, skin
from models.rest_error import away_from_lips, rest_error
from models.still import blended
from presenter.video.face_track import Face, FaceTrack, Picture, Reference

_RIM = 13  # pixels of the crop by which the rendered region reaches beyond the face, for the old jaw's edge
_RIM_BLUR = 3.0
_CLOSED_GAP = 4.0  # pixels of the crop between closed lips; the inside is fully visible at twice as much
_STAY_DEGREES = 4.0  # by how much another reference must be nearer in pose to be taken


class FaceCompositor:
    """Renders the mouth of a tracked face; call it frame by frame from one thread.

    The frame's own mouth is not visible: the generator gets it masked, skin and lips come from a reference with
    closed lips, teeth and tongue from one with open lips, and the blend covers the old face as well as the new one.

    Args:
        track: Of the video.
        backend: The generator, folded for the person.
    """

    def __init__(self, track: FaceTrack, backend: Backend) -> None:
        self._neutral = track.neutral
        self._backend = backend
        self._detail = track.detail
        self._closed = _Nearest([_Prepared(each, track.neutral, self._detail) for each in track.references])
        self._open = _Nearest([_Prepared(each, track.neutral, self._detail) for each in track.open_references])
        self._rasteriser = crop_rasteriser()
        for reference in self._closed.references:
            reference.error = self._error(reference)
        top, bottom, left, right = (edge * self._detail for edge in mask_region())
        self._fine = MeshRasteriser(CROP_SIZE * self._detail, (top, bottom, left, right))
        # What of the crop is shown: the mask, and a pixel around it of which a resampled one may take a share.
        size = CROP_SIZE * self._detail
        rows, columns = (
            slice(max(low - self._detail, 0), min(high + self._detail, size))
            for low, high in ((top, bottom), (left, right))
        )
        self._box = rows, columns

    def compose(self, rgb: Picture, face: Face, displacement: Floats, weight: float = 1.0) -> Picture:
        """The frame with another mouth; every pixel outside the mask is the frame's own.

        Args:
            rgb: The frame `[H, W, 3]`, not changed.
            face: The face in it.
            displacement: Of the mesh from neutral `[478, 3]`, inter-ocular distances.
            weight: 0..1, opacity of the new mouth; for fades.
        """
        transform = crop_transform(face.pose)
        target = cut_crop(rgb, transform)
        own = crop_points(face.mesh, self._neutral, face.pose, transform)
        points = crop_points(self.mesh(face, displacement), self._neutral, face.pose, transform)
        references = [each for each in (self._closed.to(face), self._open.to(face)) if each is not None]
        colour = self._colour(target, skin(target, own), points, references)
        opacity = _opacity(own, points) * weight
        return _paste(rgb, colour, (self._box[1].start, self._box[0].start), opacity, transform, self._detail)

    def follow(self, face: Face) -> None:
        """Note a face that is not rendered, so that the next one gets the references that it would get after it."""
        self._closed.to(face)
        self._open.to(face)

    def mesh(self, face: Face, displacement: Floats) -> Floats:
        """The face's mesh with another mouth, canonical `[478, 3]`."""
        return np.asarray(face.mesh + topology().lower_face[:, None] * (self._neutral - face.mesh) + displacement)

    def _colour(self, target: Picture, lit: Floats, points: Floats, references: list[_Prepared]) -> Picture:
        """The box of the rendered crop at full detail: the references warped there, and the generator's residual."""
        drawn, planes, warped, fine = self._warped(points, lit, references[0])
        # The thin gap of nearly closed lips would show as a bright line.
        shown = float(np.clip((mouth_gap(points) - _CLOSED_GAP) / _CLOSED_GAP, 0, 1))
        if len(references) > 1 and shown:
            _, inner, warped_inner, fine_inner = self._warped(points, lit, references[1])
            inside = shown / 255 * _filled(points[INNER_LIP_RING, :2]).astype(np.float32)
            planes, warped = (
                (one + inside[..., None] * (other.astype(np.float32) - one) + 0.5).astype(np.uint8)
                for one, other in ((planes, inner), (warped, warped_inner))
            )
            size = CROP_SIZE * self._detail
            share = cv2.GaussianBlur(cv2.resize(inside, (size, size)), (0, 0), self._detail)[self._box][..., None]
            fine = (fine + share * (fine_inner - fine)).astype(np.float32)
        layer, window = self._layer(target, planes), self._backend.window
        residual = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.float32)
        covered = np.s_[window.top : window.bottom, window.left : window.right]
        residual[covered] = layer[..., :3].astype(np.float32) - warped[covered]
        error = references[0].error
        if error is not None:
            kept = away_from_lips(planes, window) * np.float32(1 / 255)
            gain = light(lit, references[0].skin_colour)
            residual[covered] -= kept[..., None] * (drawn.moved(error)[covered] * gain)
        rows, columns = self._box
        scale = float(self._detail)
        placed = np.array([[scale, 0, -columns.start], [0, scale, -rows.start]])
        fine += cv2.warpAffine(residual, placed, fine.shape[1::-1])
        return np.clip(fine + 0.5, 0, 255).astype(np.uint8)

    def _layer(self, target: Picture, planes: Planes) -> Layer:
        with torch.inference_mode():
            return self._backend.render(self._backend.encode_target(masked_target(picture_tensor(target))), planes)

    def _error(self, reference: _Prepared) -> Floats | None:
        """What the generator changes in a reference itself, see `models.rest_error`; None if that is little."""
        planes = self._drawn(reference.points, reference.crop, reference)[1]
        layer = self._layer(reference.crop, planes)
        error = rest_error(layer, reference.crop, reference.points, self._backend.window)
        return error if error.any() else None

    def _drawn(self, points: Floats, crop: Picture, reference: _Prepared) -> tuple[Drawn, Planes, Picture]:
        """A reference's crop in some light, moved: the generator's live inputs, and the bare warp."""
        look = interior_look(crop, reference.points) if self._backend.painted_interior else None
        drawn = self._rasteriser.draw(points, reference.points, crop)
        warped = drawn.warped.copy()
        return drawn, planes_of(drawn, points, mouth_gap(reference.points), look), warped

    def _warped(self, points: Floats, lit: Floats, reference: _Prepared) -> tuple[Drawn, Planes, Picture, Floats]:
        """`_drawn` from a reference in the frame's light, and its bare warp at full detail."""
        gain = light(lit, reference.skin_colour)
        matched = np.clip(reference.crop * gain, 0, 255).astype(np.uint8)
        drawn, planes, warped = self._drawn(points, matched, reference)
        fine = self._fine.draw(points * self._detail, reference.points * self._detail, reference.detailed).warped
        return drawn, planes, warped, (fine[self._box] * gain).astype(np.float32)


class _Nearest:
    """Chooses a reference by pose; stays with the last one as long as that is little farther."""

    def __init__(self, references: list[_Prepared]) -> None:
        self.references = references
        self._chosen: _Prepared | None = None

    def to(self, face: Face) -> _Prepared | None:
        """The reference for a face; None where there are none."""
        nearest = min(self.references, key=lambda each: each.distance(face), default=None)
        last = self._chosen
        if nearest is None or last is None or nearest.distance(face) + _STAY_DEGREES < last.distance(face):
            self._chosen = nearest
        return self._chosen


class _Prepared:
    """A reference, prepared for rendering."""

    def __init__(self, reference: Reference, neutral: Floats, detail: int) -> None:
        pose = reference.face.pose
        self._pose = pose
        self.detailed = reference.resized(detail)
        self.crop = cv2.resize(reference.resized(1), (CROP_SIZE, CROP_SIZE)).astype(np.uint8)
        self.points = crop_points(reference.face.mesh, neutral, pose, crop_transform(pose))
        self.skin_colour = skin(self.crop, self.points)
        self.error: Floats | None = None
        """See `models.rest_error`; `FaceCompositor` tells it."""

    def distance(self, face: Face) -> float:
        """Between poses, degrees."""
        yaw = self._pose.yaw_degrees - face.pose.yaw_degrees
        return float(np.hypot(yaw, self._pose.pitch_degrees - face.pose.pitch_degrees))


def _filled(*outlines: Floats) -> Picture:
    """Polygons of the crop `[N, 2]`, 255 inside."""
    picture = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for outline in outlines:
        cv2.fillPoly(picture, [np.rint(outline).astype(np.int32)], 255)
    return picture


def _opacity(own: Floats, points: Floats) -> Floats:
    """Opacity of the rendered crop `[256, 256]`, 0..1: the old and the new face with a soft rim, within the mask."""
    faces = _filled(own[FACE_OVAL, :2], points[FACE_OVAL, :2])
    reach = cv2.dilate(faces, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_RIM, _RIM)))
    soft = cv2.GaussianBlur(reach.astype(np.float32) / 255, (0, 0), _RIM_BLUR)
    opacity: Floats = soft * crop_mask()
    return opacity


def _paste(
    rgb: Picture, colour: Picture, corner: tuple[int, int], opacity: Floats, transform: Floats, detail: int
) -> Picture:
    """Blend a part of a crop at full detail, with its x and y there, into a copy of the frame, where it is opaque."""
    height, width = rgb.shape[:2]
    inverse = cv2.invertAffineTransform(transform.astype(np.float64))
    top, bottom, left, right = mask_region()
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64)
    placed = corners @ inverse[:, :2].T + inverse[:, 2]
    x0, y0 = np.clip(np.floor(placed.min(0)), 0, [width, height]).astype(int)
    x1, y1 = np.clip(np.ceil(placed.max(0)) + 1, 0, [width, height]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return rgb
    inverse[:, 2] -= [x0, y0]
    size = int(x1 - x0), int(y1 - y0)
    fine = inverse / [detail, detail, 1]
    fine[:, 2] += fine[:, :2] @ corner
    moved = cv2.warpAffine(colour, fine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(opacity, inverse, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    region = np.s_[int(y0) : int(y1), int(x0) : int(x1)]
    out = rgb.copy()
    mixed = blended(moved.astype(np.uint8), alpha, rgb[region])
    out[region] = np.where(alpha[..., None] > 0, mixed, rgb[region])
    return out
