"""Personalisation: on crops of a video, judged on frames that are kept back, continued after an interruption."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.generator import Generator
from models.references import Mixer
from models.training.crop_dataset import Crops
from models.training.personal import Figures, Judge, PersonalTraining, personalise
from models.training.personal_pairs import PersonalPairs
from models.weights import generator_path
from presenter.cli import main
from presenter.config import load_config
from presenter.enroll.enrolment import can_continue, enroll_presenter
from presenter.enroll.filmed import FilmedFace
from presenter.enroll.from_video import enroll_video
from presenter.enroll.personal import WorkFolder, personalise_presenter
from presenter.enroll.video import DecodedVideo
from presenter.enroll.video_crops import unpack_crops, write_crops
from presenter.errors import EnrollError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.runtime.networks import load_networks
from tests.presenter.videos import QUIET_S, frames, write

ENGINE = load_config("tiny").engine
BEFORE = Figures(30.0, 0.9, 2.0, 0.8)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "video", frames()[(QUIET_S - 2) * 25 :])


@pytest.fixture(scope="module")
def filmed(video: Path) -> FilmedFace:
    return enroll_video(
        DecodedVideo(video), "Ada", lambda share, message: None, load_networks(ENGINE), warn=lambda doubt: None
    )[1]


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory, filmed: FilmedFace) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    assert write_crops(folder, filmed) > 60
    return folder


def training(crops: Path, out: Path, **settings: object) -> PersonalTraining:
    kept = PersonalTraining(crops=crops, out=out, init=generator_path(), threads=1, steps=12, check_every=6)
    return dataclasses.replace(kept, **settings)


def test_a_tenth_of_the_video_is_kept_back(crops: Path, filmed: FilmedFace) -> None:
    learnt = Crops.load(crops)
    assert len(learnt.images) == len(learnt.points) == len(learnt.about)
    with np.load(crops / "held_out.npz") as held:
        kept = held["frames"]
    share = len(kept) / (len(kept) + len(learnt.images))
    assert 0.05 < share < 0.15
    assert kept.shape[1:] == (512, 512, 3)


def test_what_is_kept_back_lies_apart(filmed: FilmedFace) -> None:
    learnt, kept_back = filmed.split()
    block = len(filmed.track.faces) // 30
    assert min(abs(a - b) for a in learnt for b in kept_back) > min(block, 12)


def test_nothing_is_learnt_from_the_same_moment(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The references of the moment are left out, so that the answer is not among the questions."""
    seen: list[tuple[np.ndarray, list[int]]] = []
    mix = Mixer.chosen

    def watched(mixer: Mixer, points: np.ndarray, without: np.ndarray) -> object:
        found = mix(mixer, points, without)
        seen.append((without, found[0]))
        return found

    monkeypatch.setattr(Mixer, "chosen", watched)
    pairs = PersonalPairs(Crops.load(crops), 12)
    for number in range(12):
        assert pairs[number].live.shape == (6, 256, 256)
    assert any(without.any() for without, _ in seen)
    assert not any(without[order].any() for without, order in seen)


def test_closed_mouths_lie_behind(crops: Path) -> None:
    from models.live_inputs import mouth_gap

    learnt = Crops.load(crops)
    pairs = PersonalPairs(learnt, 20)
    median = np.median([mouth_gap(points) for points in learnt.points])
    for number in range(20):
        reference = pairs[number].reference.permute(1, 2, 0).numpy()
        nearest = min(range(len(learnt.images)), key=lambda i: np.abs(learnt.images[i].astype(int) - reference).mean())
        assert mouth_gap(learnt.points[nearest]) <= median
    np.testing.assert_array_equal(pairs[3].live, PersonalPairs(learnt, 20)[3].live)


def test_the_judge_tells_good_from_bad(crops: Path) -> None:
    judge, generator = Judge(crops), Generator.load(generator_path())
    figures = judge.judge(generator)
    assert figures.psnr_db > 22
    assert figures.lmd_px < 6
    with np.errstate(all="ignore"):
        for parameter in generator.synthesis.parameters():
            parameter.data += 0.02
    assert judge.judge(generator).psnr_db < figures.psnr_db - 1
    filmed, made = judge.pictures(generator, 0)
    mask = np.abs(filmed.astype(int) - made).max(-1) > 0
    assert 0.02 < mask.mean() < 0.4  # only the lower face is rendered


@pytest.mark.parametrize(
    ("change", "better"),
    [
        ({"psnr_db": 31.0, "ssim": 0.91}, True),
        ({"psnr_db": 29.9, "ssim": 0.91}, False),
        ({"psnr_db": 30.05, "ssim": 0.91}, False),
        ({"psnr_db": 31.0, "ssim": 0.89}, False),
        ({"psnr_db": 31.0, "ssim": 0.91, "lmd_px": 2.5}, False),
        ({"psnr_db": 31.0, "ssim": 0.91, "sharpness": 0.5}, False),
    ],
)
def test_what_counts_as_better(change: dict[str, float], better: bool) -> None:
    assert BEFORE._replace(**change).is_better_than(BEFORE) is better


def test_an_interrupted_training_is_continued(crops: Path, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(share: float, message: str) -> None:
        if message.startswith("Step 10"):
            raise Interrupted

    settings = training(crops, tmp_path / "generator.safetensors")
    with pytest.raises(Interrupted):
        personalise(settings, interrupt)
    said: list[str] = []
    done = personalise(settings, lambda share, message: said.append(message))
    assert done.steps == 12
    assert [one.split(",")[0] for one in said if one.startswith("Step")] == ["Step 10"]  # from 6 on, not from 0


def test_time_is_limited(crops: Path, tmp_path: Path) -> None:
    done = personalise(training(crops, tmp_path / "generator.safetensors", steps=1000, seconds=2.0))
    assert done.steps < 60


def test_a_presenter_is_saved_first_and_continued_by_name_and_video(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IdentityStore(tmp_path)
    shares: list[float] = []

    class Stopped(Exception):
        pass

    def stop(share: float, message: str) -> None:
        shares.append(share)
        if message.startswith("Before"):
            raise Stopped

    with pytest.raises(Stopped):
        enroll_presenter(store, ENGINE, video, "Ada", stop, personalise=True, consent_by="Ada L.")
    assert store.load("Ada").identity.template is not None
    assert can_continue(store, "Ada", video)
    assert not can_continue(store, "Eve", video)
    other = tmp_path / "other"
    other.write_bytes(video.read_bytes() + b"x")
    assert not can_continue(store, "Ada", other)
    said: list[str] = []
    stored, better, figures, sheet = personalise_presenter(
        store, dataclasses.replace(ENGINE, personalise_s=12), "Ada", lambda share, message: said.append(message)
    )
    assert said[0].startswith("Before: PSNR")
    assert said[-1].startswith("After: PSNR")
    assert stored.consent is not None
    assert stored.consent.by == "Ada L."
    assert not WorkFolder.of(store, "Ada").path.exists()
    assert better == (stored.generator is not None)
    assert cv2.imdecode(np.frombuffer(sheet, np.uint8), cv2.IMREAD_COLOR).shape == (3 * 256, 3 * 256, 3)
    with pytest.raises(EnrollError, match="none; enrol it from a video"):
        personalise_presenter(store, ENGINE, "Ada", lambda share, message: None)
    again = store.load("Ada")
    assert again.identity.references is not None
    assert (again.generator is None) == ("no better" in said[-1])
    if again.generator is not None:
        assert again.identity.style_of == Generator.load(again.generator).fingerprint
        assert again.personalised is not None
        assert again.personalised == figures
        assert again.personalised["after"]["psnr_db"] > again.personalised["before"]["psnr_db"]
    Engine.load(load_config("tiny")).renderer(again).close()


def test_what_is_needed_later_is_kept_small_and_moves_with_the_name(video: Path, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    enroll_presenter(store, ENGINE, video, "Ada")
    assert store.rename("Ada", "Eve") == "Eve"
    work = WorkFolder.of(store, "Eve")
    assert work.is_filled
    assert not WorkFolder.of(store, "Ada").path.exists()
    assert can_continue(store, "Eve", video)
    kept = sum(path.stat().st_size for path in work.path.rglob("*") if path.is_file())
    assert kept < 30e6
    unpack_crops(work.path / "crops")
    images = Crops.load(work.path / "crops").images
    assert images.dtype == np.uint8
    assert kept < images.nbytes
    store.delete("Eve")
    assert not work.path.exists()


def test_the_command_says_why_a_presenter_can_not_be_personalised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"presenters: {tmp_path / 'own'}\n")
    for arguments, said in (
        (["default"], "none; enrol it from a video"),
        (["nobody"], "no presenter named"),
        (["default", "--sheet", "x.png"], "ends in .jpg"),
    ):
        assert main(["--config", str(config), "personalize", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_a_failed_training_leaves_the_presenter(video: Path, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    enroll_presenter(store, ENGINE, video, "Ada")
    work = WorkFolder.of(store, "Ada")
    (work.path / "crops" / "points.npy").write_bytes(b"")
    with pytest.raises(EnrollError, match="works with the base generator"):
        personalise_presenter(store, ENGINE, "Ada", lambda share, message: None)
    assert store.names() == ["default", "sam", "Ada"]
    store.delete("Ada")
    assert not work.path.exists()
