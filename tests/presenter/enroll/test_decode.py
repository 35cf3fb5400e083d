"""Photos of unknown origin: what is fine is decoded as it looks, everything else is refused within limits."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from presenter.config import EngineConfig
from presenter.enroll.decode import DecodingStoppedError, decode_photo
from presenter.enroll.enrolment import enroll_presenter
from presenter.errors import EnrollError
from presenter.runtime.identities import IdentityStore, shipped_dir


def scene(height: int = 200, width: int = 160) -> Image.Image:
    """Red above, blue below, with noise that makes files long."""
    rgb = np.random.default_rng(0).integers(0, 60, (height, width, 3), dtype=np.uint8)
    rgb[: height // 2, :, 0] += 190
    rgb[height // 2 :, :, 2] += 190
    return Image.fromarray(rgb)


def write(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


def top(path: Path) -> str:
    """Which colour is above."""
    rgb = decode_photo(path).rgb
    return "red" if rgb[:20, :, 0].mean() > rgb[:20, :, 2].mean() else "blue"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_formats_by_content_whatever_the_name(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = write(tmp_path / f"pic:1 é{suffix}", scene())
    assert decode_photo(path).rgb.shape == (200, 160, 3)
    assert top(path.rename(tmp_path / "x.txt")) == "red"


@pytest.mark.parametrize(("orientation", "expected", "height"), [(1, "red", 200), (3, "blue", 200), (6, None, 160)])
def test_the_orientation_of_the_camera_is_honoured(
    tmp_path: Path, orientation: int, expected: str | None, height: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "x.jpg", scene(), exif=exif)
    assert decode_photo(path).rgb.shape[0] == height
    assert expected is None or top(path) == expected


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "I;16", "LA"])
def test_modes_look_as_they_do_elsewhere(tmp_path: Path, mode: str) -> None:
    grey = scene().convert("L")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        picture = scene().convert(mode) if mode in ("P", "CMYK") else grey.convert(mode)
    photo = decode_photo(write(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"), picture))
    assert photo.rgb.shape == (200, 160, 3)
    assert photo.alpha is None
    if mode in ("I;16", "L", "LA"):
        assert np.abs(photo.rgb[..., 0].astype(int) - np.asarray(grey)).max() <= 1


def test_transparency_is_kept_apart(tmp_path: Path) -> None:
    rgba = scene().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.pad(np.full((100, 160), 255, np.uint8), ((0, 100), (0, 0)))))
    photo = decode_photo(write(tmp_path / "x.png", rgba))
    assert photo.alpha is not None
    assert (photo.alpha[:100] == 255).all()
    assert (photo.alpha[100:] == 0).all()


def many_scans(path: Path, count: int) -> Path:
    """Repeat the last scan of a progressive JPEG."""
    data = io.BytesIO()
    scene(600, 600).save(data, "JPEG", progressive=True)
    whole = data.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    path.write_bytes(whole[:-2] + last[:200] * count + b"\xff\xd9")
    return path


def header_only(path: Path, width: int, height: int) -> Path:
    Image.new("1", (width, height)).save(path, "PNG")
    return path


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "x.jpg"
    if kind == "scans":
        return many_scans(path, 20_000)
    if kind == "narrow":
        return header_only(path, 3, 60_000)
    if kind == "huge":
        return header_only(path, 20_000, 20_000)
    if kind == "playlist":
        path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    elif kind == "svg":
        path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
    elif kind == "video":
        path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    elif kind == "heic":
        path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    elif kind == "empty":
        path.touch()
    elif kind in ("gif", "tiff"):
        scene().save(path, kind.upper())
    elif kind == "middle":
        scene(600, 600).save(path, "JPEG", quality=90)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 300] = bytes(300)
        path.write_bytes(data)
    else:
        scene(600, 600).save(path, kind.removeprefix("half ").upper())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("scans", "scans"), ("narrow", "at least 64 pixels"), ("huge", "at most 50 megapixels"),
        ("half jpeg", "damaged or incomplete"), ("half png", "damaged or incomplete"),
        ("half webp", "damaged|could not"),
        ("middle", "damaged or incomplete"), ("playlist", "expected a photo"), ("svg", "expected a photo"),
        ("gif", "expected a photo"), ("tiff", "expected a photo"), ("video", "found a video"),
        ("heic", "HEIC|could not"),
        ("empty", "empty"),
    ],
)  # fmt: skip
def test_what_is_no_sound_photo_is_refused_with_the_reason(tmp_path: Path, kind: str, text: str) -> None:
    with pytest.raises(EnrollError, match=rf"x\.jpg: .*({text})"):
        decode_photo(broken(tmp_path, kind))


def children() -> set[str]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(threading.get_native_id())], capture_output=True)
    return {line for line in listed.stdout.decode().splitlines() if "photo_worker" in line}


def test_a_photo_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = many_scans(tmp_path / "x.jpg", 250)
    with pytest.raises(EnrollError, match="too much time"):
        decode_photo(path, wall_s=0)
    assert children() == set()


def test_decoding_ends_when_the_program_does(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(DecodingStoppedError):
        decode_photo(many_scans(tmp_path / "x.jpg", 250), stop)
    assert children() == set()


def test_the_worker_needs_no_torch_and_none_of_this_package() -> None:
    worker = Path(sys.modules["presenter.enroll.decode"].__file__ or "").with_name("photo_worker.py")
    code = f"import runpy, sys; runpy.run_path({str(worker)!r}); print(sorted(sys.modules))"
    seen = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'torch'" not in seen
    assert "'presenter'" not in seen
    assert "'models" not in seen


def test_a_cut_out_becomes_the_matte_and_what_it_hides_stays_hidden(tmp_path: Path) -> None:
    bgr = cv2.imread(str(shipped_dir() / "default" / "frame.png"))
    matte = cv2.imread(str(shipped_dir() / "default" / "matte.png"), cv2.IMREAD_GRAYSCALE)
    bgr[matte == 0] = (255, 0, 255)
    cv2.imwrite(str(tmp_path / "x.png"), np.dstack([bgr, matte]))
    store = IdentityStore(tmp_path / "own")
    identity = enroll_presenter(store, EngineConfig(), tmp_path / "x.png", "Cut", consent_by="Ada").identity
    assert identity.matte is not None
    assert 0.2 < (identity.matte > 127).mean() < 0.9
    outside = identity.frame[identity.matte == 0].astype(int)
    assert (outside[:, 0] - outside[:, 1] < 60).all(), "no magenta"
    stored = store.load("cut")
    assert stored.consent is not None
    assert stored.consent.by == "Ada"
    assert time.strftime("%Y") in stored.consent.at
