"""The face tracker, on the shipped presenter's picture and what can be made of it."""

import cv2
import numpy as np
import pytest

from models.tracker import BLENDSHAPE_NAMES, FaceTracker
from models.tracker.detector import merge_boxes
from models.tracker.region import Region
from presenter.runtime.identities import DEFAULT, IdentityStore

LEVEL = 96  # of the surroundings


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    return IdentityStore(tmp_path_factory.mktemp("own")).load(DEFAULT).identity.shrunk(512)


@pytest.fixture(scope="module")
def face(identity):
    """The presenter's picture `[512, 512, 3]`."""
    return identity.frame


@pytest.fixture(scope="module")
def landmarks(face):
    return find(face)


@pytest.fixture(scope="module")
def unit(landmarks):
    """Pixels between the outer corners of the eyes."""
    return float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))


def find(picture):
    with FaceTracker(video=False) as tracker:
        (found,) = tracker.track(picture)
    return found


def moved(picture, *, scale=1.0, degrees=0.0, shift=(0.0, 0.0), size=(512, 512)):
    """The picture turned and scaled about its middle and shifted, and the map `[2, 3]` of its points."""
    matrix = cv2.getRotationMatrix2D((256, 256), degrees, scale)
    matrix[:, 2] += shift
    border = (LEVEL, LEVEL, LEVEL)
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA, borderValue=border), matrix


def apply(matrix, landmarks):
    return landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def distance(found, wanted):
    """Mean distance of landmarks in the picture."""
    return float(np.linalg.norm(found[:, :2] - wanted[:, :2], axis=1).mean())


def test_shape_and_place(landmarks):
    assert landmarks.shape == (478, 3)
    assert landmarks.dtype == np.float32
    assert landmarks[4, 2] < landmarks[33, 2] < landmarks[234, 2]  # nose, eye, cheek: z grows away
    assert landmarks[159, 1] < landmarks[145, 1] < landmarks[13, 1] < landmarks[152, 1]  # lids, mouth, chin
    assert landmarks[468, 0] < landmarks[473, 0]  # irises


def test_finds_the_presenter_where_its_mesh_is(identity, landmarks):
    """The mesh was tracked by mediapipe 0.10.21 in a picture of the same face with other hair."""
    kept = identity.pose.project(identity.mesh)
    assert distance(landmarks, kept) < 1.2
    assert np.abs(landmarks[:, 2] - kept[:, 2]).max() < 6


@pytest.mark.parametrize(
    "change",
    [
        {"shift": (37, -21)},
        {"shift": (-60.5, 40.5)},
        {"degrees": 20},
        {"degrees": -35},
        {"scale": 0.5},
        {"scale": 1.3},
        {"scale": 0.6, "degrees": 12, "shift": (50, 30)},
        {"shift": (384, 0), "size": (1280, 512)},
        {"shift": (0, 200), "size": (512, 900)},
    ],
)
def test_landmarks_follow_the_picture(face, landmarks, unit, change):
    picture, matrix = moved(face, **change)
    found = find(picture)
    scale = change.get("scale", 1.0)
    assert distance(found, apply(matrix, landmarks)) < 0.03 * unit * scale
    assert np.abs(found[:, 2] - scale * landmarks[:, 2]).mean() < 0.03 * unit * scale


@pytest.mark.parametrize("side", [96, 160])
def test_small_pictures(face, landmarks, unit, side):
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    assert distance(find(small) * (512 / side), landmarks) < 0.05 * unit


def test_two_faces_are_two_and_the_most_is_kept(face, landmarks, unit):
    both = np.hstack([face, face])
    with FaceTracker(video=False) as tracker:
        found = sorted(tracker.track(both), key=lambda points: points[0, 0])
    assert len(found) == 2
    for points, left in zip(found, (0, 512), strict=True):
        assert distance(points, landmarks + [left, 0, 0]) < 0.02 * unit
    with FaceTracker(video=False, max_faces=1) as tracker:
        assert len(tracker.track(both)) == 1


@pytest.mark.parametrize("max_faces", [1, 2, 3])
def test_three_faces_give_at_most_as_many_as_asked_for(face, max_faces):
    three = np.hstack([face, face, face])
    with FaceTracker(video=True, max_faces=max_faces) as tracker:
        for _ in range(3):
            assert len(tracker.track(three)) == max_faces


@pytest.mark.parametrize("video", [True, False])
def test_nobody(video):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)
    pictures = [
        np.full((240, 320, 3), LEVEL, np.uint8),
        np.repeat(noise[..., None], 3, 2),
        np.zeros((1, 1, 3), np.uint8),
    ]
    pictures.append(np.zeros((3, 700, 3), np.uint8))
    with FaceTracker(video=video) as tracker:
        assert [tracker.track(picture) for picture in pictures] == [[]] * len(pictures)


def test_a_face_without_colours_is_found(face, landmarks, unit):
    grey = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert distance(find(grey), landmarks) < 0.03 * unit


def test_views_of_other_pictures_are_read_right(face, landmarks):
    assert distance(find(face[..., ::-1][..., ::-1]), landmarks) < 1e-3
    padded = np.zeros((512, 700, 3), np.uint8)
    padded[:, 100:612] = face
    assert distance(find(padded[:, 100:612]), landmarks) < 1e-3


def test_video_of_a_still_gives_the_same_as_pictures(face, landmarks, unit):
    with FaceTracker(video=True, max_faces=1) as tracker:
        for _ in range(8):
            (found,) = tracker.track(face)
            assert distance(found, landmarks) < 0.01 * unit


def test_video_follows_a_face_that_moves(face, landmarks, unit):
    with FaceTracker(video=True, max_faces=1) as tracker:
        for frame in range(20):
            picture, matrix = moved(face, scale=0.6, degrees=frame, shift=(6 * frame - 60, 3 * frame - 30))
            (found,) = tracker.track(picture)
            assert distance(found, apply(matrix, landmarks)) < 0.02 * unit


def test_video_finds_a_face_again_that_jumps(face, landmarks, unit):
    """Further than its region: it is missed where it was, and found by the next frame at the latest."""
    with FaceTracker(video=True, max_faces=1) as tracker:
        for frame in range(12):
            picture, matrix = moved(face, scale=0.4, shift=(-130 if frame // 4 % 2 else 130, 0))
            found = tracker.track(picture)
            if frame % 4:
                assert distance(found[0], apply(matrix, landmarks)) < 0.02 * unit


def test_video_loses_a_face_that_leaves_and_finds_it_when_it_returns(face, landmarks, unit):
    empty = np.full_like(face, LEVEL)
    with FaceTracker(video=True) as tracker:
        counts = [len(tracker.track(picture)) for picture in [face, face, empty, empty, face, face]]
        assert counts == [1, 1, 0, 0, 1, 1]
        assert distance(tracker.track(face)[0], landmarks) < 0.01 * unit


def test_video_keeps_the_order_of_faces_that_it_follows(face):
    empty = np.full_like(face, LEVEL)
    with FaceTracker(video=True) as tracker:
        tracker.track(np.hstack([empty, face]))
        for _ in range(3):
            first, second = tracker.track(np.hstack([face, face]))
            assert second[0, 0] < 512 < first[0, 0]


def test_video_may_change_its_size(face, landmarks):
    with FaceTracker(video=True, max_faces=1) as tracker:
        tracker.track(face)
        half = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
        found = [tracker.track(half) for _ in range(3)][-1]
        assert distance(found[0] * 2, landmarks) < 5


def test_closing_twice_and_tracking_afterwards(face):
    tracker = FaceTracker(video=False)
    tracker.close()
    tracker.close()
    with pytest.raises(ValueError, match="open tracker"):
        tracker.track(face)


def test_threads_change_nothing(face, landmarks):
    with FaceTracker(video=False, threads=2) as tracker:
        assert distance(tracker.track(face)[0], landmarks) < 1e-2


def test_blendshapes_are_named_scores(face):
    assert len(BLENDSHAPE_NAMES) == len(set(BLENDSHAPE_NAMES)) == 52
    with FaceTracker(video=False) as tracker:
        (found,) = tracker.track_faces(face)
        np.testing.assert_array_equal(found.landmarks, tracker.track(face)[0])
    assert found.blendshapes.shape == (52,)
    assert (found.blendshapes >= 0).all()
    assert (found.blendshapes <= 1).all()


def test_blendshapes_tell_closed_eyes_and_small_pictures_like_large_ones(identity, face):
    blinks = identity.blinks
    top, left = blinks.box
    height, width = blinks.overlays.shape[1:3]
    shut = face.copy()
    shut[top : top + height, left : left + width] = blinks.overlays[-1]
    small = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
    with FaceTracker(video=False) as tracker:
        scores = [tracker.track_faces(picture)[0].blendshapes for picture in (face, shut, small)]
    eyes = [BLENDSHAPE_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    assert (scores[1][eyes] > scores[0][eyes] + 0.3).all()
    assert np.abs(scores[2] - scores[0]).max() < 0.25


def test_regions_overlap_like_squares():
    region = Region(10, 20, 8, 0.3)
    assert region.overlap(region) == pytest.approx(1)
    assert region.overlap(Region(14, 20, 8, 0)) == pytest.approx(1 / 3)
    assert region.overlap(Region(18.5, 20, 8, 0)) == 0
    assert region.overlap(Region(10, 20, 4, 0)) == pytest.approx(1 / 4)


def test_a_region_maps_its_cut_to_the_picture():
    region = Region(100, 50, 64, np.pi / 2)
    corners = np.array([[0, 0], [32, 0], [16, 16]]) @ region.to_picture(32)[:, :2].T + region.to_picture(32)[:, 2]
    np.testing.assert_allclose(corners, [[132, 18], [132, 82], [100, 50]], atol=1e-4)


def test_boxes_of_one_face_are_averaged():
    box = np.zeros((8, 2), np.float32)
    box[1] = 10
    faces = merge_boxes(np.stack([box, box + 1, box + 100]), np.array([0.6, 0.9, 0.7], np.float32))
    assert len(faces) == 2
    np.testing.assert_allclose(faces[0][0], box + 0.6, atol=1e-5)
    np.testing.assert_allclose(faces[1][0], box + 100)
    assert [score for _, score in faces] == pytest.approx([0.9, 0.7])
    assert merge_boxes(np.zeros((0, 8, 2), np.float32), np.zeros(0, np.float32)) == []
