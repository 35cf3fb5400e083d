"""A short film as an animated picture that repeats without a seam, for a page that plays no sound: WebP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from presenter.errors import MediaError
from stream.media import FPS

Picture = NDArray[np.uint8]
_SEEK_S = 0.8  # how much of the beginning and of the end may be left out to find frames that are alike
_BLEND = 6  # frames over which the end becomes the beginning
_COMPARED = 64  # pixels


@dataclass(frozen=True, kw_only=True)
class Loop:
    """Settings of the step.

    Attributes:
        frames: Folder of numbered pictures, 25 per second, as `presenter say TEXT --out FOLDER/` writes them.
        out: The `.webp` to write.
        size: Width of its square, pixels.
        quality: Of WebP, 0..100.
    """

    frames: Path
    out: Path
    size: int = 360
    quality: int = 80


def make_loop(settings: Loop) -> int:
    """Write the animated picture; returns how many frames it has.

    Raises:
        MediaError: If there are too few pictures.
    """
    paths = sorted(settings.frames.glob("*.png"))
    if len(paths) < 2 * round(_SEEK_S * FPS) + _BLEND:
        raise MediaError(f"expected the pictures of a film of 2 s or more in {settings.frames}, found {len(paths)}")
    pictures = [_read(path, settings.size) for path in paths]
    first, last = find_seam(pictures)
    repeated = blend_seam(pictures, first, last)
    images = [Image.fromarray(picture) for picture in repeated]
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(
        settings.out, save_all=True, append_images=images[1:], duration=1000 // FPS, loop=0,
        quality=settings.quality, method=6,
    )  # fmt: skip
    return len(images)


def find_seam(pictures: list[Picture]) -> tuple[int, int]:
    """Where a loop is best cut: the first frame, and the one after the last, which look most alike."""
    small = [cv2.resize(p, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA).astype(np.float32) for p in pictures]
    seek = round(_SEEK_S * FPS)
    begins = range(_BLEND, _BLEND + seek)
    ends = range(len(pictures) - seek, len(pictures))
    return min(((i, j) for i in begins for j in ends), key=lambda at: float(np.abs(small[at[0]] - small[at[1]]).mean()))


def blend_seam(pictures: list[Picture], first: int, last: int) -> list[Picture]:
    """The frames from `first` to before `last`, the last of which become those before `first`."""
    whole = list(pictures[first:last])
    for k in range(1, _BLEND + 1):
        share = (_BLEND + 1 - k) / (_BLEND + 1)
        whole[-k] = cv2.addWeighted(pictures[last - k], 1 - share, pictures[first - k], share, 0).astype(np.uint8)
    return whole


def _read(path: Path, size: int) -> Picture:
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise MediaError(f"expected a picture, found {path}")
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
