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

from models.eyelids import draw_blinks
from models.generator import Generator
from models.identity import Identity, StyleCode, WholePhoto, picture_tensor, read_crop
from models.matting import Matte, MattingError, draw_matte
from models.mesh import INNER_LIP_PAIRS, Floats, Pose, aperture, canonicalise
from models.tracker.landmarks import LandmarkFinder
from models.tracker.region import Region
from presenter.enroll.checks import Warn, check_exposure, check_face
from presenter.enroll.decode import Photo, decode_photo
from presenter.enroll.faces import FoundFace, find_faces
from presenter.errors import EnrollError
from presenter.runtime.networks import Networks

FRAME_SIZE = 512
LARGEST_FRAME = 1024
"""A photo that has them keeps so many pixels."""
_FRAME_SIDE = 5.2  # inter-ocular distances shown
_FRAME_CENTRE_Y = 0.55  # below the eyes
_MORE = 1.05  # times the frame's side: a photo that shows less more is not kept
_MOST = (1080, 1920)  # pixels, the shorter and the longer side of a photo that is
_BYSTANDER = 0.4  # a face smaller than this share of the largest is ignored
_PRESENT = 0.5
_LIES = {1: "a quarter turn clockwise", 2: "upside down", 3: "a quarter turn counter-clockwise"}
_ADVICE = "use a photo that shows one face from the front, well lit and in focus"
_BACKGROUND = 224.0  # a light grey replaces transparent pixels, whose colours are not meant to be shown
_TOUCHING = -0.005  # slightly below zero, so that no teeth remain visible between the lips
_OPEN = 0.03  # lips further apart than this are open, inter-ocular distances

_log = logging.getLogger(__name__)


def enroll_photo(
    path: Path,
    name: str,
    progress: Callable[[float, str], None],
    networks: Networks,
    stop: threading.Event | None = None,
    *,
    face: int | None = None,
    warn: Warn,
) -> Identity:
    """Make an identity from one photo of a frontal face; the opacity of a cut-out becomes its matte.

    Args:
        path: The photo, in any orientation.
        name: The presenter's name.
        progress: Called with the share of the work that is done, 0..1, and a message.
        networks: The networks that will render it.
        stop: Set from another thread to cancel the decoding of the photo.
        face: Which of several faces, counted from the left from 1; None if there is but one.
        warn: Called with each warning about a photo that is used nevertheless.

    Raises:
        EnrollError: Says what the photo lacks.
    """
    picture, opacity = _before_background(decode_photo(path, stop))
    progress(0.1, "Looking for the face")
    picture, opacity, landmarks, alone = upright_face(picture, opacity, face, warn)
    box = head_box(canonicalise(landmarks)[1], picture.shape[1], picture.shape[0])
    frame, landmarks, matte = _frame_around_face(picture, landmarks, opacity, box)
    photo = _photo_around(picture, box) if alone else None
    progress(0.5, "Reading the face")
    mesh, pose = canonicalise(landmarks)
    neutral = close_lips(mesh, networks.syncformer.movements())
    progress(0.7, "Computing the style code")
    generator = networks.generator
    style = style_code_of(read_crop(frame, pose), generator)
    progress(0.8, "Drawing eyelids")
    blinks = draw_blinks(frame, landmarks)
    progress(0.85, "Cutting out the background")
    matte = matte_of(frame) if matte is None else matte
    return Identity(name, frame, mesh, neutral, pose, style, generator.fingerprint, None, blinks, matte, photo=photo)


def _before_background(photo: Photo) -> tuple[NDArray[np.uint8], Matte | None]:
    """The image with a plain colour where it was transparent, and its opacity if it has one."""
    if photo.alpha is None:
        return photo.rgb, None
    opacity = photo.alpha[..., None].astype(np.float32) / 255
    return np.rint(photo.rgb * opacity + _BACKGROUND * (1 - opacity)).astype(np.uint8), photo.alpha


def _choose(faces: list[FoundFace], wanted: int | None, warn: Warn) -> FoundFace:
    """One of the faces of a photo, given from left to right.

    Raises:
        EnrollError: If there is none, no such one, or several without a choice; lists them.
    """
    if not faces:
        raise EnrollError(f"found no face; {_ADVICE}")
    units = [canonicalise(face.landmarks)[1].scale for face in faces]
    listed = ", ".join(f"{number}: {unit:.0f} pixels between the eyes" for number, unit in enumerate(units, 1))
    if wanted is not None:
        if not 1 <= wanted <= len(faces):
            raise EnrollError(f"expected a face from 1 to {len(faces)}, got {wanted}; from left to right: {listed}")
        return faces[wanted - 1]
    largest = int(np.argmax(units))
    others = [unit for number, unit in enumerate(units) if number != largest]
    if others and max(others) > _BYSTANDER * units[largest]:
        raise EnrollError(
            f"expected one face, found {len(faces)} (from left to right: {listed}); choose one by its number"
            " (--face N, or the form's field face), or crop the photo to one person"
        )
    if others:
        warn(f"took the largest of {len(faces)} faces (from left to right: {listed}); choose another by its number")
    return faces[largest]


def upright_face(
    rgb: NDArray[np.uint8], opacity: Matte | None, wanted: int | None, warn: Warn
) -> tuple[NDArray[np.uint8], Matte | None, Floats, bool]:
    """Choose the face, and check that it can be used.

    Args:
        rgb: The photo `[H, W, 3]`.
        opacity: Its opacity `[H, W]`.
        wanted: Which of several faces, counted from the left from 1.
        warn: Called with each warning.

    Returns:
        The photo and its opacity, both turned upright, the face's landmarks `[478, 3]` there, and whether it is alone.

    Raises:
        EnrollError: Says what the photo lacks and what to do.
    """
    turns, faces = find_faces(rgb)
    if not faces:
        check_exposure(rgb)
    face = _choose(faces, wanted, warn)
    if turns:
        warn(f"the photo was {_LIES[turns]}; it was turned upright")
        rgb = np.ascontiguousarray(np.rot90(rgb, turns))
        opacity = None if opacity is None else np.ascontiguousarray(np.rot90(opacity, turns))
    check_face(rgb, face.landmarks, canonicalise(face.landmarks)[1], warn)
    return rgb, opacity, face.landmarks, len(faces) == 1


def _frame_around_face(
    rgb: NDArray[np.uint8], landmarks: Floats, opacity: Matte | None, box: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], Floats, Matte | None]:
    """Head and shoulders, `[512, 512, 3]` to `[1024, 1024, 3]` as the photo allows, with landmarks and opacity."""
    left, top, side = box
    size = min(max(side // 4 * 4, FRAME_SIZE), LARGEST_FRAME)
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = picture[top : top + side, left : left + side]
        return cv2.resize(part, (size, size), interpolation=how).astype(np.uint8)

    frame = cut(rgb)
    landmarks = (landmarks - np.array([left, top, 0], np.float32)) * np.float32(size / side)
    finder = LandmarkFinder()
    for _ in range(2):  # the region that follows from landmarks is more exact than the detector's
        landmarks, presence = finder.find(frame, Region.of_landmarks(landmarks))
        if presence < _PRESENT:
            raise EnrollError(f"lost the face in a closer look; {_ADVICE}")
    return frame, landmarks, None if opacity is None else cut(opacity)


def _photo_around(rgb: NDArray[np.uint8], box: tuple[int, int, int]) -> WholePhoto | None:
    """The whole photo, at most 1080p, where it shows more than the frame."""
    height, width = rgb.shape[:2]
    if max(height, width) < _MORE * box[2]:
        return None
    most = np.sort(_MOST)[:: 1 if width >= height else -1]
    scale = min(1.0, *(most / (height, width)))
    size = round(width * scale), round(height * scale)
    picture = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    picture = np.ascontiguousarray(picture[: size[1] // 4 * 4, : size[0] // 4 * 4])
    left, top, side = (float(edge * scale) for edge in box)
    return WholePhoto(picture.astype(np.uint8), (left, top, side))


def head_box(pose: Pose, width: int, height: int) -> tuple[int, int, int]:
    """The square `(left, top, side)` that shows head and shoulders of a face in a picture of that size."""
    side = int(min(_FRAME_SIDE * pose.scale, height, width))
    centre = pose.project(np.array([0.0, _FRAME_CENTRE_Y, 0.0], np.float32))
    left = int(np.clip(centre[0] - side / 2, 0, width - side))
    top = int(np.clip(centre[1] - side / 2, 0, height - side))
    return left, top, side


def style_code_of(crop: NDArray[np.uint8], generator: Generator) -> StyleCode:
    """W of the person in a face crop `[256, 256, 3]`."""
    with torch.inference_mode():
        return StyleCode(generator.style_code(picture_tensor(crop))[0].clone())


def matte_of(rgb: NDArray[np.uint8]) -> Matte | None:
    """The frame's matte, or None where none can be drawn: the presenter works without."""
    try:
        return draw_matte(rgb)
    except MattingError as error:
        _log.warning("the presenter gets no matte: %s", error)
        return None


def close_lips(mesh: Floats, basis: Floats) -> Floats:
    """The mesh with closed lips, by the smallest motion that closes them.

    Args:
        mesh: Canonical `[478, 3]`, mouth open or closed.
        basis: From `StyleSyncFormer.movements` `[K, 478, 3]`.
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
