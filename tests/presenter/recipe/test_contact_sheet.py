"""`presenter contact-sheet` on the shipped presenter: a sheet to look at, and figures that follow the picture."""

import json
import wave

import cv2
import numpy as np

from presenter.cli import main
from presenter.recipe import contact_sheet, picture_variants
from presenter.runtime.identities import load_identity, shipped_dir


def speech(path, seconds):
    """Noise in syllables, which the network moves the mouth for."""
    t = np.arange(int(16000 * seconds)) / 16000
    noise = np.random.default_rng(0).standard_normal(len(t)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((6000 * noise).clip(-32768, 32767).astype("<i2").tobytes())


def test_draws_and_measures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contact_sheet, "_MEASURED", 8)
    speech(tmp_path / "speech.wav", 2)
    arguments = ["default", "nobody", "--speech", str(tmp_path / "speech.wav"), "--out", str(tmp_path / "out")]
    assert main(["contact-sheet", *arguments]) == 0
    printed = capsys.readouterr()
    assert "left out nobody" in printed.err
    sheet = cv2.imread(str(tmp_path / "out" / "mouths-1.png"))
    tiles = sheet.reshape(186, 7, 225, 3).astype(int).transpose(1, 0, 2, 3)
    assert np.abs(tiles[0] - tiles[4]).max() > 40  # at rest, and wide open
    blinks = cv2.imread(str(tmp_path / "out" / "blinks-1.png")).reshape(186, 5, 225, 3).astype(int)
    assert np.abs(blinks[:, 0] - blinks[:, 4]).max() > 60  # open, and closed
    heads = cv2.imread(str(tmp_path / "out" / "heads-1.png")).reshape(320, 5, 320, 3).astype(int)
    assert all(np.abs(heads[:, 0] - heads[:, pose]).mean() > 1 for pose in range(1, 5))
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    (one,) = figures["pictures"].values()
    assert figures["colour"]["pictures"] == 1
    assert 10 < one["skin_chroma"] < 40
    assert 0.5 < one["sharpness_ratio"] < 1.5
    assert 0 < one["flicker"] < 20
    assert one["lid_coverage"] > 0.7


def test_variants_are_drawn_and_measured_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contact_sheet, "_MEASURED", 4)
    chosen = {name: picture_variants._VARIANTS[name] for name in ("grey", "beard")}
    monkeypatch.setattr(picture_variants, "_VARIANTS", chosen)
    speech(tmp_path / "speech.wav", 1.5)
    arguments = ["default", "--variants", "--speech", str(tmp_path / "speech.wav"), "--out", str(tmp_path / "out")]
    assert main(["contact-sheet", *arguments]) == 0
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert set(figures) == {"colour", "variant grey", "variant beard", "pictures"}
    assert abs(figures["variant grey"]["tooth_a"]) < 1
    assert cv2.imread(str(tmp_path / "out" / "variants" / "default-beard.png")).shape[0] > 256


def test_every_variant_changes_the_face_and_nothing_else_is_broken():
    identity = load_identity(shipped_dir() / "default").identity
    landmarks = identity.pose.project(identity.mesh)
    drawn = picture_variants.variants(identity.frame, landmarks)
    assert len(drawn) >= 18
    for name, picture in drawn.items():
        assert picture.shape == identity.frame.shape, name
        assert picture.dtype == np.uint8, name
        assert np.abs(picture.astype(int) - identity.frame).max() > 20, name


def test_too_short_a_recording_is_refused(tmp_path, capsys):
    speech(tmp_path / "short.wav", 0.5)
    assert main(["contact-sheet", "default", "--speech", str(tmp_path / "short.wav"), "--out", str(tmp_path)]) == 2
    assert "expected a second of speech" in capsys.readouterr().err


def test_a_tint_is_measured():
    grey, red = contact_sheet._lab(np.array([[[128, 128, 128], [188, 128, 128]]]))[0]
    assert abs(grey[1]) < 0.1
    assert red[1] > 10
