"""Sync check of audio-visual clips: how far the tracked lips lead or lag their sound.

Clips are measured by a teacher that was trained on GRID s1 alone, which is known to be in sync, on the lag of the
best correlation between predicted and tracked lip opening. Training it on everything but the clip's own
speaker was tried and is worse: clips that are out of sync shift its estimates for the others by two frames.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.mesh import LIPS, NUM_VERTICES
from models.motion_basis import mouth_rows, to_coefficients
from models.training.audio_corpus import AudioClip, load_corpus, teacher_inputs
from models.training.audio_corpus_features import whitening
from models.training.motion_data import MotionClip, fit_basis, held_out_kind, load_motion
from models.training.motion_metrics import MAX_OFFSET, shifted_pearson
from models.training.motion_teacher import TeacherClip, TeacherConfig, predict, train_teacher

Array = NDArray[np.float32]
TRUSTED_SPEAKER = "grid_s1"
CHECKED_CORPORA = ("av_open/", "av_words_brang/")  # chosen and cut by their sync: its verdict is better than this one
MIN_CORRELATION = 0.2  # below it nothing can be said about a clip's sync
MIN_FRAMES = 200  # a clip of one syllable says little about sync


def lag_curve(predicted: Array, true: Array) -> Array:
    """Correlation for each shift of -10..10 frames; shift s compares `predicted[t]` with `true[t - s]`."""
    return np.array([shifted_pearson(predicted, true, s) for s in range(-MAX_OFFSET, MAX_OFFSET + 1)], np.float32)


def check_sync(
    corpus: dict[str, AudioClip], motion: dict[str, MotionClip], white: Array, config: TeacherConfig
) -> dict[str, dict[str, float]]:
    """Estimate the lead of every clip that is not of the trusted speaker.

    Returns:
        For each clip `shift` (frames by which the picture leads its sound), `r` there and `r0` at none.
    """
    train = {n: m for n, m in motion.items() if held_out_kind(n) is None and n in corpus}
    basis = fit_basis(train, config.coefficients)
    rows = mouth_rows(basis)
    lips = basis.reshape(-1, NUM_VERTICES, 3)[:, LIPS].reshape(len(basis), -1)
    trusted = [
        TeacherClip(teacher_inputs(corpus[n], white), to_coefficients(m.displacement, basis), m.speaker)
        for n, m in train.items()
        if m.speaker == TRUSTED_SPEAKER
    ]
    members, _ = train_teacher(trusted, rows, lips, config)
    report: dict[str, dict[str, float]] = {}
    for name, clip in motion.items():
        if clip.speaker == TRUSTED_SPEAKER or name not in corpus:
            continue
        true = to_coefficients(clip.displacement, basis) @ rows[0]
        opening = (predict(members, teacher_inputs(corpus[name], white)) @ rows[0])[: len(true)]
        curve = lag_curve(opening, true[: len(opening)])
        best = int(np.nanargmax(curve))
        estimate = {"shift": best - MAX_OFFSET, "r": float(curve[best]), "r0": float(curve[MAX_OFFSET])}
        report[name] = {**estimate, "frames": len(opening)}
    return report


def decide(report: dict[str, dict[str, float]]) -> dict[str, dict[str, int] | list[str]]:
    """Turn estimates of training clips into shifts and drops; held-out clips stay as they were filmed.

    A clip off by at most one frame, or too short for a verdict, is kept as it is; one off by up to eight is
    shifted; a long clip whose correlation is too low is dropped.
    """
    shifts: dict[str, int] = {}
    dropped: list[str] = []
    for name, entry in report.items():
        if entry["frames"] < MIN_FRAMES or held_out_kind(name) or name.startswith(CHECKED_CORPORA):
            continue
        if entry["r"] < MIN_CORRELATION or abs(entry["shift"]) > 8:
            dropped.append(name)
        elif abs(entry["shift"]) > 1:
            shifts[name] = int(entry["shift"])
    return {"shifts": shifts, "dropped": dropped}


def main(argv: list[str] | None = None) -> int:
    """Write `sync.json`: shifts, dropped clips and the estimates behind them."""
    parser = argparse.ArgumentParser(description="Check the sync of audio-visual clips.")
    parser.add_argument("--tracks", type=Path, default=Path("cache/tracks"))
    parser.add_argument("--audio", type=Path, default=Path("cache/audio"))
    parser.add_argument("--out", type=Path, default=Path("cache/motion/sync.json"))
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args(argv)
    config = replace(TeacherConfig(), steps=options.steps, members=1)
    report = check_sync(load_corpus(options.audio), load_motion(options.tracks), whitening(options.audio), config)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({**decide(report), "estimates": report}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
