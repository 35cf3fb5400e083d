"""A mouth rendered into a filmed frame: what the generator doesn't know about the face stays."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from models.mesh import Floats
from presenter.video.face_compositor import FaceCompositor
from presenter.video.face_track import Face, FaceTrack, Reference, cut_detailed
from tests.models.test_rest_error import CHIN, IDENTITY, Fading, marked, opened


def film() -> tuple[np.ndarray, FaceTrack]:
    """A frame whose face has a black spot on the chin, which is its own reference."""
    frame = marked().frame
    face = Face(IDENTITY.mesh, IDENTITY.pose)
    reference = Reference(cut_detailed(frame, face.pose, 2), face)
    nothing = np.zeros(1, bool)
    size = frame.shape[:2]
    return frame, FaceTrack([Fraction(0)], [face], [reference], [], IDENTITY.neutral, size, nothing)


@pytest.mark.parametrize("opening", [0.0, 0.15])
def test_a_spot_on_the_chin_stays_black(opening):
    frame, track = film()
    compositor = FaceCompositor(track, Fading())
    face = track.faces[0]
    assert face is not None
    made = compositor.compose(frame, face, opened(opening))
    spot = around(made, compositor.mesh(face, opened(opening)))
    assert np.median(spot) < 35


def test_without_it_the_generator_would_fade_the_spot():
    frame, track = film()
    compositor = FaceCompositor(track, Fading())
    for reference in compositor._closed.references:
        reference.error = None
    face = track.faces[0]
    assert face is not None
    assert np.median(around(compositor.compose(frame, face, opened(0.0)), IDENTITY.neutral)) > 60


def around(picture: np.ndarray, mesh: Floats) -> np.ndarray:
    x, y = np.rint(IDENTITY.pose.project(mesh)[CHIN, :2]).astype(int)
    return cv2.blur(picture, (3, 3))[y - 2 : y + 3, x - 2 : x + 3]
