"""Fit the displacement basis, train the motion teacher and label speech that has no pictures."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.mesh import LIPS, NUM_VERTICES
from models.training.audio_corpus import load_corpus, whitened
from models.training.audio_corpus_features import whitening
from models.training.motion_data import (
    fit_basis,
    held_out_kind,
    load_motion,
    mouth_rows,
    read_sync,
    to_coefficients,
)
from models.training.motion_eval import evaluate
from models.training.motion_teacher import TeacherClip, TeacherConfig, predict, train_teacher


def make_labels(cache: Path, config: TeacherConfig) -> dict[str, object]:
    """Write `basis.npy`, `labels.npz` and `teacher.json` under `cache/motion`.

    Args:
        cache: folder of tracks, audio and motion (`sync.json` must exist).
        config: the teacher.

    Returns:
        The teacher's figures on held-out clips.
    """
    out = cache / "motion"
    white = whitening(cache / "audio")
    shifts, dropped = read_sync(out / "sync.json")
    corpus, motion = load_corpus(cache / "audio"), load_motion(cache / "tracks", shifts)
    train = {n: m for n, m in motion.items() if n in corpus and n not in dropped and held_out_kind(n) is None}
    if not (out / "basis.npy").exists():
        np.save(out / "basis.npy", fit_basis(train, config.coefficients))
    basis = np.load(out / "basis.npy")
    lips = basis.reshape(-1, NUM_VERTICES, 3)[:, LIPS].reshape(len(basis), -1)
    clips = [
        TeacherClip(whitened(corpus[n], white), to_coefficients(m.displacement, basis), m.speaker)
        for n, m in train.items()
    ]
    members, speakers = train_teacher(clips, mouth_rows(basis), lips, config)
    figures: dict[str, object] = {
        "held_out": evaluate(lambda clip: predict(members, whitened(clip, white)), corpus, motion, basis),
        "speakers": speakers,
        "shifts": shifts,
        "dropped": sorted(dropped),
    }
    labels: dict[str, Any] = {
        name: predict(members, whitened(clip, white)).astype(np.float16)
        for name, clip in tqdm(corpus.items(), desc="labels")
        if name not in motion and clip.features is not None
    }
    np.savez(out / "labels.npz", **labels)
    (out / "teacher.json").write_text(json.dumps(figures, indent=1))
    return figures


def main(argv: list[str] | None = None) -> int:
    """Train the teacher and write its labels; skipped when they exist, unless `--again`."""
    parser = argparse.ArgumentParser(description="Label speech with motion by a non-causal teacher.")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--steps", type=int, default=TeacherConfig().steps)
    parser.add_argument("--members", type=int, default=TeacherConfig().members)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args(argv)
    if (options.cache / "motion" / "labels.npz").exists() and not options.again:
        return 0
    config = replace(TeacherConfig(), steps=options.steps, members=options.members)
    print(json.dumps(make_labels(options.cache, config)["held_out"], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
