"""Fit the displacement basis, train the motion teacher and label speech that has no pictures."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.mesh import LIPS, NUM_VERTICES
from models.motion_basis import mouth_rows, to_coefficients
from models.syncformer import StyleSyncFormer
from models.training import motion_sync
from models.training.audio_corpus import AudioClip, load_corpus, teacher_inputs
from models.training.audio_corpus_features import whitening
from models.training.motion_data import MotionClip, fit_basis, held_out_kind, load_motion, read_sync
from models.training.motion_eval import evaluate, open_figures, with_intervals
from models.training.motion_teacher import (
    TeacherClip,
    TeacherConfig,
    amplify,
    predict,
    speaker_gains,
    train_teacher,
)

OWN_SPREAD = ("grid_s1",)  # speakers with enough film for the network to learn how far they open


def teacher_clips(
    corpus: dict[str, AudioClip], motion: dict[str, MotionClip], basis: NDArray[np.float32], white: NDArray[np.float32]
) -> list[TeacherClip]:
    """Join the inputs and the measured motion of clips that have both."""
    return [
        TeacherClip(teacher_inputs(corpus[name], white), to_coefficients(clip.displacement, basis), clip.speaker)
        for name, clip in motion.items()
    ]


def equalise(clips: list[TeacherClip], gains: dict[str, float]) -> list[TeacherClip]:
    """The clips with every speaker's motion scaled by their gain."""
    return [replace(clip, coefficients=clip.coefficients * np.float32(gains[clip.speaker])) for clip in clips]


def make_labels(cache: Path, config: TeacherConfig) -> dict[str, object]:
    """Write `basis.npy`, `gains.json`, `labels.npz` and `teacher.json` under `cache/motion`.

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
    rows = mouth_rows(basis)
    clips = teacher_clips(corpus, train, basis, white)
    gains = speaker_gains(clips, rows[0])
    (out / "gains.json").write_text(json.dumps({**gains, **dict.fromkeys(OWN_SPREAD, 1.0)}))
    members, speakers = train_teacher(equalise(clips, gains), rows, lips, config)

    def teach(clip: AudioClip) -> NDArray[np.float32]:
        return predict(members, teacher_inputs(clip, white))

    judged = with_intervals(open_figures(teach, corpus, motion, basis))
    # Regression shrinks what it is unsure of: give labels the spread that unseen speakers have.
    spreads = (judged["aperture_amplitude"][0], judged["width_amplitude"][0])
    factors = np.asarray([1 / spread for spread in spreads], np.float32)
    figures: dict[str, object] = {
        "held_out": evaluate(teach, corpus, motion, basis),
        "open": judged,
        "label_factors": factors.tolist(),
        "speakers": speakers,
        "shifts": shifts,
        "dropped": sorted(dropped),
    }
    labels: dict[str, Any] = {
        name: amplify(teach(clip), rows, factors).astype(np.float16)
        for name, clip in tqdm(corpus.items(), desc="labels")
        if name not in motion and clip.features is not None
    }
    np.savez(out / "labels.npz", **labels)
    (out / "teacher.json").write_text(json.dumps(figures, indent=1))
    return figures


def main(argv: list[str] | None = None) -> int:
    """Check sync, train the teacher and write its labels; skipped when they exist, unless `--again`."""
    parser = argparse.ArgumentParser(description="Label speech with motion by a non-causal teacher.")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--steps", type=int, default=TeacherConfig().steps)
    parser.add_argument("--members", type=int, default=TeacherConfig().members)
    parser.add_argument("--basis-of", type=Path, help="checkpoint whose basis to keep, to go on training it")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args(argv)
    tracks, audio, motion = (options.cache / folder for folder in ("tracks", "audio", "motion"))
    if (motion / "labels.npz").exists() and not options.again:
        return 0
    if not (motion / "sync.json").exists():
        motion_sync.main(["--tracks", str(tracks), "--audio", str(audio), "--out", str(motion / "sync.json")])
    if options.basis_of and not (motion / "basis.npy").exists():
        np.save(motion / "basis.npy", StyleSyncFormer.load(options.basis_of).basis.numpy())
    config = replace(TeacherConfig(), steps=options.steps, members=options.members)
    print(json.dumps(make_labels(options.cache, config)["held_out"], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
