"""Boundary checks of the types that flow between the rooms."""

import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import (
    CHUNK_SAMPLES,
    PLAYOUT_RATE,
    PLAYOUT_RATIO,
    PLAYOUT_SAMPLES,
    SAMPLE_RATE,
    AudioChunk,
    VideoFrame,
    is_quiet,
    silence,
)


def test_both_branches_of_a_chunk_last_exactly_one_frame() -> None:
    assert CHUNK_SAMPLES * 25 == SAMPLE_RATE
    assert PLAYOUT_SAMPLES * 25 == PLAYOUT_RATE
    assert PLAYOUT_SAMPLES == CHUNK_SAMPLES * PLAYOUT_RATIO


@pytest.mark.parametrize(
    ("pcm", "audio", "text"),
    [
        (np.zeros(639, np.float32), np.zeros(1920, np.int16), r"pcm: expected float32 \[640\]"),
        (np.zeros(640, np.float64), np.zeros(1920, np.int16), "got float64"),
        (np.zeros(640, np.float32), np.zeros(1920, np.float32), "audio: expected int16"),
        (np.zeros(640, np.float32), np.zeros((1920, 1), np.int16), r"got int16 \[1920, 1\]"),
    ],
)
def test_a_chunk_of_another_shape_or_type_is_refused(pcm: np.ndarray, audio: np.ndarray, text: str) -> None:
    with pytest.raises(StreamError, match=text):
        AudioChunk(pcm, audio, 0)


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 8, 3), np.uint8)[:, ::2],
    ],
)
def test_a_frame_that_is_not_contiguous_rgb_is_refused(rgb: np.ndarray) -> None:
    with pytest.raises(StreamError, match=r"VideoFrame\.rgb: expected"):
        VideoFrame(rgb, 0)


@pytest.mark.parametrize(
    "cutout",
    [
        np.zeros((4, 8, 3), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 8, 4), np.float32),
        np.zeros((4, 16, 4), np.uint8)[:, ::2],
    ],
)
def test_a_cutout_that_does_not_fit_its_picture_is_refused(cutout: np.ndarray) -> None:
    rgb = np.zeros((4, 8, 3), np.uint8)
    assert VideoFrame(rgb, 0).cutout is None
    assert VideoFrame(rgb, 0, np.zeros((4, 8, 4), np.uint8)).cutout is not None
    with pytest.raises(StreamError, match=r"VideoFrame\.cutout: expected"):
        VideoFrame(rgb, 0, cutout)


def test_silence_is_silent_in_both_branches() -> None:
    chunk = silence(1280)
    assert chunk.pts == 1280
    assert not chunk.pcm.any()
    assert not chunk.audio.any()


@pytest.mark.parametrize(("dbfs", "quiet"), [(-50.0, True), (-46.0, False)])
def test_a_pause_is_what_lies_below_the_level(dbfs: float, quiet: bool) -> None:
    chunk = AudioChunk(np.full(640, 10 ** (dbfs / 20), np.float32), np.zeros(1920, np.int16), 0)
    assert is_quiet(chunk) is quiet
    assert is_quiet(chunk, dbfs + 1)
    assert not is_quiet(chunk, dbfs - 1)
