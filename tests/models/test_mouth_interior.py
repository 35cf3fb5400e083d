"""The painted mouth interior: neutral colours in any light, teeth fixed to skull and jaw, lips left alone."""

import cv2
import numpy as np
import pytest

from models.crop import CROP_SIZE, crop_rasteriser
from models.live_inputs import live_planes
from models.mesh import INNER_LIP_RING, LOWER_LIP, UPPER_LIP, closed_mouth_neutral, topology
from models.mouth_interior import interior_look, reliefs
from models.raster import ring_points

SKIN = {"light": (224, 178, 152), "dark": (96, 62, 46), "grey": (150, 150, 150), "warm": (216, 150, 96)}
CHIN = 152


def mesh(opening: float = 0.0, jaw: float = 0.0, turn: float = 0.0) -> np.ndarray:
    """In crop pixels: lips that touch, then parted by `opening`, the chin dropped by `jaw`, inter-ocular distances."""
    shape = topology().reference.copy()
    upper, lower = INNER_LIP_RING[1:10], INNER_LIP_RING[:10:-1]
    shape[lower] = shape[upper]
    line = shape[upper, 1].mean()
    is_lower = shape[:, 1] > line + 0.03
    is_lower[lower] = True
    is_upper = ~is_lower & (shape[:, 1] > line - 0.2)
    profile = np.clip(1 - (shape[:, 0] / 0.4) ** 4, 0, 1)
    shape[:, 1] += opening * profile * (0.7 * is_lower - 0.3 * is_upper)
    shape[CHIN, 1] = topology().reference[CHIN, 1]
    shape[CHIN, 1] += jaw
    whole = np.concatenate([shape, ring_points(closed_mouth_neutral(topology().reference[None]))])
    cos, sin = np.cos(turn), np.sin(turn)
    whole = whole @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    return (whole * 111 + [128, -16, 0]).astype(np.float32)


def portrait(skin: str) -> np.ndarray:
    grain = np.random.default_rng(0).normal(0, 3, (CROP_SIZE, CROP_SIZE, 1))
    return np.clip(np.array(SKIN[skin]) + grain, 0, 255).astype(np.uint8)


def drawn(
    skin: str, opening: float, jaw: float = 0.0, turn: float = 0.0, sunk: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The planes of an opening mouth, and where it is open."""
    reference, source = portrait(skin), mesh(turn=turn)
    look = interior_look(reference, source, sunk)
    planes = live_planes(crop_rasteriser(), mesh(opening, jaw, turn), reference, source, look)
    return planes, planes[..., 4] > 0


def lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


@pytest.mark.parametrize("skin", SKIN)
def test_teeth_are_neutral_and_stand_out(skin):
    planes, inside = drawn(skin, 0.2, 0.12)
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    colours = lab(np.ascontiguousarray(planes[..., :3]))[inside]
    brightest = colours[colours[:, 0] >= np.quantile(colours[:, 0], 0.9)].mean(0)
    around = lab(portrait(skin)).mean((0, 1))
    assert abs(brightest[1]) <= 4
    assert np.linalg.norm(colours.mean(0) - around) >= 12
    if skin == "grey":
        assert np.abs(colours[:, 1:]).max() < 1.5


def test_upper_teeth_stay_and_lower_ones_follow_the_jaw():
    """Rows down the middle of the mouth: the cavity between the teeth begins where it did, and ends lower."""
    edges = [dark_rows(jaw) for jaw in (0.19, 0.25)]
    (begins, ends), (begins_later, ends_later) = edges
    assert abs(begins - begins_later) <= 1
    assert ends_later >= ends + 5


def test_the_jaw_opens_with_the_lips_even_where_the_chin_is_seen_to_stay():
    _, ends = dark_rows(0.0)
    assert ends == dark_rows(0.1)[1]
    assert ends > dark_rows(0.0, opening=0.2)[1] + 5


def test_sunk_teeth_lie_lower_behind_the_lip():
    assert dark_rows(0.1, sunk=-0.1)[1] >= dark_rows(0.1, sunk=-0.15)[1] + 4


def dark_rows(jaw: float, opening: float = 0.3, sunk: float = -0.15) -> tuple[int, int]:
    """Where the dark between the rows of teeth begins and ends in the middle; teeth are raised from behind the lip."""
    planes, inside = drawn("light", opening, jaw, sunk=sunk)
    column = planes[:, 120, :3].astype(float).mean(-1)
    rows = np.flatnonzero(inside[:, 120])
    dark = rows[column[rows] < 110]
    return int(dark[dark > rows[0] + 3].min()), int(dark.max())


def test_nothing_but_the_opening_and_its_seam_is_painted():
    reference, source = portrait("light"), mesh()
    target = mesh(0.2, 0.1)
    with_paint = live_planes(crop_rasteriser(), target, reference, source, interior_look(reference, source))
    without = live_planes(crop_rasteriser(), target, reference, source, None)
    seam = cv2.dilate(without[..., 4].copy(), np.ones((5, 5), np.uint8)) > 0
    changed = (with_paint[..., :3] != without[..., :3]).any(-1)
    assert changed.any()
    assert not changed[~seam].any()


def test_an_open_reference_keeps_its_own_mouth():
    reference, source = portrait("light"), mesh(0.2, 0.1)
    look = interior_look(reference, source)
    own = live_planes(crop_rasteriser(), mesh(0.15, 0.08), reference, source, look)
    bare = live_planes(crop_rasteriser(), mesh(0.15, 0.08), reference, source, None)
    assert np.array_equal(own[..., :3], bare[..., :3])
    hidden = live_planes(crop_rasteriser(), mesh(0.15, 0.08), reference, source, look, hide_interior=True)
    assert (hidden[..., :3] != bare[..., :3]).any()


def test_closed_lips_show_nothing():
    planes, inside = drawn("light", 0.0)
    assert inside.sum() < 40
    assert (planes[120:150, 60:200, :3].astype(int).mean(-1) > 60).all()


@pytest.mark.parametrize("turn", [-0.5, 0.5])
def test_a_turned_head_is_painted_to_the_corners(turn):
    planes, inside = drawn("light", 0.2, 0.12, turn)
    painted = np.abs(planes[..., :3].astype(int) - SKIN["light"]).sum(-1) > 30
    assert painted[inside].mean() > 0.95


def test_the_opening_has_no_holes():
    """Triangles of the topology that close the mouth must not be drawn over it."""
    _, inside = drawn("light", 0.25, 0.15)
    rows = inside.any(1)
    lips = mesh(0.25)[[UPPER_LIP, LOWER_LIP], 1]
    assert rows[int(lips[0]) + 2 : int(lips[1]) - 1].all()
    for row in inside[rows]:
        columns = np.flatnonzero(row)
        assert columns.max() - columns.min() + 1 == len(columns)


def test_a_blurred_picture_gets_blurred_teeth():
    rng = np.random.default_rng(0)
    sharp = np.kron(rng.integers(60, 200, (16, 16, 1)), np.ones((16, 16, 3))).astype(np.uint8)
    soft = cv2.GaussianBlur(sharp, (0, 0), 2.0)
    assert interior_look(soft, mesh()).blur > interior_look(sharp, mesh()).blur + 0.5


def with_teeth(tooth: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A portrait whose open mouth is filled with a colour, and its mesh."""
    reference, source = portrait("light"), mesh(0.2)
    cv2.fillPoly(reference, [np.rint(source[INNER_LIP_RING, :2]).astype(np.int32)], tooth)
    return reference, source


def test_teeth_that_the_reference_shows_keep_their_colour():
    yellow = (212, 196, 150)
    np.testing.assert_allclose(interior_look(*with_teeth(yellow)).colours.tooth, yellow, atol=1)


@pytest.mark.parametrize("inside", [(40, 12, 14), (190, 90, 95)])
def test_neither_darkness_nor_a_tongue_is_taken_for_teeth(inside):
    closed = interior_look(portrait("light"), mesh()).colours.tooth
    np.testing.assert_allclose(interior_look(*with_teeth(inside)).colours.tooth, closed, atol=1)


@pytest.mark.parametrize("row", ["upper", "lower"])
def test_back_teeth_lie_in_the_dark(row):
    tooth = reliefs()[row].picture[..., 1].max(0)
    front, molars = tooth[np.abs(reliefs()[row].x) < 0.1], tooth[np.abs(reliefs()[row].x) > 0.42]
    assert molars.max() < 0.4 * front.max()


@pytest.mark.parametrize("row", ["upper", "lower"])
def test_a_row_of_teeth_is_in_one_piece(row):
    pieces, _ = cv2.connectedComponents((reliefs()[row].picture[..., 1] > 0).astype(np.uint8))
    assert pieces == 2  # the background is one
