"""Evaluation on clips with sound: does the mouth do what the speaker's did, and does it look right?

Every clip is tracked; the model gets its sound and never its picture. Motion figures compare predicted
with tracked meshes. Picture figures render tracked motion from one reference frame (the most closed mouth
of the clip) and compare with the clip, beside the bare mesh-warped reference as a baseline.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.mesh import INNER_LIP_PAIRS, Floats, aperture, topology
from models.training.distill_noise import music
from models.training.motion_metrics import Closures, bootstrap_interval, clip_metrics
from presenter.config import AppConfig
from presenter.errors import MediaError
from presenter.recipe.evaluate_pictures import PictureJudge
from presenter.recipe.tracked_clip import TrackedClip, track
from presenter.recipe.transcripts import phones_of
from presenter.runtime.networks import load_networks
from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, FPS

Picture = NDArray[np.uint8]
_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".mov", ".mkv", ".avi", ".webm"}
_CLOSED = 0.03  # inter-ocular distances
_PIXELS_PER_UNIT = 100  # a 512² portrait shows about this many pixels between the eyes


@dataclass(frozen=True, eq=False)
class Judgement:
    """What was found on one clip: its figures, its lip closures, predicted and tracked apertures `[T]`."""

    figures: dict[str, float]
    closures: Closures
    predicted: Floats
    tracked: Floats


def evaluate_clips(
    config: AppConfig, folder: Path, unseen: tuple[str, ...], limit: int, plot: Path | None
) -> dict[str, Any]:
    """Evaluate the configured networks.

    Args:
        config: Names the checkpoints.
        folder: Searched for clips, recursively.
        unseen: Sub-folders whose speakers were never trained on; reported apart.
        limit: Most clips; 0 for all.
        plot: Where to draw apertures, or None.

    Returns:
        Figures per group, clips that were dropped and why.

    Raises:
        MediaError: If no clip can be used.
    """
    clips = find_clips(folder, limit)
    evaluator = Evaluator(config)
    groups: dict[str, list[Judgement]] = defaultdict(list)
    curves: dict[str, Judgement] = {}
    dropped: dict[str, str] = {}
    for path in tqdm(clips, desc="evaluating", unit="clip"):
        try:
            clip = track(path)
        except (MediaError, StreamError) as error:
            dropped[str(path.relative_to(folder))] = str(error)
            continue
        is_unseen = any(part in unseen for part in path.relative_to(folder).parts)
        judged = evaluator.judge(path, clip)
        groups["unseen speakers" if is_unseen else "speakers"].append(judged)
        curves[path.stem] = judged
    if not groups:
        raise MediaError(f"{folder}: expected video clips with one face and sound, could use none: {dropped}")
    if plot is not None:
        draw_plot(curves, plot)
    report: dict[str, Any] = {group: summarise(rows) for group, rows in groups.items()}
    report["95 % intervals"] = {group: intervals(rows) for group, rows in groups.items()}
    report["silence"] = evaluator.silence()
    report["instrumental music"] = evaluator.music()
    report["left out"] = dropped
    return report


def find_clips(folder: Path, limit: int = 0) -> list[Path]:
    """Video clips below a folder; at most `limit` of them, 0 for all.

    Raises:
        MediaError: If there are none.
    """
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not clips:
        raise MediaError(f"{folder}: expected video clips ({', '.join(sorted(_SUFFIXES))}), found none")
    return clips[:: max(1, len(clips) // limit)][:limit] if limit else clips


def summarise(judged: list[Judgement]) -> dict[str, float]:
    """Mean of each figure over the clips; closures are counted over all clips that have a transcript."""
    rows = [one.figures for one in judged]
    means = {name: float(np.nanmean([row[name] for row in rows])) for name in sorted(rows[0])}
    closures = sum((one.closures for one in judged), Closures())
    if closures.due:
        means["closure_f1_bilabials"] = closures.f1
    return {"clips": len(judged), **means}


def intervals(judged: list[Judgement]) -> dict[str, list[float]]:
    """Bootstrap interval of each motion figure's mean over clips; correlations of one clip say little about others."""
    return {
        name: list(bootstrap_interval(np.array([one.figures[name] for one in judged])))
        for name in ("aperture_r", "width_r", "aperture_amplitude", "width_amplitude", "lmd")
    }


class Evaluator:
    """The networks under test."""

    def __init__(self, config: AppConfig) -> None:
        torch.set_num_threads(config.engine.threads)
        networks = load_networks(config.engine)
        self._syncformer = networks.syncformer
        self._pictures = PictureJudge(networks.generator)

    def predict(self, pcm: Floats) -> Floats:
        """Displacement `[T, 478, 3]` for sound `[T * 640]`, aligned with its frames."""
        delay = self._syncformer.latency_samples // CHUNK_SAMPLES
        padded = np.concatenate([pcm, np.zeros(delay * CHUNK_SAMPLES, np.float32)])
        with torch.inference_mode():
            coefficients = self._syncformer(torch.from_numpy(padded)[None], self._syncformer.null_style)
            displacement = self._syncformer.displacement(coefficients)[0, delay:]
        return displacement.numpy()

    def judge(self, path: Path, clip: TrackedClip) -> Judgement:
        """All figures of one clip."""
        weights = topology().lower_face[:, None]
        predicted = clip.neutral + self.predict(clip.pcm)
        tracked = clip.neutral + (clip.meshes - clip.neutral) * weights
        figures = clip_metrics(predicted, tracked)
        figures["lmd_px_at_512"] = figures["lmd"] * _PIXELS_PER_UNIT
        figures["tracker_noise"] = tracker_noise(clip)
        phones = phones_of(path, clip.pcm)
        curves = aperture(predicted), aperture(tracked)
        closures = Closures()
        if phones is not None:
            from models.training.motion_eval import speech_closures  # needs the extra [train], as the phones did

            closures = speech_closures(*curves, phones)
        return Judgement(figures | self._pictures.judge(clip), closures, *curves)

    def silence(self) -> dict[str, float]:
        """Share of frames with a closed mouth in ten seconds each of silence, noise and hum."""
        rng = np.random.default_rng(0)
        t = np.arange(10 * FPS * CHUNK_SAMPLES) / (FPS * CHUNK_SAMPLES)
        sounds = {
            "digital silence": np.zeros(len(t)),
            "white noise -50 dBFS": 10 ** (-50 / 20) * rng.standard_normal(len(t)),
            "white noise -35 dBFS": 10 ** (-35 / 20) * rng.standard_normal(len(t)),
            "hum 50 Hz -40 dBFS": 10 ** (-40 / 20) * np.sin(2 * np.pi * 50 * t),
        }
        return {name: self._closed(sound.astype(np.float32)) for name, sound in sounds.items()}

    def music(self) -> dict[str, float]:
        """Share of frames with a closed mouth in ten seconds each of three pieces of synthetic music at -25 dBFS."""
        pieces = (music(10 * FPS * CHUNK_SAMPLES, np.random.default_rng(seed)) for seed in range(3))
        return {f"piece {number}": self._closed(piece * np.float32(0.056)) for number, piece in enumerate(pieces, 1)}

    def _closed(self, sound: Floats) -> float:
        neutral = topology().reference.copy()
        upper, lower = np.array(INNER_LIP_PAIRS).T
        neutral[lower] = neutral[upper]  # lips that touch
        return float((aperture(neutral + self.predict(sound)) < _CLOSED).mean())


def tracker_noise(clip: TrackedClip) -> float:
    """The tracker's own jitter: std of the lip opening between neighbouring frames that are both nearly closed."""
    opening = aperture(clip.meshes)
    resting = opening <= np.quantile(opening, 0.25)
    steps = np.diff(opening)[resting[1:] & resting[:-1]]
    return float(steps.std() / np.sqrt(2)) if len(steps) > 2 else float("nan")


def draw_plot(curves: dict[str, Judgement], path: Path) -> None:
    """Draw predicted (orange) and tracked (blue) lip openings of up to eight clips."""
    shown = list(curves.items())[:8]
    height, width = 140, 1200
    sheet = np.full((height * len(shown), width, 3), 255, np.uint8)
    for row, (name, judged) in enumerate(shown):
        base = (row + 1) * height - 14
        cv2.putText(sheet, name, (8, row * height + 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA)
        for curve, colour in ((judged.tracked, (200, 120, 40)), (judged.predicted, (30, 120, 240))):
            x = np.linspace(0, width - 1, len(curve))
            points = np.stack([x, base - curve * 250], 1).astype(np.int32)
            cv2.polylines(sheet, [points], False, colour, 2, cv2.LINE_AA)
    cv2.imwrite(str(path), sheet)
