"""YUV 4:2:0 against swscale's, and made once per picture."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import VideoFrame
from stream.yuv import i420


def photo(height: int = 96, width: int = 128) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)
    return np.clip(128 + 4 * (cv2.GaussianBlur(noise, (0, 0), 3) - 128), 0, 255).astype(np.uint8)


def test_is_what_swscale_makes() -> None:
    rgb = photo()
    wanted = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p").to_ndarray()
    got = i420(rgb)
    assert got.shape == wanted.shape
    assert np.abs(got.astype(int) - wanted).max() <= 4


@pytest.mark.parametrize(
    ("colour", "planes"),
    [((0, 0, 0), (16, 128, 128)), ((255, 255, 255), (235, 128, 128)), ((255, 0, 0), (81, 90, 240))],
)
def test_known_colours(colour: tuple[int, ...], planes: tuple[int, ...]) -> None:
    """ITU-R BT.601 in video range."""
    rgb = np.full((4, 4, 3), colour, np.uint8)
    y, u, v = np.split(i420(rgb).ravel(), [16, 20])
    for plane, value in zip((y, u, v), planes, strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_a_frame_is_converted_once() -> None:
    frame = VideoFrame(photo(), 0)
    assert frame.i420() is frame.i420()
    np.testing.assert_array_equal(frame.i420(), i420(frame.rgb))


def test_odd_sides_are_refused() -> None:
    with pytest.raises(StreamError, match="even sides, got 127 x 96"):
        VideoFrame(np.ascontiguousarray(photo()[:, :127]), 0).i420()


def test_a_frame_in_yuv_is_converted_where_rgb_is_wanted() -> None:
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    rgb = np.stack([2 * x, 3 * y, 128 + 0 * x], -1).astype(np.uint8)
    frame = VideoFrame.of_i420(i420(rgb), 640)
    assert (frame.size, frame.pts, frame.cutout) == ((48, 64), 640, None)
    assert np.abs(frame.rgb.astype(int) - rgb).mean() < 2
    assert frame.rgb is frame.rgb
    assert frame.i420() is frame.i420()
    for wrong in (np.zeros((47, 64), np.uint8), np.zeros((48, 63), np.uint8), np.zeros((48, 64, 3), np.uint8)):
        with pytest.raises(StreamError, match="planes"):
            VideoFrame.of_i420(wrong, 0)
