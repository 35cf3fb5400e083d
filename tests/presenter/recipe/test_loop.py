"""An animated picture that repeats: cut where it begins and ends alike, blended over the seam, 25 frames a second."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from presenter.recipe.loop import Loop, blend_seam, find_seam, make_loop


def waves(count: int, period: float) -> list[np.ndarray]:
    """A light that goes around."""
    pictures = []
    for i in range(count):
        picture = np.full((96, 96, 3), 90, np.uint8)
        angle = 2 * np.pi * i / period
        cv2.circle(picture, (int(48 + 30 * np.cos(angle)), int(48 + 30 * np.sin(angle))), 9, (250, 200, 40), -1)
        pictures.append(picture)
    return pictures


def test_it_is_cut_where_both_ends_are_alike() -> None:
    first, last = find_seam(waves(97, 40))
    assert (last - first) % 40 == 0


def test_the_last_frame_leads_to_the_first() -> None:
    pictures = waves(100, 47)
    first, last = 10, 95
    blended = blend_seam(pictures, first, last)

    def step(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(a.astype(float) - b).mean())

    assert len(blended) == last - first
    cut = step(pictures[last - 1], pictures[first])
    assert step(blended[-1], blended[0]) < 0.6 * cut


def test_the_file_repeats_for_ever_at_25_frames_a_second(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for i, picture in enumerate(waves(90, 40)):
        cv2.imwrite(str(tmp_path / "frames" / f"{i:05d}.png"), picture)
    count = make_loop(Loop(frames=tmp_path / "frames", out=tmp_path / "loop.webp", size=64))
    with Image.open(tmp_path / "loop.webp") as film:
        assert film.size == (64, 64)
        assert film.n_frames == count
        assert film.info["loop"] == 0
        film.seek(5)
        film.load()
        assert film.info["duration"] == 40
