"""Checks of a photo for enrolment: each error says what to do; what may reduce quality is a warning.

The limits come from 220 portraits and 270 frames of clips, and from the same with masks, hands and microphones drawn
over the mouth: a usable face has a mean brightness of 43 to 186, a sharpness of 0.043 to 0.21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import FACE_OVAL, INNER_LIP_RING, LEFT_EYE_CORNERS, OUTER_LIP_RING, RIGHT_EYE_CORNERS, Floats, Pose
from models.tracker.landmarks import LandmarkFinder
from models.tracker.region import Region
from presenter.enroll.faces import roll_degrees
from presenter.errors import EnrollError

Warn = Callable[[str], None]
"""Called with each warning about a photo that is used nevertheless."""

MIN_UNIT = 32.0  # pixels between the eyes
_MAX_YAW, _MAX_PITCH = 22.0, 25.0
_DOUBTFUL_YAW, _DOUBTFUL_PITCH, _DOUBTFUL_ROLL = 15.0, 18.0, 20.0
_DARK, _DIM, _BRIGHT, _GLARING = 20.0, 40.0, 215.0, 235.0  # mean brightness of a face, of 255
_BLURRED, _SOFT = 0.025, 0.043
_COVERED, _MAYBE_COVERED = 4.0, 2.25  # ratio of the uncertainty of the mouth's position to that of the eyes'
_UNSURE = 0.012  # uncertainty of a mouth's position, inter-ocular distances: lower in every good photo
_UNIT = 64.0  # pixels between the eyes at which faces are measured
_EDGES = {  # landmarks, and how far they may lie beyond the edge, inter-ocular distances
    "chin": ([152, 148, 377, 176, 400], 0.25),
    "forehead": ([10, 338, 109, 67, 297], 0.35),
    "left side of the face": ([234, 93, 132, 127], 0.35),
    "right side of the face": ([454, 323, 361, 356], 0.35),
}
_EYES = [*LEFT_EYE_CORNERS, *RIGHT_EYE_CORNERS, 159, 145, 386, 374]


class Measures(NamedTuple):
    """Of a face in a photo."""

    brightness: float
    """Mean, of 255."""
    sharpness: float
    """Detail in relation to contrast, at a normal size."""


def check_face(rgb: NDArray[np.uint8], landmarks: Floats, pose: Pose, warn: Warn) -> None:
    """Refuse or warn by pose, size, edges, light, sharpness and occlusion of the mouth.

    Args:
        rgb: The upright photo `[H, W, 3]`.
        landmarks: The face in it `[478, 3]`, pixels.
        pose: The face's.
        warn: Called with each warning.

    Raises:
        EnrollError: If the face can't be used; states what was measured and what to do.
    """
    check_pose(pose, warn)
    if pose.scale < MIN_UNIT:
        raise EnrollError(
            f"the face is too small: expected at least {MIN_UNIT:.0f} pixels between the eyes, found {pose.scale:.0f};"
            " use a photo taken from nearer, or with a higher resolution"
        )
    check_edges(landmarks, pose.scale, rgb.shape[1], rgb.shape[0], warn)
    measures = measure(rgb, landmarks, pose)
    _check_light(measures.brightness, warn)
    _check_sharpness(measures.sharpness, warn)
    _check_mouth(rgb, landmarks, pose.scale, warn)


def check_pose(pose: Pose, warn: Warn) -> None:
    """Refuse faces that look away.

    Raises:
        EnrollError: If the face does; states by how much.
    """
    for angle, most, doubtful, what in (
        (abs(pose.yaw_degrees), _MAX_YAW, _DOUBTFUL_YAW, "turned too far to the side"),
        (abs(pose.pitch_degrees), _MAX_PITCH, _DOUBTFUL_PITCH, "looking too far up or down"),
    ):
        if angle > most:
            raise EnrollError(
                f"the face is {what}: expected at most {most:.0f} degrees, found {angle:.0f};"
                " use a photo that looks straight into the camera"
            )
        if angle > doubtful:
            warn(
                f"the face is {what.replace('too far', 'rather far')} ({angle:.0f} degrees):"
                " its mouth will be less exact; best is a photo that looks straight into the camera"
            )
    if abs(roll := roll_degrees(pose)) > _DOUBTFUL_ROLL:
        warn(f"the head is tilted by {abs(roll):.0f} degrees; best is a photo with an upright head")


def check_edges(landmarks: Floats, unit: float, width: int, height: int, warn: Warn) -> None:
    """Refuse faces that the image's edge cuts off: landmarks `[478, 3]` beyond it, in pixels.

    Raises:
        EnrollError: If a part is cut off; states which.
    """
    beyond = np.maximum(-landmarks[:, :2], landmarks[:, :2] - np.array([width - 1, height - 1])).max(1) / unit
    for part, (points, most) in _EDGES.items():
        cut = float(beyond[points].max())
        if cut > most:
            raise EnrollError(
                f"the {part} is cut off by the picture's edge (by {cut:.1f} times the distance between the eyes);"
                " use a photo that shows the whole head with some room around it"
            )
        if cut > 0:
            warn(f"the {part} touches the picture's edge; best is a photo with some room around the head")


def measure(rgb: NDArray[np.uint8], landmarks: Floats, pose: Pose) -> Measures:
    """Measure a face where it is, at a normal size."""
    scale = min(_UNIT / pose.scale, 1.0)
    low = landmarks[FACE_OVAL, :2].min(0)
    size = np.ceil(np.ptp(landmarks[FACE_OVAL, :2], axis=0) * scale).astype(int)
    to_cut = np.array([[scale, 0, -scale * low[0]], [0, scale, -scale * low[1]]], np.float32)
    smooth = cv2.GaussianBlur(rgb, (0, 0), 0.5 / scale) if scale < 0.7 else rgb
    cut = cv2.warpAffine(smooth, to_cut, (int(size[0]), int(size[1])), borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY).astype(np.float32)
    oval = np.rint((landmarks[FACE_OVAL, :2] - low) * scale).astype(np.int32)
    inside = cv2.fillConvexPoly(np.zeros(grey.shape, np.uint8), oval, 1)
    inside = cv2.erode(inside, np.ones((9, 9), np.uint8), borderValue=0) > 0
    detail = cv2.GaussianBlur(grey, (0, 0), 1) - cv2.GaussianBlur(grey, (0, 0), 2)
    return Measures(float(grey[inside].mean()), float(detail[inside].std() / max(float(grey[inside].std()), 1.0)))


def check_exposure(rgb: NDArray[np.uint8]) -> None:
    """Say why no face can be found in an image that has next to no detail.

    Raises:
        EnrollError: If it is nearly black, white or without detail.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    mean = float(grey.mean())
    if float(np.percentile(grey, 99)) < 2 * _DARK:
        raise EnrollError(_too_dark(mean, "photo"))
    if float(np.percentile(grey, 1)) > _GLARING:
        raise EnrollError(_too_bright(mean, "photo"))


def _too_dark(mean: float, what: str) -> str:
    return (
        f"the {what} is nearly black: expected a mean brightness of at least {_DARK:.0f} of 255, found {mean:.0f};"
        " use one that was taken with more light"
    )


def _too_bright(mean: float, what: str) -> str:
    return (
        f"the {what} is nearly white: expected a mean brightness of at most {_GLARING:.0f} of 255, found {mean:.0f};"
        " use one that was taken with less light"
    )


def _check_light(mean: float, warn: Warn) -> None:
    if mean < _DARK:
        raise EnrollError(_too_dark(mean, "face"))
    if mean > _GLARING:
        raise EnrollError(_too_bright(mean, "face"))
    if mean < _DIM or mean > _BRIGHT:
        warn(
            f"the face is {'dark' if mean < _DIM else 'very bright'} (mean brightness {mean:.0f} of 255);"
            " best is even light from the front"
        )


def _check_sharpness(sharpness: float, warn: Warn) -> None:
    if sharpness < _BLURRED:
        raise EnrollError(
            f"the face is blurred: expected a sharpness of at least {_BLURRED:.3f}, found {sharpness:.3f};"
            " use a photo that is in focus"
        )
    if sharpness < _SOFT:
        warn(
            f"the face is not sharp (sharpness {sharpness:.3f}, below {_SOFT:.3f}); the presenter will be as soft as"
            " the photo: best is one that is in focus"
        )


def _check_mouth(rgb: NDArray[np.uint8], landmarks: Floats, unit: float, warn: Warn) -> None:
    """Where something covers the mouth, its landmarks depend on how the region was cut; those of the eyes don't."""
    finder, region = LandmarkFinder(), Region.of_landmarks(landmarks)
    shift = 0.04 * region.side
    regions = [region._replace(x=region.x + dx, y=region.y + dy) for dx, dy in ((shift, 0), (-shift, 0), (0, shift))]
    regions += [region._replace(y=region.y - shift), region._replace(side=1.08 * region.side)]
    regions += [region._replace(side=0.93 * region.side)]
    regions += [region._replace(angle=region.angle + turn) for turn in (0.1, -0.1)]
    places = np.stack([finder.find(rgb, one)[0][:, :2] for one in regions])
    spread = np.sqrt(places.var(0).sum(-1)) / unit
    mouth, eyes = float(spread[OUTER_LIP_RING + INNER_LIP_RING].mean()), float(spread[_EYES].mean())
    if mouth < _UNSURE or mouth < _MAYBE_COVERED * eyes:
        return
    if mouth > _COVERED * eyes:
        raise EnrollError(
            f"something seems to cover the mouth: its place is {mouth / eyes:.1f} times less certain than that of the"
            f" eyes, expected at most {_COVERED:.0f}; use a photo without a mask, hand or microphone before it"
        )
    warn(
        f"the mouth is hard to make out: its place is {mouth / eyes:.1f} times less certain than that of the eyes;"
        " best is a photo with nothing before the mouth"
    )
