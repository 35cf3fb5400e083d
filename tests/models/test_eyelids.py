"""Drawn eyelids: a tracker sees them close, they are of the person's skin, and nothing around them changes."""

import cv2
import numpy as np
import pytest

from models.eyelids import LOWER_LIDS, UPPER_LIDS, closing_lid, draw_blinks
from models.head_motion import EYES_CLOSED
from models.mesh import Floats
from models.tracker import FaceTracker
from presenter.runtime.identities import DEFAULT, IdentityStore

BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return IdentityStore(tmp_path_factory.mktemp("own")).load(DEFAULT).identity.frame


@pytest.fixture(scope="module")
def landmarks(face):
    with FaceTracker(video=False) as tracker:
        return tracker.track(face)[0]


def laid(face: np.ndarray, landmarks: Floats, level: int) -> np.ndarray:
    """The picture with eyes at a level of closure."""
    blinks = draw_blinks(face, landmarks)
    top, left = blinks.box
    height, width = blinks.overlays.shape[1:3]
    picture = face.copy()
    picture[top : top + height, left : left + width] = blinks.overlays[level - 1]
    return picture


def openings(landmarks: Floats) -> Floats:
    """How open each eye is, in its widths `[2]`."""
    found = []
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        gaps = np.linalg.norm(landmarks[upper[2:-2], :2] - landmarks[lower[2:-2], :2], axis=1)
        found.append(gaps.mean() / np.linalg.norm(landmarks[upper[0], :2] - landmarks[upper[-1], :2]))
    return np.array(found)


@pytest.mark.parametrize("degrees", [0, 25])
def test_a_tracker_sees_both_eyes_close_step_by_step(face, landmarks, degrees):
    height, width = face.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(face, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    points = landmarks.copy()
    points[:, :2] = landmarks[:, :2] @ turn[:, :2].T.astype(np.float32) + turn[:, 2].astype(np.float32)
    with FaceTracker(video=False) as tracker:
        open_eyes, *closing = (
            openings(tracker.track(laid(turned, points, level) if level else turned)[0])
            for level in range(EYES_CLOSED + 1)
        )
    shares = np.array(closing) / open_eyes
    assert (np.diff(shares, axis=0) < 0).all()
    assert (shares[-1] < 0.35).all()


def test_a_closed_lid_has_the_colour_of_the_skin_around_it(face, landmarks):
    shut = laid(face, landmarks, EYES_CLOSED)
    lab, open_lab = (cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for picture in (shut, face))
    for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
        middle = ((landmarks[upper[4], :2] + 2 * landmarks[lower[4], :2]) / 3).astype(int)
        below = (landmarks[lower[4], :2] + 0.8 * (landmarks[lower[4], :2] - landmarks[upper[4], :2])).astype(int)
        skin = patch(open_lab, below)
        assert np.linalg.norm(patch(lab, middle) - skin) < 15 < np.linalg.norm(patch(open_lab, middle) - skin)


def patch(lab: Floats, at: np.ndarray) -> Floats:
    return np.median(lab[at[1] - 2 : at[1] + 3, at[0] - 4 : at[0] + 5], axis=(0, 1))


def test_brows_and_what_is_away_from_the_eyes_stay(face, landmarks):
    shut = laid(face, landmarks, EYES_CLOSED)
    for x, y in landmarks[BROWS, :2].round().astype(int):
        assert np.abs(shut[y, x].astype(int) - face[y, x]).max() <= 2
    changed = np.argwhere((shut != face).any(-1))
    width = np.linalg.norm(landmarks[33, :2] - landmarks[133, :2])
    lids = landmarks[[index for lid in (*UPPER_LIDS, *LOWER_LIDS) for index in lid], :2]
    distances = np.linalg.norm(changed[:, None, ::-1] - lids, axis=2).min(1)
    assert distances.max() < 0.5 * width


def test_one_lid_leads_until_both_are_closed(face, landmarks):
    margins = [closing_lid(np.float32(0), np.float32(1), closure) for closure in (0, 0.5, 1)]
    assert margins == sorted(margins)
    half, shut = laid(face, landmarks, 2), laid(face, landmarks, EYES_CLOSED)
    with FaceTracker(video=False) as tracker:
        first, second = openings(tracker.track(half)[0]) / openings(landmarks)
        assert openings(tracker.track(shut)[0]).max() < 0.35 * openings(landmarks).max()
    assert first < second


def test_a_face_that_the_picture_cuts_off_gets_lids_too(face, landmarks):
    """Nothing lies beneath the eyes of this one."""
    bottom = int(landmarks[[145, 374], 1].max()) + 2
    blinks = draw_blinks(np.ascontiguousarray(face[:bottom]), landmarks)
    assert blinks.box[0] + blinks.overlays.shape[1] == bottom
    assert np.isfinite(blinks.overlays.astype(float)).all()
