"""How many covered mouths are found in films, and how many are found where nothing is before them.

Something of a kind that was not trained with moves before the face of a person who was not trained on, and away again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.crop import crop_mask, crop_transform
from models.mesh import FACE_OVAL, Floats
from models.training.occluders import HELD_OUT_KINDS, Draw, Occluder, Scene, lay_over
from presenter.errors import MediaError
from presenter.recipe.prepare import find_clips
from presenter.video.face_track import Face, FaceTrack, track_face
from stream.files.reader import TimedFrame, iter_frames

_FRAMES = 100  # of a clip at most
_ACROSS = 0.05  # share of what is painted that must be covered for a frame to count as covered
_FREE = 0.001  # and up to which it counts as free
_NEAR = 4  # frames from a covered one that count as neither
_PATH = (0.2, 0.4, 0.6, 0.8)  # of the clip: it comes, stays and goes
_FAR = 4.0  # inter-ocular distances


@dataclass(frozen=True, kw_only=True)
class OcclusionReport:
    """Settings of the report; every `each`-th clip of the corpus also gets something before the face."""

    data: Path
    corpus: str = "av_open_validate"
    clips: int = 63
    each: int = 2
    seed: int = 0


class _Counts(NamedTuple):
    right: int
    of: int


def occlusion_report(config: OcclusionReport) -> list[str]:
    """Lines of figures.

    Raises:
        MediaError: If there are no clips.
    """
    clips = [clip for clip in find_clips(config.data) if clip.corpus == config.corpus][: config.clips]
    if not clips:
        raise MediaError(f"{config.data}: expected clips of {config.corpus}, found none")
    kinds = list(HELD_OUT_KINDS.items())
    clean: dict[str, _Counts] = {}
    found: dict[str, list[_Counts]] = {name: [] for name, _ in kinds}
    beside: list[_Counts] = []
    for number, clip in enumerate(tqdm(clips, desc="occlusions", unit="clip")):
        frames = [frame for frame, _ in zip(iter_frames(clip.path), range(_FRAMES), strict=False)]
        try:
            track = track_face(frames)
        except MediaError:
            continue
        usable = np.array([face is not None for face in track.faces])
        clean[clip.name] = _Counts(int(track.covered[usable].sum()), int(usable.sum()))
        if number % config.each:
            continue
        kind, draw = kinds[number // config.each % len(kinds)]
        rng = np.random.default_rng((config.seed, number))
        covered, shares = cover(frames, track, draw, rng)
        try:
            again = track_face(covered)
        except MediaError:
            continue
        hidden = again.covered | np.array([face is None for face in again.faces])  # both stay as they are
        there = shares >= _ACROSS
        free = usable & (np.convolve(shares > _FREE, np.ones(2 * _NEAR + 1), "same") == 0)
        found[kind].append(_Counts(int(hidden[there].sum()), int(there.sum())))
        beside.append(_Counts(int(hidden[free].sum()), int(free.sum())))
    return _lines(clean, found, beside)


def _lines(clean: dict[str, _Counts], found: dict[str, list[_Counts]], beside: list[_Counts]) -> list[str]:
    worst = max(clean, key=lambda name: clean[name].right / max(clean[name].of, 1))
    lines = [
        f"nothing before the face: {_share(list(clean.values()))} left as they are, in {len(clean)} clips;"
        f" most in {worst}: {_share([clean[worst]])}"
    ]
    for kind, counts in found.items():
        seen = sum(each.right > 0 for each in counts)
        lines.append(f"{kind}: {_share(counts)} found, in {seen} of {len(counts)} clips at all")
    everything = [each for counts in found.values() for each in counts]
    lines.append(f"together: {_share(everything)} found; away from them {_share(beside)} left as they are")
    return lines


def _share(counts: list[_Counts]) -> str:
    right, of = sum(each.right for each in counts), sum(each.of for each in counts)
    return f"{right} of {of} frames ({right / max(of, 1):.1%})"


def cover(
    frames: list[TimedFrame], track: FaceTrack, draw: Draw, rng: np.random.Generator
) -> tuple[list[TimedFrame], Floats]:
    """Frames with something that moves before the face and away, and how much of what is painted it covers `[T]`."""
    first = next(face for face in track.faces if face is not None)
    unit = first.pose.scale
    size = int(8 * unit)
    middle = np.full(2, size / 2, np.float32)
    occluder = draw(Scene(size, unit, middle, _skin(frames, track), [frame.rgb for frame in frames[:1]]), rng)
    angle = rng.uniform(0, 2 * np.pi)
    away = _FAR * unit * np.array([np.cos(angle), np.sin(angle)])
    off = rng.normal(0, 0.3, 2) * unit
    seed = int(rng.integers(2**31))
    covered: list[TimedFrame] = []
    shares = np.zeros(len(frames), np.float32)
    face = first
    for k, (rgb, time) in enumerate(frames):
        face = track.faces[k] or face
        part = float(np.interp(k / len(frames), _PATH, (1, 0, 0, 1)))
        centre = face.pose.project(np.array([[0, 1.05, 0]], np.float32))[0, :2] + off + part * away
        placed = _placed(occluder, centre - middle, rgb.shape[:2])
        shown = lay_over(rgb, placed, unit, np.random.default_rng(seed))
        covered.append(TimedFrame(shown if part < 1 else rgb, time))
        shares[k] = _covered_share(placed.alpha, face) if part < 1 else 0
    return covered, shares


def _placed(occluder: Occluder, shift: NDArray[np.float64], shape: tuple[int, int]) -> Occluder:
    place = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    colour, alpha = (cv2.warpAffine(part, place, shape[::-1]) for part in occluder)
    return Occluder(colour.astype(np.float32), alpha.astype(np.float32))


def _skin(frames: list[TimedFrame], track: FaceTrack) -> Floats:
    """The colour of the cheeks in the first frame with a face `[3]`."""
    k, face = next((k, face) for k, face in enumerate(track.faces) if face is not None)
    rgb = frames[k].rgb
    x, y = np.rint(face.pose.project(face.mesh)[[50, 280], :2]).astype(int).T
    return np.median(rgb[np.clip(y, 0, len(rgb) - 1), np.clip(x, 0, rgb.shape[1] - 1)], 0).astype(np.float32)


def _covered_share(alpha: Floats, face: Face) -> float:
    transform = crop_transform(face.pose)
    outline = face.pose.project(face.mesh)[FACE_OVAL, :2] @ transform[:, :2].T + transform[:, 2]
    painted = np.zeros(crop_mask().shape, np.uint8)
    cv2.fillPoly(painted, [np.rint(outline).astype(np.int32)], 1)
    shown = painted * crop_mask()
    return float((cv2.warpAffine(alpha, transform, shown.shape[::-1]) * shown).sum() / shown.sum())
