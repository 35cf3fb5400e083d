"""A video becomes a presenter that moves as the person does; what can't be used is refused with a reason."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.live_inputs import mouth_gap
from models.mesh import aperture, canonicalise
from models.references import MOST
from models.template import MAX_FRAMES
from models.tracker import FaceTracker
from presenter.cli import main
from presenter.config import load_config
from presenter.enroll.decode import DecodingStoppedError
from presenter.enroll.from_video import enroll_video
from presenter.enroll.video import DecodedVideo, is_video
from presenter.errors import EnrollError, IdentityDamagedError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore, shipped_dir
from presenter.runtime.identity_folder import REFERENCES, StoredIdentity, load_identity, save_identity
from presenter.runtime.networks import Networks, load_networks
from stream.media import CHUNK_SAMPLES, silence
from tests.presenter.videos import QUIET_S, frames, write


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "video", frames())


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks(load_config("tiny").engine)


@pytest.fixture(scope="module")
def warnings() -> list[str]:
    return []


@pytest.fixture(scope="module")
def stored(video: Path, networks: Networks, warnings: list[str]) -> StoredIdentity:
    identity, _ = enroll_video(DecodedVideo(video), "Ada", lambda share, message: None, networks, warn=warnings.append)
    return StoredIdentity(identity, None)


def decoded(path: Path) -> list[np.ndarray]:
    return [frame.rgb for frame in DecodedVideo(path).frames()]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean(np.square(a.astype(np.float32) - b))))


def rendered(stored: StoredIdentity, count: int) -> list[np.ndarray]:
    renderer = Engine.load(load_config("tiny")).renderer(stored)
    pieces = [renderer.push(silence(number * CHUNK_SAMPLES)) for number in range(count)]
    return [frame.rgb for piece in pieces for _, frame in piece]


def test_mouths_of_the_video_are_kept(stored: StoredIdentity, tmp_path: Path) -> None:
    """Open ones among them; on disk and back, and without them a presenter is what it was."""
    references = stored.identity.references
    assert references is not None
    assert 8 <= len(references) <= MOST
    gaps = [mouth_gap(points) for points in references.points]
    assert min(gaps) < 4 < 8 < max(gaps)
    save_identity(tmp_path / "Ada", stored.identity)
    again = load_identity(tmp_path / "Ada").identity.references
    assert again is not None
    np.testing.assert_array_equal(again.points, references.points)
    assert psnr(again.pictures, references.pictures) > 38
    assert (tmp_path / "Ada" / REFERENCES).stat().st_size < 4 << 20
    (tmp_path / "Ada" / REFERENCES).write_bytes((tmp_path / "Ada" / REFERENCES).read_bytes()[:-9])
    with pytest.raises(IdentityDamagedError, match="enrol it again"):
        load_identity(tmp_path / "Ada")
    (tmp_path / "Ada" / REFERENCES).unlink()
    assert load_identity(tmp_path / "Ada").identity.references is None


def test_the_quiet_part_is_what_moves(stored: StoredIdentity, warnings: list[str]) -> None:
    template = stored.identity.template
    assert template is not None
    assert 25 <= len(template) <= QUIET_S * 25 + 5
    assert float(aperture(template.neutral)) < 0.03
    indices = [template.index(number) for number in range(4 * len(template))]
    assert set(indices) == set(range(len(template)))
    assert max(abs(a - b) for a, b in zip(indices, indices[1:], strict=False)) == 1  # no jump, there and back
    assert stored.identity.speaking_style is not None
    assert all("short" in each for each in warnings)  # the video is; nothing else is to be said of it


def test_it_moves_as_the_video_does_with_closed_lips(stored: StoredIdentity) -> None:
    template = stored.identity.template
    assert template is not None
    shown = rendered(stored, 2 * len(template))
    steps = [float(np.abs(a.astype(int) - b).mean()) for a, b in zip(shown, shown[1:], strict=False)]
    turn = len(template) - 2  # frame numbers begin at 1
    assert max(steps[turn - 1 : turn + 2]) <= max(steps) * 1.001
    assert max(steps[turn - 1 : turn + 2]) <= 2 * float(np.median(steps)) + 0.2
    above_mouth = np.s_[: 512 // 3]
    for number in (3, 20, 40):
        assert psnr(shown[number][above_mouth], template.frame(template.index(number + 1)).picture[above_mouth]) > 45
    with FaceTracker(video=False, max_faces=1) as tracker:
        openings = [float(aperture(canonicalise(tracker.track(rgb)[0])[0])) for rgb in shown[::15]]
    assert max(openings) < 0.04


def test_a_head_pose_is_added(stored: StoredIdentity) -> None:
    from models.compositor import FrameCompositor
    from models.head_motion import HeadPose

    engine = Engine.load(load_config("tiny"))
    compositor = FrameCompositor(stored.identity, engine.folded(stored))
    rest = np.zeros((478, 3), np.float32)
    still, moved = compositor.frame(rest), compositor.frame(rest, HeadPose(right=0.1))
    with FaceTracker(video=False, max_faces=1) as tracker:
        places = [tracker.track(rgb)[0][:, 0].mean() for rgb in (still, moved)]
    assert places[1] - places[0] == pytest.approx(0.1 * stored.identity.pose.scale, rel=0.25)


def test_cutouts_follow_the_video(stored: StoredIdentity) -> None:
    from models.compositor import FrameCompositor

    compositor = FrameCompositor(stored.identity, Engine.load(load_config("tiny")).folded(stored))
    compositor.prepare_cutout()
    plain, cutout = compositor.frame_and_cutout(np.zeros((478, 3), np.float32), number=30)
    opaque = cutout[..., 3] == 255
    assert 0.2 < opaque.mean() < 0.9
    assert psnr(plain[opaque], cutout[..., :3][opaque]) > 40
    assert not cutout[:20, :20, 3].any()


def test_storing_and_reading(stored: StoredIdentity, tmp_path: Path) -> None:
    save_identity(tmp_path / "Ada", stored.identity)
    assert sum(file.stat().st_size for file in (tmp_path / "Ada").iterdir()) < 40 << 20
    again = load_identity(tmp_path / "Ada").identity.template
    template = stored.identity.template
    assert again is not None
    assert template is not None
    assert again.pictures == template.pictures
    assert again.mattes == template.mattes
    for index in (0, len(template) - 1):
        a, b = again.frame(index), template.frame(index)
        np.testing.assert_array_equal(a.picture, b.picture)
        np.testing.assert_array_equal(a.rest, b.rest)
        np.testing.assert_array_equal(a.pose.translation, b.pose.translation)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_damaged_template_is_named(stored: StoredIdentity, tmp_path: Path, place: float) -> None:
    save_identity(tmp_path / "Ada", stored.identity)
    path = tmp_path / "Ada" / "template.safetensors"
    path.write_bytes(path.read_bytes()[: int(place * path.stat().st_size)])
    with pytest.raises(IdentityDamagedError, match="template"):
        load_identity(tmp_path / "Ada")


def test_a_picture_of_another_size_is_refused(stored: StoredIdentity, tmp_path: Path) -> None:
    import dataclasses

    from models.template import compress

    template = stored.identity.template
    assert template is not None
    pictures = [*template.pictures[:-1], compress(np.zeros((4000, 4000, 3), np.uint8))]
    wrong = dataclasses.replace(stored.identity, template=dataclasses.replace(template, pictures=pictures))
    save_identity(tmp_path / "Ada", wrong)
    with pytest.raises(IdentityDamagedError, match="512 x 512"):
        load_identity(tmp_path / "Ada")


def test_folders_of_older_versions_are_read() -> None:
    assert load_identity(shipped_dir() / "default").identity.template is None


@pytest.mark.parametrize(
    ("codec", "container"), [("libx264", "mov"), ("libx265", "mp4"), ("libvpx-vp9", "webm"), ("libx264", "matroska")]
)
def test_formats_of_telephones(tmp_path: Path, codec: str, container: str) -> None:
    path = write(tmp_path / "no_ending", frames()[:12], codec=codec, container=container)
    assert is_video(path)
    shown = decoded(path)
    assert len(shown) == 12
    assert psnr(shown[5], frames()[5]) > 32


def test_rates_become_25(tmp_path: Path) -> None:
    pictures = frames()[:60]
    assert len(decoded(write(tmp_path / "a", pictures, rate=60))) == 25
    times = np.cumsum([0, *([20, 60] * 30)])[:60].tolist()  # 40 ms on average
    variable = decoded(write(tmp_path / "b", pictures, times=times))
    assert abs(len(variable) - 60) <= 1
    assert psnr(variable[30], pictures[30]) > 32


def test_a_video_that_lies_on_its_side_is_turned(tmp_path: Path, networks: Networks) -> None:
    path = write(tmp_path / "video", np.rot90(frames()[:80], 1, (1, 2)))
    said: list[str] = []
    identity, _ = enroll_video(DecodedVideo(path), "Ada", lambda share, message: None, networks, warn=said.append)
    assert any("turned upright" in each for each in said)
    assert identity.template is not None
    assert abs(np.degrees(np.arctan2(identity.pose.rotation[1, 0], identity.pose.rotation[0, 0]))) < 10


def tiled(pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([pictures, pictures[:, :, ::-1]], 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda video: video[:40], "too short: expected at least 3 s, found 1.6"),
        (lambda video: np.zeros_like(video[:90]), "nearly black"),
        (lambda video: np.full_like(video[:90], 120), "a face from the front"),
        (lambda video: tiled(video[:90]), "expected one face, found several"),
        (lambda video: np.concatenate([video[:60], np.full_like(video[:40], 90)]), "without a face"),
        (lambda video: np.stack([cv2.GaussianBlur(rgb, (0, 0), 12) for rgb in video[:90]]), "the face is blurred"),
        (lambda video: np.stack([cv2.resize(rgb, (128, 128)) for rgb in video[:90]]), "the face is too small"),
        (lambda video: video[:90] // 10, "nearly black"),
        (lambda video: video[:90, 190:], "cut off"),
    ],
)
def test_what_cannot_be_used_says_what_to_do(tmp_path: Path, networks: Networks, change, said: str) -> None:
    path = write(tmp_path / "video", change(frames()))
    with pytest.raises(EnrollError, match=said) as caught:
        enroll_video(DecodedVideo(path), "Ada", lambda share, message: None, networks, warn=lambda doubt: None)
    assert ";" in str(caught.value)  # what to do
    assert "photo" not in str(caught.value)


def test_a_video_without_a_quiet_second_gives_a_still_picture(tmp_path: Path, networks: Networks) -> None:
    path = write(tmp_path / "video", frames()[QUIET_S * 25 + 5 :])
    said: list[str] = []
    identity, _ = enroll_video(DecodedVideo(path), "Ada", lambda share, message: None, networks, warn=said.append)
    assert identity.template is None
    assert any("no second with closed lips" in each for each in said)


def test_another_light_ends_the_quiet_part(tmp_path: Path, networks: Networks) -> None:
    pictures = frames()[:70].copy()
    pictures[:30] = np.clip(pictures[:30] * 0.75, 0, 255)
    path = write(tmp_path / "video", np.concatenate([pictures, frames()[75:110]]))
    identity, _ = enroll_video(
        DecodedVideo(path), "Ada", lambda share, message: None, networks, warn=lambda doubt: None
    )
    assert identity.template is not None
    assert 25 <= len(identity.template) <= 50
    shown = [identity.template.frame(index).picture.mean() for index in range(len(identity.template))]
    assert np.abs(np.diff(shown)).max() < 2


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    avi = write(tmp_path / "video.mp4", frames()[:5], codec="libx264", container="avi")
    assert not is_video(avi)
    with pytest.raises(EnrollError, match="MP4, MOV, WebM or MKV"):
        list(DecodedVideo(avi).frames())
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    assert not is_video(playlist)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\0\0\0\x18ftypisom" + bytes(2000))
    assert is_video(damaged)
    with pytest.raises(EnrollError, match="damaged"):
        list(DecodedVideo(damaged).frames())


def test_decoding_can_be_stopped_and_is_limited(video: Path) -> None:
    stop = threading.Event()
    reading = DecodedVideo(video, stop).frames()
    next(reading)
    stop.set()
    time.sleep(0.5)
    with pytest.raises(DecodingStoppedError):
        list(reading)
    with pytest.raises(EnrollError, match="too much time"):
        sum(time.sleep(0.1) is None for _ in DecodedVideo(video, wall_s=0.3).frames())


def test_only_a_minute_is_read(tmp_path: Path) -> None:
    small = np.zeros((1600, 64, 64, 3), np.uint8)
    video = DecodedVideo(write(tmp_path / "video", small))
    assert sum(1 for _ in video.frames()) == 1500
    assert video.was_cut
    assert MAX_FRAMES <= 300  # 12 s: what a template may take in memory rests on it


def test_the_command_line(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"presenters: {tmp_path / 'presenters'}\n")
    run = ["--config", str(config)]
    assert main([*run, "enroll", str(video), "--name", "Ada", "--consent", "Ada L."]) == 0
    assert main([*run, "presenters", "show", "Ada"]) == 0
    said = capsys.readouterr().out
    assert "a video of" in said
    assert "Ada L." in said
    exported = str(tmp_path / "ada.zip")
    assert main([*run, "presenters", "export", "Ada", "--out", exported]) == 0
    assert main([*run, "presenters", "import", exported, "--name", "Again"]) == 0
    store = IdentityStore(tmp_path / "presenters")
    again, ada = store.load("Again").identity.template, store.load("Ada").identity.template
    assert again is not None
    assert ada is not None
    assert again.pictures == ada.pictures
    assert main([*run, "enroll", str(video), "--name", "Ada"]) == 2
    photo = ["enroll", str(shipped_dir() / "default" / "frame.png"), "--name", "Eve", "--personalize"]
    assert main([*run, *photo]) == 2
    assert "expected a video to personalise with" in capsys.readouterr().err
