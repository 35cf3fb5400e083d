"""The still at twice its size moves as sharply as by cubic interpolation, and stays where it is to stay."""

import cv2
import numpy as np
import pytest

from models.crop import CROP_SIZE, crop_mask
from models.head_motion import sway
from models.head_warp import HeadWarp
from models.mesh import topology
from models.still import DETAIL, Paster, detailed

SIDE, UNIT = 256, 50.0


def texture() -> np.ndarray:
    """Smooth noise: as sharp as a photo, not as a chessboard."""
    noise = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.clip(128 + 3 * (blurred - 128), 0, 255).astype(np.uint8)


def head_warp() -> HeadWarp:
    landmarks = topology().reference * UNIT + [SIDE / 2, SIDE / 2 - UNIT, 0]
    return HeadWarp((SIDE, SIDE), landmarks.astype(np.float32), UNIT)


def sharpness(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(picture[60:200, 60:200].astype(np.float32), cv2.CV_32F).std())


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3), (6, 9, 4)])
def test_detailed_keeps_the_pixels(shape):
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    twice = detailed(picture)
    assert twice.shape == (12, 18, *shape[2:])
    np.testing.assert_array_equal(twice[::DETAIL, ::DETAIL], picture)


@pytest.mark.parametrize("frame", [0, 30, 77, 150])
def test_sway_moves_as_cubic_interpolation_does(frame):
    warp, picture = head_warp(), texture()
    moved = warp.apply(detailed(picture), sway(frame))
    positions = warp.positions(warp.shifts(sway(frame))) / DETAIL
    cubic, linear = picture.copy(), picture.copy()
    cubic[warp.box] = cv2.remap(picture, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    linear[warp.box] = cv2.remap(picture, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(moved.astype(int) - cubic).mean() < 0.5 * np.abs(linear.astype(int) - cubic).mean()
    assert sharpness(moved) > 0.88 * sharpness(cubic)


def test_corners_stay():
    picture = texture()
    moved = head_warp().apply(detailed(picture), sway(77))
    np.testing.assert_array_equal(moved[:8, :8], picture[:8, :8])
    assert not np.array_equal(moved[100:150, 100:150], picture[100:150, 100:150])


def test_paste_blends_by_mask_and_alpha():
    """Against the definition, for a crop that lies on whole pixels of the frame."""
    offset = np.array([20, 30])
    transform = np.array([[1, 0, -offset[0]], [0, 1, -offset[1]]], np.float32)
    rng = np.random.default_rng(2)
    frame = rng.integers(0, 256, (400, 400, 3)).astype(np.uint8)
    rendered = rng.uniform(0, 1, (4, CROP_SIZE, CROP_SIZE)).astype(np.float32)
    pasted = frame.copy()
    Paster((400, 400), transform).paste(pasted, rendered)
    place = np.s_[offset[1] : offset[1] + CROP_SIZE, offset[0] : offset[0] + CROP_SIZE]
    alpha = (rendered[3] * crop_mask())[..., None]
    wanted = frame.astype(np.float32)
    wanted[place] += alpha * (255 * rendered[:3].transpose(1, 2, 0) - wanted[place])
    assert np.abs(pasted - wanted).max() <= 1.6  # colour and alpha are bytes
    untouched = np.ones((400, 400), bool)
    untouched[place] = crop_mask() == 0
    np.testing.assert_array_equal(pasted[untouched], frame[untouched])
