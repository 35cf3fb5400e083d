"""A video's person gets another face: who it is changes, what the face does and everything around it stays."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.face_square import face_transform
from models.mesh import aperture
from presenter import api
from presenter.cli import main
from presenter.errors import ConsentError, PresenterError
from presenter.recipe.tracked_clip import track
from presenter.runtime.identities import IdentityStore
from presenter.video.face_track import track_face
from presenter.video.swap import labelled, prepare_swap
from stream.files.reader import iter_frames, read_audio


def quiet(share: float, what: str) -> None:
    """Draw no bar."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped presenter talks."""
    path = tmp_path_factory.mktemp("swap") / "talk.mp4"
    api.say("Papa and mama bought a big blue boat today.", path, config="tiny", progress=quiet)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another face, made from the shipped one: darker, with another chin, nose and mouth."""
    rgb = IdentityStore(Path()).load("default").identity.shrunk(512).frame
    height, width = rgb.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += 7 * np.sin((x - width / 2) / 40) * np.exp(-np.square((y - 330) / 90))
    bent = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    path = tmp_path_factory.mktemp("photo") / "other.png"
    cv2.imwrite(str(path), (bent[..., ::-1] * [0.35, 0.5, 0.7]).astype(np.uint8))
    return path


def test_the_face_changes_and_expression_pose_and_surroundings_stay(video: Path, photo: Path, tmp_path: Path) -> None:
    stored = IdentityStore(tmp_path).load("default")
    frames = list(iter_frames(video))
    faces = track_face(frames)
    swap = prepare_swap(video, faces, stored)
    same = swap.swap(frames[20].rgb, faces.faces[20].mesh, faces.faces[20].pose)  # type: ignore[union-attr]
    assert np.abs(same.astype(int) - frames[20].rgb).mean() < 3, "one's own face changes little"
    square, size = np.ones((256, 256), np.uint8), frames[20].rgb.shape[1::-1]
    transform = face_transform(faces.faces[20].pose, 256)  # type: ignore[union-attr]
    inside = cv2.warpAffine(square, transform, size, flags=cv2.WARP_INVERSE_MAP)
    assert np.array_equal(same[inside == 0], frames[20].rgb[inside == 0])
    nothing = swap.swap(frames[20].rgb, faces.faces[20].mesh, faces.faces[20].pose, 0.0)  # type: ignore[union-attr]
    assert np.array_equal(nothing, frames[20].rgb)

    out = tmp_path / "swapped.mp4"
    done = api.render(None, out, video=video, face=str(photo), consent_by="Test", config="tiny", progress=quiet)
    assert done.frames == len(frames)
    before, after = track(video), track(out)
    count = min(len(before.meshes), len(after.meshes))
    openings = [aperture(clip.meshes[:count]) for clip in (before, after)]
    assert np.corrcoef(*openings)[0, 1] >= 0.9
    poses = list(zip(before.poses[:count], after.poses[:count], strict=True))
    assert np.mean([abs(a.yaw_degrees - b.yaw_degrees) for a, b in poses]) <= 3
    assert np.mean([abs(a.pitch_degrees - b.pitch_degrees) for a, b in poses]) <= 3
    assert np.abs(after.frames[20].astype(int) - before.frames[20]).mean() > 1, "it is another face"
    assert read_audio(out).duration_s == pytest.approx(read_audio(video).duration_s, abs=0.1)


def test_a_swapped_film_is_labelled_in_every_frame_and_its_metadata(video: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "swapped.mp4"
    arguments = ["--video", str(video), "--face", str(photo), "--consent", "Test", "--out", str(out)]
    assert main(["--config", "tiny", "render", *arguments]) == 0
    with av.open(str(out)) as film:
        assert film.metadata["comment"] == "AI-generated face"
    for before, after in zip(iter_frames(video), iter_frames(out), strict=True):
        corner = np.s_[-24:, :140]
        expected = labelled(before.rgb)[corner].astype(int)
        assert np.abs(after.rgb[corner].astype(int) - expected).mean() < 12
        assert np.abs(after.rgb[corner].astype(int) - before.rgb[corner]).mean() > 12


def test_with_sound_the_mouth_follows_it(video: Path, photo: Path, tmp_path: Path) -> None:
    wav, out = tmp_path / "silence.wav", tmp_path / "silent.mp4"
    wav.write_bytes(_silence(1.5))
    api.render(wav, out, video=video, face=str(photo), consent_by="Test", config="tiny", progress=quiet)
    clip = track(out)
    assert aperture(track(video).meshes).max() > 0.12, "the video itself talks"
    assert np.mean(aperture(clip.meshes) < 0.05) > 0.9


def _silence(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * int(16_000 * seconds)))
    return file.getvalue()


def test_without_consent_or_video_nothing_is_made(video: Path, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.mp4"
    with pytest.raises(ConsentError, match="--consent NAME"):
        api.render(None, out, video=video, face=str(photo), config="tiny", progress=quiet)
    with pytest.raises(ConsentError, match="'default'"):
        api.render(None, out, video=video, face="default", config="tiny", progress=quiet)
    with pytest.raises(PresenterError, match="expected a video"):
        api.render(None, out, face=str(photo), consent_by="Test", config="tiny", progress=quiet)
    assert not out.exists()
