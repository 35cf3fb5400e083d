"""What the generator changes at rest is taken away: unknown things on a face stay what they are, also in speech."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from torch import Tensor

from models.compositor import FrameCompositor
from models.crop import crop_mask, crop_transform, cut_crop
from models.folded import rendered_window
from models.identity import Identity
from models.layer import Layer, Planes
from models.mesh import LOWER_LIP, UPPER_LIP, Floats
from models.rest_error import laid_over, rest_error
from presenter.runtime.identities import load_identity, shipped_dir

IDENTITY = load_identity(shipped_dir() / "default").identity
CHIN = 175  # on the chin, below the lower lip


class Fading:
    """A generator that pulls everything half the way to one colour of skin."""

    window = rendered_window()
    painted_interior = True

    def encode_target(self, masked_target: Tensor) -> Tensor:
        return masked_target

    def render(self, target: Tensor, planes: Planes) -> Layer:
        del target
        window = self.window
        covered = np.s_[window.top : window.bottom, window.left : window.right]
        colour = planes[covered][..., :3].astype(np.float32)
        opacity = 255 * crop_mask()[covered]
        faded = colour + 0.5 * (np.array([200, 160, 140], np.float32) - colour)
        return np.concatenate([faded, opacity[..., None]], -1).astype(np.uint8)


def marked() -> Identity:
    """The shipped presenter with a black spot on the chin."""
    frame = IDENTITY.frame.copy()
    x, y = IDENTITY.pose.project(IDENTITY.mesh)[CHIN, :2]
    cv2.circle(frame, (round(x), round(y)), 9, (10, 10, 10), -1)
    return replace(IDENTITY, frame=frame)


def opened(by: float) -> Floats:
    displacement = np.zeros_like(IDENTITY.mesh)
    low, high = IDENTITY.mesh[LOWER_LIP, 1], IDENTITY.mesh[UPPER_LIP, 1]
    share = np.clip((IDENTITY.mesh[:, 1] - high) / (low - high + 0.05), 0, 1)
    displacement[:, 1] = by * share * (np.abs(IDENTITY.mesh[:, 0]) < 0.6)
    return displacement


@pytest.mark.parametrize("opening", [0.0, 0.1, 0.25])
def test_a_spot_on_the_chin_stays_black(opening):
    compositor = FrameCompositor(marked(), Fading())
    layer = compositor.layer(opened(opening))
    x, y = np.rint(compositor.points(opened(opening))[CHIN, :2]).astype(int)
    window = Fading.window
    spot = layer[y - window.top - 1 : y - window.top + 2, x - window.left - 1 : x - window.left + 2, :3]
    assert spot.max() < 30


def test_where_much_is_changed_at_rest_the_reference_comes_back():
    identity = marked()
    compositor = FrameCompositor(identity, Fading())
    layer = compositor.layer(IDENTITY.mesh - compositor.scene.template(0).rest)
    template = compositor.scene.template(0)
    reference = cut_crop(template.picture, crop_transform(template.pose), sharp=True)
    window = Fading.window
    difference = np.abs(layer[..., :3].astype(int) - reference[window.top : window.bottom, window.left : window.right])
    x, y = np.rint(compositor.points(np.zeros_like(IDENTITY.mesh))[CHIN, :2]).astype(int)
    around = np.s_[y - window.top - 8 : y - window.top + 9, x - window.left - 8 : x - window.left + 9]
    assert np.quantile(difference[around], 0.95) <= 3


def test_a_small_change_stays():
    reference = np.full((256, 256, 3), 120, np.uint8)
    window = rendered_window()
    layer = np.full((window.bottom - window.top, window.right - window.left, 4), 122, np.uint8)
    source = np.zeros((514, 3), np.float32)
    assert not rest_error(layer, reference, source, window).any()
    assert rest_error(layer + 40, reference, source, window).max() > 40


def test_the_insides_of_mouths_stay():
    window = rendered_window()
    layer = np.full((window.bottom - window.top, window.right - window.left, 4), 100, np.uint8)
    planes = np.full((256, 256, 6), 50, np.uint8)
    planes[..., 4] = 0
    planes[140:180, 100:150, 4] = 255
    changed = laid_over(layer, np.full((256, 256, 3), 80, np.float32), planes, window)
    inside = np.s_[140 - window.top : 180 - window.top, 100 - window.left : 150 - window.left]
    assert (changed[inside] == 100).all()
    assert changed[2, 2].tolist() == [130, 130, 130, 100]
