"""Sheets of mouths, blinks and heads to look at, and their figures: many pictures, each speaking the same sound.

Run by `presenter contact-sheet`. A row of mouths is a picture at rest, then speaking: at even quantiles of the sound's
lip opening, at its widest and at its narrowest open mouth. A row of blinks is the eyes at each closure, a row of heads
the picture turned, nodding and tilted, its mouth as open as it gets.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.compositor import FrameCompositor
from models.crop import CROP_SIZE, cut_crop
from models.head_motion import EYES_CLOSED, HeadPose
from models.identity import READ_HEIGHT, Identity
from models.mesh import LEFT_CORNER, LOWER_LIP, RIGHT_CORNER, UPPER_LIP, Floats, aperture, canonicalise, width
from models.metrics import mouth_box, sharpness
from models.mouth_colours import skin_colour
from models.tracker import FaceTracker
from models.user_head import read_head
from presenter.config import AppConfig
from presenter.enroll.enrolment import find_presenter
from presenter.errors import MediaError, PresenterError
from presenter.recipe import face_identity
from presenter.recipe.picture_variants import variants
from presenter.runtime.engine import Engine
from presenter.runtime.identity_folder import StoredIdentity
from stream.files.reader import read_audio
from stream.media import CHUNK_SAMPLES

Picture = NDArray[np.uint8]
_QUANTILES = (0.4, 0.7, 0.9, 0.99)
_TILE = (186, 225)  # rows and columns
_HEAD = (320, 320)  # columns and rows
_ROWS = 12  # pictures on one sheet
_POSES = (
    HeadPose(),
    HeadPose(yaw=math.radians(-10)),
    HeadPose(yaw=math.radians(10)),
    HeadPose(pitch=math.radians(8)),
    HeadPose(roll=math.radians(6), right=0.08),
)
_MEASURED = 48  # consecutive frames, around the widest opening
_OPEN_PIXELS = 60  # a mouth that shows less of its inside in the crop has no colours to judge
_GREY = 3.0  # median chroma of skin below which a picture is grey, CIELAB


def contact_sheet(
    config: AppConfig,
    pictures: Sequence[str],
    speech: Path,
    out: Path,
    note: Callable[[str], None],
    *,
    varied: bool = False,
) -> dict[str, Any]:
    """Render the sheets and measure what is on them.

    Args:
        config: Names the networks.
        pictures: Photos, or names of presenters.
        speech: A recording of a second or more.
        out: Folder for `mouths-1.png`, `blinks-1.png`, `heads-1.png` and so on.
        note: Called with a line about each picture that can't be used.
        varied: Show each picture's variants (`picture_variants`) too; they are written into `variants/` of the folder.

    Returns:
        Means over the pictures, and figures of each; those in grey pictures, of colour ones and of each variant apart.

    Raises:
        PresenterError: If no picture can be used, or the recording is too short.
    """
    engine = Engine.load(config)
    moves = _displacements(engine, speech)
    shown = _shapes(moves)
    sheets: dict[str, list[Picture]] = {"mouths": [], "blinks": [], "heads": []}
    figures, groups = {}, defaultdict[str, list[dict[str, float]]](list)
    out.mkdir(parents=True, exist_ok=True)
    with FaceTracker(video=False, max_faces=1) as tracker:
        for name, variant, stored in _usable(config, pictures, out / "variants" if varied else None, note):
            subject = _Subject(stored.identity, FrameCompositor(stored.identity, engine.folded(stored)))
            sheets["mouths"].append(subject.mouths(moves, shown))
            sheets["blinks"].append(subject.blinks())
            sheets["heads"].append(subject.heads(moves))
            one = figures[name] = subject.figures(moves, tracker)
            groups[variant or ("grey" if one["skin_chroma"] < _GREY else "colour")].append(one)
    if not figures:
        raise PresenterError("expected at least one usable picture, found none")
    for title, rows in sheets.items():
        for number, first in enumerate(range(0, len(rows), _ROWS), 1):
            sheet = cv2.cvtColor(np.vstack(rows[first : first + _ROWS]), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(out / f"{title}-{number}.png"), sheet)
    return {**{name: _mean(group) for name, group in groups.items()}, "pictures": figures}


def _usable(
    config: AppConfig, pictures: Sequence[str], folder: Path | None, note: Callable[[str], None]
) -> Iterator[tuple[str, str, StoredIdentity]]:
    """Each picture, and its variants if there is a folder for them: its name, the variant's (or none), its face."""
    for picture in pictures:
        try:
            stored = find_presenter(config, picture).shrunk(READ_HEIGHT)
        except PresenterError as error:
            note(f"left out {picture}: {error}")
            continue
        name, identity = Path(picture).stem, stored.identity
        yield name, "", stored
        if folder is None:
            continue
        folder.mkdir(exist_ok=True)
        for variant, drawn in variants(identity.frame, identity.pose.project(identity.mesh)).items():
            file = folder / f"{name}-{variant}.png"
            cv2.imwrite(str(file), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
            try:
                yield file.stem, f"variant {variant}", find_presenter(config, str(file)).shrunk(READ_HEIGHT)
            except PresenterError as error:
                note(f"left out {file.stem}: {error}")


def _mean(figures: list[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for one in figures for name in one})
    means = {name: float(np.nanmean([one.get(name, np.nan) for one in figures])) for name in names}
    limit = 4.0 if means["skin_chroma"] >= _GREY else 3.0
    within = [abs(one["tooth_a"]) <= limit for one in figures if np.isfinite(one["tooth_a"])]
    apart = [one["interior_from_skin"] >= 12 for one in figures if np.isfinite(one["interior_from_skin"])]
    return {
        "pictures": len(figures),
        **means,
        f"share_tooth_a_within_{limit:.0f}": float(np.mean(within)) if within else float("nan"),
        "share_interior_from_skin_over_12": float(np.mean(apart)) if apart else float("nan"),
    }


def _displacements(engine: Engine, speech: Path) -> Floats:
    """What a recording moves `[T, 478, 3]`, in the neutral speaking style."""
    pcm = np.concatenate([chunk.pcm for chunk in read_audio(speech).chunks()])
    pcm = pcm[: len(pcm) // CHUNK_SAMPLES * CHUNK_SAMPLES]
    net = engine.syncformer
    if len(pcm) < 25 * CHUNK_SAMPLES:
        raise MediaError(f"{speech}: expected a second of speech or more, got {len(pcm) / 16000:.2f} s")
    with torch.inference_mode():
        sound = torch.from_numpy(pcm)[None].to(engine.device)
        moves: Floats = net.displacement(net(sound, net.null_style))[0].cpu().numpy()
    return moves


def _shapes(moves: Floats) -> list[int]:
    """Which frames a row shows."""
    opening = _opening(moves)
    order = np.argsort(opening)
    across = moves[:, RIGHT_CORNER, 0] - moves[:, LEFT_CORNER, 0]
    open_ones = order[int(0.6 * len(order)) :]
    picks = [order[int(q * (len(order) - 1))] for q in _QUANTILES]
    return [int(i) for i in [*picks, open_ones[across[open_ones].argmax()], open_ones[across[open_ones].argmin()]]]


def _opening(moves: Floats) -> Floats:
    """How far displacements `[T, 478, 3]` part the lips `[T]`."""
    return np.asarray(moves[:, LOWER_LIP, 1] - moves[:, UPPER_LIP, 1])


class _Subject:
    """One picture that speaks."""

    def __init__(self, identity: Identity, compositor: FrameCompositor) -> None:
        self._identity = identity
        self._compositor = compositor
        self._reference = identity.reference
        self._rest = compositor.points(np.zeros_like(identity.mesh))
        self._similar = face_identity.FaceIdentity() if face_identity.is_available() else None

    def mouths(self, moves: Floats, shown: list[int]) -> Picture:
        """The mouth at rest and in each of the frames `shown`, side by side."""
        centre = self._rest[[LEFT_CORNER, RIGHT_CORNER], :2].mean(0)
        height, length = 0.48 * CROP_SIZE, 0.58 * CROP_SIZE
        scale = _TILE[1] / length
        view = np.array(
            [
                [scale, 0, _TILE[1] / 2 - scale * centre[0]],
                [0, scale, _TILE[0] / 2 - scale * (centre[1] + 0.1 * height)],
            ]
        )
        crops = [self._reference, *(self._crop(moves[i]) for i in shown)]
        tiles = [cv2.warpAffine(crop, view, _TILE[::-1], flags=cv2.INTER_CUBIC) for crop in crops]
        return np.asarray(np.hstack(tiles), np.uint8)

    def blinks(self) -> Picture:
        """The eyes at each closure, side by side."""
        landmarks = self._identity.pose.project(self._identity.mesh)
        corners = landmarks[[33, 263], :2]
        scale = 0.6 * _TILE[1] / float(np.linalg.norm(corners[1] - corners[0]))
        shift = np.array(_TILE[::-1]) / 2 - scale * corners.mean(0)
        view = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        at_rest = np.zeros_like(self._identity.mesh)
        frames = [self._compositor.frame(at_rest, eyelids=level) for level in range(EYES_CLOSED + 1)]
        tiles = [cv2.warpAffine(frame, view, _TILE[::-1], flags=cv2.INTER_CUBIC) for frame in frames]
        return np.asarray(np.hstack(tiles), np.uint8)

    def heads(self, moves: Floats) -> Picture:
        """The whole picture in some poses, side by side, saying the most open mouth."""
        move = moves[_opening(moves).argmax()]
        frames = [self._compositor.frame(move, pose) for pose in _POSES]
        return np.asarray(np.hstack([cv2.resize(frame, _HEAD, interpolation=cv2.INTER_AREA) for frame in frames]))

    def figures(self, moves: Floats, tracker: FaceTracker) -> dict[str, float]:
        """Colour, contrast, sharpness, flicker, amplitude, lids and likeness; see docs/model_card.md."""
        middle = int(_opening(moves).argmax())
        first = int(np.clip(middle - _MEASURED // 2, 0, max(len(moves) - _MEASURED, 0)))
        part = moves[first : first + _MEASURED]
        identity, rest = self._identity, self._rest
        frames = [self._compositor.frame(move) for move in part]
        crops = [cut_crop(frame, identity.transform) for frame in frames]
        box = mouth_box(rest, CROP_SIZE)
        skin = _lab(skin_colour(self._reference, rest)[None, None])[0, 0]
        inside = [self._inside(move, crop) for move, crop in zip(part, crops, strict=True)]
        colours = [one for one in inside if one is not None]
        luma = np.stack([cv2.cvtColor(crop[box], cv2.COLOR_RGB2GRAY).astype(np.float32) for crop in crops])
        tooth = np.mean([one[0] for one in colours], 0) if colours else np.full(3, np.nan)
        interior = np.mean([one[1] for one in colours], 0) if colours else np.full(3, np.nan)
        meshes = identity.neutral + part
        tracked = [tracker.track(frame) for frame in frames]
        found = [i for i, faces in enumerate(tracked) if faces]
        seen = np.stack([canonicalise(tracked[i][0])[0] for i in found])
        asked = meshes[found]
        figures = {
            "skin_chroma": float(np.hypot(skin[1], skin[2])),
            "tooth_l": float(tooth[0]),
            "tooth_a": float(tooth[1]),
            "tooth_b": float(tooth[2]),
            "interior_from_skin": float(np.linalg.norm(interior - skin)),
            "flicker": float(np.abs(np.diff(luma, 2, axis=0)).mean()),
            "sharpness_ratio": float(np.mean([sharpness(c[box]) for c in crops]) / sharpness(self._reference[box])),
            "aperture_amplitude": float(aperture(seen).std() / aperture(asked).std()),
            "aperture_r": float(np.corrcoef(aperture(seen), aperture(asked))[0, 1]),
            "width_r": float(np.corrcoef(width(seen), width(asked))[0, 1]),
        }
        shut = tracker.track(self._compositor.frame(np.zeros_like(part[0]), eyelids=EYES_CLOSED))
        eyes = tracker.track(identity.frame)
        if shut and eyes:
            figures["lid_coverage"] = 1 - read_head(shut[0]).gap / read_head(eyes[0]).gap
        if self._similar is not None:
            landmarks = identity.pose.project(identity.mesh)
            before = self._similar.embed(identity.frame, landmarks)
            figures["identity_cosine"] = float(
                np.mean([before @ self._similar.embed(frame, landmarks) for frame in frames[:: _MEASURED // 4]])
            )
        return figures

    def _crop(self, move: Floats) -> Picture:
        return cut_crop(self._compositor.frame(move), self._identity.transform)

    def _inside(self, move: Floats, crop: Picture) -> tuple[Floats, Floats] | None:
        """Mean CIELAB of the brightest third of the mouth's inside, and of all of it; None if it is hardly open."""
        area = cv2.erode(self._compositor.planes(move)[..., 4].copy(), np.ones((3, 3), np.uint8)) > 0
        if int(area.sum()) < _OPEN_PIXELS:
            return None
        colours = _lab(crop)[area]
        brightest = colours[colours[:, 0] >= np.quantile(colours[:, 0], 2 / 3)]
        return brightest.mean(0), colours.mean(0)


def _lab(rgb: NDArray[Any]) -> Floats:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab), np.float32)
