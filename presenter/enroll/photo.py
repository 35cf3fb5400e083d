"""From a photo to an identity."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.crop import crop_transform, cut_crop
from models.identity import Identity, StyleCode, picture_tensor
from models.matting import Matte, MattingError, draw_matte
from models.mesh import INNER_LIP_PAIRS, Floats, Pose, aperture, canonicalise
from models.still import draw_blinks
from models.tracker import FaceTracker
from presenter.enroll.decode import Photo, decode_photo
from presenter.errors import EnrollError
from presenter.runtime.networks import Networks

FRAME_SIZE = 512
_FRAME_SIDE = 5.2  # inter-ocular distances shown
_FRAME_CENTRE_Y = 0.55  # below the eyes
_MIN_UNIT = 32.0  # pixels between the eyes
_MAX_YAW, _MAX_PITCH = 22.0, 25.0
_BACKGROUND = 224.0  # a light grey where a photo is transparent: what lies hidden there was not meant to be seen
_TOUCHING = -0.005  # a hair below zero, so that no sliver of the teeth stays between the lips
_OPEN = 0.03  # lips further apart than this are open, inter-ocular distances

_log = logging.getLogger(__name__)


def enroll_photo(
    path: Path,
    name: str,
    progress: Callable[[float, str], None],
    networks: Networks,
    stop: threading.Event | None = None,
) -> Identity:
    """Make an identity from one photo of one frontal face; the opacity of a cut-out becomes its matte.

    Raises:
        EnrollError: Says what the photo lacks.
    """
    picture, opacity = _before_background(decode_photo(path, stop))
    progress(0.1, "Looking for the face")
    frame, landmarks, matte = _frame_around_face(picture, opacity)
    progress(0.5, "Reading the face")
    mesh, pose = canonicalise(landmarks)
    basis = networks.syncformer.basis.numpy()
    neutral = close_lips(mesh, basis.reshape(-1, *mesh.shape))
    progress(0.7, "Computing the style code")
    generator = networks.generator
    crop = cut_crop(frame, crop_transform(pose))
    with torch.inference_mode():
        style = StyleCode(generator.style_code(picture_tensor(crop))[0].clone())
    progress(0.8, "Drawing eyelids")
    blinks = draw_blinks(frame, landmarks)
    progress(0.85, "Cutting out the background")
    matte = _matte(frame) if matte is None else matte
    return Identity(name, frame, mesh, neutral, pose, style, generator.fingerprint, None, blinks, matte)


def _before_background(photo: Photo) -> tuple[NDArray[np.uint8], Matte | None]:
    """The picture before a plain background where it was transparent, and its opacity if it has one."""
    if photo.alpha is None:
        return photo.rgb, None
    opacity = photo.alpha[..., None].astype(np.float32) / 255
    return np.rint(photo.rgb * opacity + _BACKGROUND * (1 - opacity)).astype(np.uint8), photo.alpha


def _one_face(rgb: NDArray[np.uint8]) -> Floats:
    with FaceTracker(video=False) as tracker:
        faces = tracker.track(rgb)
    if not faces:
        raise EnrollError("found no face; use a photo that shows one face from the front, well lit")
    if len(faces) > 1:
        raise EnrollError(f"expected one face, found {len(faces)}; crop the photo to one person")
    return faces[0]


def _frame_around_face(rgb: NDArray[np.uint8], opacity: Matte | None) -> tuple[NDArray[np.uint8], Floats, Matte | None]:
    """Head and shoulders as `[512, 512, 3]`, the landmarks in it, and the opacity there."""
    rgb = _shrink(rgb, 1600)
    opacity = None if opacity is None else _shrink(opacity, 1600)
    pose = canonicalise(_one_face(rgb))[1]
    check_pose(pose)
    if pose.scale < _MIN_UNIT:
        raise EnrollError(
            f"the face is too small: expected at least {_MIN_UNIT:.0f} pixels between the eyes, found {pose.scale:.0f}"
        )
    height, width = rgb.shape[:2]
    side = min(_FRAME_SIDE * pose.scale, height, width)
    centre = pose.project(np.array([0.0, _FRAME_CENTRE_Y, 0.0], np.float32))
    left = float(np.clip(centre[0] - side / 2, 0, width - side))
    top = float(np.clip(centre[1] - side / 2, 0, height - side))
    shrinks = side > FRAME_SIZE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = picture[int(top) : int(top + side), int(left) : int(left + side)]
        return cv2.resize(part, (FRAME_SIZE, FRAME_SIZE), interpolation=how).astype(np.uint8)

    frame = cut(rgb)
    return frame, _one_face(frame), None if opacity is None else cut(opacity)


def _matte(rgb: NDArray[np.uint8]) -> Matte | None:
    """The frame's matte, or None where none can be drawn: the presenter works without."""
    try:
        return draw_matte(rgb)
    except MattingError as error:
        _log.warning("the presenter gets no matte: %s", error)
        return None


def _shrink(rgb: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    factor = longest / max(rgb.shape[:2])
    if factor >= 1:
        return rgb
    return cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)


def check_pose(pose: Pose) -> None:
    """Refuse faces that look away.

    Raises:
        EnrollError: Says by how much.
    """
    if abs(pose.yaw_degrees) > _MAX_YAW:
        raise EnrollError(
            f"the face is turned too far to the side: expected at most {_MAX_YAW:.0f} degrees,"
            f" found {abs(pose.yaw_degrees):.0f}"
        )
    if abs(pose.pitch_degrees) > _MAX_PITCH:
        raise EnrollError(
            f"the face looks too far up or down: expected at most {_MAX_PITCH:.0f} degrees,"
            f" found {abs(pose.pitch_degrees):.0f}"
        )


def close_lips(mesh: Floats, basis: Floats) -> Floats:
    """The mesh with closed lips, by the smallest motion of the displacement basis that closes them.

    Args:
        mesh: Canonical `[478, 3]`, mouth open or closed.
        basis: Displacement basis `[K, 478, 3]`.
    """
    if float(aperture(mesh)) < _OPEN:
        return mesh.copy()
    upper, lower = np.array(INNER_LIP_PAIRS).T
    gaps = mesh[lower, 1] - mesh[upper, 1]
    per_coefficient = basis[:, lower, 1] - basis[:, upper, 1]  # [K, pairs]
    gram = per_coefficient.T @ per_coefficient
    ridge = 0.02 * np.trace(gram) / len(gaps) * np.eye(len(gaps))
    coefficients = per_coefficient @ np.linalg.solve(gram + ridge, _TOUCHING - gaps)
    return (mesh + np.einsum("k,kvc->vc", coefficients, basis)).astype(np.float32)
