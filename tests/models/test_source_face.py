"""What a photo shows beside the face itself is not given to another: a smile, and hair before the face."""

import numpy as np

from models.mesh import FACE_OVAL, LEFT_CORNER, RIGHT_CORNER, UPPER_LIP, topology, width
from models.source_face import polygons, without_hair, without_smile

UNIT = 100.0


def smiling(amount: float) -> np.ndarray:
    """The reference mesh with corners of the mouth raised and drawn apart."""
    mesh = topology().reference.copy()
    lateral = mesh[:, 0] / abs(mesh[RIGHT_CORNER, 0])
    near = np.exp(-np.square((mesh[:, 1] - mesh[UPPER_LIP, 1]) / 0.25)) * (abs(lateral) < 1.6)
    mesh[:, 0] += near * amount * lateral
    mesh[:, 1] -= near * amount * np.square(lateral)
    return mesh


def test_a_smile_is_expression_and_a_wide_mouth_is_shape() -> None:
    rest = topology().reference
    left = without_smile(smiling(0.1) - rest)
    assert abs(width(rest + left) - width(rest)) < 0.25 * (width(smiling(0.1)) - width(rest))
    corners = [LEFT_CORNER, RIGHT_CORNER]
    middle = (rest + left)[UPPER_LIP, 1] - rest[UPPER_LIP, 1]
    assert np.abs(left[corners, 1] - middle).max() < 0.03, "of 0.1"

    wide = rest.copy()
    wide[:, 0] *= 1.15
    assert np.allclose(without_smile(wide - rest), wide - rest, atol=5e-3)
    drooping = smiling(-0.1) - rest
    assert np.array_equal(without_smile(drooping), drooping), "what is no smile stays"


def portrait() -> tuple[np.ndarray, np.ndarray]:
    points = topology().reference * UNIT + np.array([185, 115, 0], np.float32)
    picture = np.full((370, 370, 3), 60, np.uint8)
    picture[polygons(370, points[FACE_OVAL, :2]) > 0] = (200, 160, 140)
    return picture, points.astype(np.float32)


def test_hair_at_a_temple_becomes_skin() -> None:
    picture, points = portrait()
    assert np.array_equal(without_hair(picture, points, UNIT), picture)
    temple = points[FACE_OVAL[28], :2].round().astype(int)  # beside an eye
    hairy = picture.copy()
    oval = polygons(370, points[FACE_OVAL, :2]) > 0
    strand = np.zeros_like(oval)
    strand[temple[1] - 15 : temple[1] + 15, temple[0] : temple[0] + 18] = True
    strand &= oval
    assert strand.sum() > 100
    hairy[strand] = 30
    made = without_hair(hairy, points, UNIT)
    assert np.abs(made[strand].astype(int) - picture[strand]).mean() < 25
    assert np.array_equal(made[250:], hairy[250:]), "below the nose nothing changes: a beard is the face's own"


def test_a_dark_side_is_no_hair() -> None:
    picture, points = portrait()
    lit = picture.copy()
    lit[:, :185] //= 3
    lit[:, 185:250] = picture[:, 185:250]
    assert np.array_equal(without_hair(lit, points, UNIT), lit)
