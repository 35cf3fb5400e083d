"""The fast rasteriser against the z-buffer in tensor operations, and the warp against the identity."""

import numpy as np
import pytest
import torch

from models.crop import CROP_SIZE, crop_mask, crop_rasteriser, mask_region
from models.mesh import FACE_OVAL, INNER_LIP_RING, NUM_VERTICES, topology
from models.raster import MeshRasteriser, ring_points, vertex_shade, warp_mesh
from tests.models.reference_raster import rasterise_torch


def crop_mesh(opening: float = 0.0, turn: float = 0.0) -> np.ndarray:
    mesh = topology().reference.copy()
    # All of the lower face moves: a lower lip drawn over its own skin would hide the opening.
    is_lower = mesh[:, 1] > mesh[INNER_LIP_RING[1:10], 1].max() + 0.04
    is_lower[INNER_LIP_RING[:10:-1]] = True
    mesh[is_lower, 1] += opening
    whole = np.concatenate([mesh, ring_points(topology().reference)])
    cos, sin = np.cos(turn), np.sin(turn)
    whole = whole @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
    return (whole * 111 + [128, -16, 0]).astype(np.float32)


def texture() -> np.ndarray:
    x, y = np.meshgrid(np.arange(CROP_SIZE), np.arange(CROP_SIZE))
    return np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)


@pytest.mark.parametrize(("opening", "turn"), [(0.0, 0.0), (0.15, 0.0), (0.1, 0.25)])
def test_agrees_with_the_z_buffer(opening, turn):
    points, source = crop_mesh(opening, turn), crop_mesh()
    size = 128
    half = np.array([0.5, 0.5, 0.5], np.float32)
    small, small_source = points * half, source * half
    shade, interior, warped, *_ = MeshRasteriser(size, (0, size, 0, size)).draw(
        small, small_source, texture()[:size, :size]
    )
    mesh = warp_mesh()
    shades = vertex_shade(small, mesh.triangles[: mesh.num_face])
    attributes = torch.from_numpy(np.concatenate([small_source[:, :2], shades[:, None]], 1))
    values, ids = rasterise_torch(torch.from_numpy(small), attributes, torch.from_numpy(mesh.triangles), size)
    hit = (ids >= 0).numpy()
    agree = np.abs(warped[..., :2].astype(float) - values[..., :2].clamp(0, size - 1).numpy())[hit] < 1.6
    assert agree.mean() > 0.99
    inside = ((ids >= mesh.num_face) & (ids < mesh.num_face + mesh.num_mouth)).numpy()
    assert (inside == (interior > 0)).mean() > 0.99
    on_face = (ids >= 0).numpy() & (ids < mesh.num_face).numpy()
    assert np.abs(shade / 255 - values[..., 2].numpy())[on_face].mean() < 0.02


def test_no_motion_is_no_warp():
    points = crop_mesh()
    warped = crop_rasteriser().draw(points, points, texture()).warped
    top, bottom, left, right = mask_region()
    region = np.s_[top:bottom, left:right]
    difference = np.abs(warped[region].astype(int) - texture()[region])
    assert np.percentile(difference, 99) <= 1


def test_only_the_region_is_drawn():
    shade, interior, warped, *_ = crop_rasteriser().draw(crop_mesh(0.2), crop_mesh(), texture())
    outside = np.ones((CROP_SIZE, CROP_SIZE), bool)
    top, bottom, left, right = mask_region()
    outside[top:bottom, left:right] = False
    assert not shade[outside].any()
    assert not interior[outside].any()
    assert not warped[outside].any()


def test_interior_grows_with_the_opening():
    areas = [
        (crop_rasteriser().draw(crop_mesh(gap), crop_mesh(), texture()).interior > 0).sum() for gap in (0.05, 0.15, 0.3)
    ]
    assert areas[0] < areas[1] < areas[2]


def test_ring_keeps_still_when_the_jaw_drops():
    np.testing.assert_array_equal(crop_mesh(0.3)[NUM_VERTICES:], crop_mesh(0.0)[NUM_VERTICES:])
    assert len(crop_mesh()) == NUM_VERTICES + len(FACE_OVAL)


def test_mask_fades_out_before_the_border():
    mask = crop_mask()
    assert mask.max() > 0.999
    assert mask.min() == 0
    assert mask[:, 0].max() == mask[:, -1].max() == mask[0].max() == mask[-1].max() == 0
    assert np.abs(np.diff(mask, axis=0)).max() < 0.2


def test_two_pictures_are_warped_at_once_as_one_by_one():
    points, source = crop_mesh(0.1, 0.25), crop_mesh()
    rasteriser = MeshRasteriser(CROP_SIZE, (0, CROP_SIZE, 0, CROP_SIZE))
    wanted = [rasteriser.draw(points, look, texture())[2] for look in (source, points)]
    assert all(map(np.array_equal, rasteriser.warp(points, (source, texture()), (points, texture())), wanted))
    assert np.array_equal(rasteriser.warp(points, (source, texture()))[0], wanted[0])
