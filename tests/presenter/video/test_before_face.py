"""Frames of a video in which a hand is before the mouth stay as they are; the film goes on before and after."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.training.occluders import HELD_OUT_KINDS
from presenter.config import load_config
from presenter.recipe.occlusion_report import cover
from presenter.runtime.engine import Engine
from presenter.video.before_face import lasting
from presenter.video.face_track import FaceTrack, track_face
from presenter.video.motion import SpeechMotion
from presenter.video.reference_choice import Candidates
from presenter.video.resync import COVERED, fade_weights, resync_frames, resync_video
from presenter.video.track_file import load_track, save_track
from stream.files.movie import MovieWriter
from stream.files.reader import AudioFile, TimedFrame, iter_frames
from tests.presenter.videos import QUIET_S, frames

SIZE = 320
COUNT = 90


@pytest.fixture(scope="module")
def clean() -> list[TimedFrame]:
    """The shipped presenter, talking."""
    begin = QUIET_S * 25 - 10
    small = (cv2.resize(rgb, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for rgb in frames()[begin : begin + COUNT])
    return [TimedFrame(rgb, Fraction(k, 25)) for k, rgb in enumerate(small)]


@pytest.fixture(scope="module")
def clean_track(clean: list[TimedFrame]) -> FaceTrack:
    return track_face(clean)


@pytest.fixture(scope="module")
def crossed(
    clean: list[TimedFrame], clean_track: FaceTrack, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    """A film with a fist that comes and goes, and how much of what is painted it covers in each frame."""
    covered, shares = cover(clean, clean_track, HELD_OUT_KINDS["fist"], np.random.default_rng(1))
    path = tmp_path_factory.mktemp("film") / "hand.mp4"
    with MovieWriter(path, (SIZE, SIZE), Fraction(25)) as writer:
        for rgb, _ in covered:
            writer.write(rgb)
    return path, shares


def test_nothing_is_left_out_of_a_film_with_nothing_before_the_face(clean_track: FaceTrack) -> None:
    assert not clean_track.covered.any()


def test_frames_behind_a_hand_stay_are_counted_and_serve_as_no_reference(
    crossed: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    video, shares = crossed
    engine = Engine.load(load_config("tiny"))
    silence = AudioFile(np.zeros((1, 16_000 * 4), np.float32), 16_000)
    motion = SpeechMotion(engine.syncformer, silence, torch.device("cpu"))
    track = track_face(iter_frames(video))
    assert track.covered[shares > 0.15].mean() > 0.9
    free = np.convolve(shares > 0.001, np.ones(9), "same") == 0
    assert free.sum() > 20
    assert not track.covered[free].any()
    save_track(tmp_path / "track.npz", track)
    track = load_track(tmp_path / "track.npz")
    filmed = list(iter_frames(video))
    made = list(resync_frames(engine, video, track, motion))
    weights = fade_weights([not hidden for hidden in track.covered])
    for before, after, weight in zip(filmed, made, weights, strict=True):
        assert np.array_equal(before.rgb, after.rgb) == (weight == 0)
    begin = int(np.flatnonzero(track.covered)[0]) + 2
    rest = list(resync_frames(engine, video, track, motion, skip=begin))
    for whole, part in zip(made[begin:], rest, strict=True):
        assert np.array_equal(whole.rgb, part.rgb), "continued in the middle of the hand"
    done = resync_video(engine, video, motion, silence, tmp_path / "out.mp4", "key", progress=lambda share, what: None)
    assert Counter(done.unchanged) == Counter({COVERED: int(track.covered.sum())})


def test_one_frame_is_no_occlusion_and_edges_belong_to_what_lasts() -> None:
    shares = np.zeros(30, np.float32)
    shares[5] = 0.5
    shares[14:22] = (0.06, 0.06, 0.2, 0.5, 0.5, 0.2, 0.06, 0.0)
    assert np.flatnonzero(lasting(shares)).tolist() == list(range(14, 21))


def test_candidates_for_a_reference_lie_apart_in_time() -> None:
    candidates: Candidates[int] = Candidates()
    for frame, misses in enumerate((5, 3, 4, 2, 9, 1, 8)):
        candidates.offer(misses, frame, Fraction(frame), lambda frame=frame: frame)  # type: ignore[misc]
    assert candidates.best(lambda frame: True) == 5
    assert candidates.best(lambda frame: frame < 5) == 3
    assert candidates.best(lambda frame: False) is None
