"""Report of the audio-to-motion half: delay sweep, other voices, bad lines, silence, comparison runs, cost."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.motion_basis import to_coefficients
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.training.audio_corpus import AudioClip, load_clips
from models.training.motion_data import MotionClip, held_out_kind, load_motion
from models.training.motion_eval import StudentPredictor, all_delays, evaluate
from models.training.motion_languages import judge_languages
from models.training.motion_robustness import closed_shares, robustness
from models.training.motion_voices import shift_voice

VOICE_SHIFTS = (0.8, 1.25, 1.5)  # pitch and formants together; 1.25 is about a woman's voice, 1.5 a child's


def shifted_voices(
    model: StyleSyncFormer, corpus: dict[str, AudioClip], motion: dict[str, MotionClip]
) -> dict[str, dict[str, float]]:
    """Evaluate held-out clips of the seen speaker in other voices: a proxy of unseen speakers of that corpus."""
    seen = {name: clip for name, clip in motion.items() if held_out_kind(name) == "seen" and name in corpus}
    report = {}
    for factor in VOICE_SHIFTS:
        voices = {name: replace(corpus[name], pcm=shift_voice(corpus[name].pcm, factor)) for name in seen}
        predictor = StudentPredictor(model).at(model.config.delay)
        report[str(factor)] = evaluate(predictor, voices, seen, model.basis.numpy())["seen"]
    return report


def styled(
    model: StyleSyncFormer, corpus: dict[str, AudioClip], motion: dict[str, MotionClip]
) -> dict[str, dict[str, float]]:
    """Evaluate held-out clips with the speaking style of the next clip of the same speaker, where there is one."""
    basis = model.basis.numpy()
    following: dict[str, str] = {}
    for speaker in {clip.speaker for clip in motion.values()}:
        names = sorted(name for name, clip in motion.items() if clip.speaker == speaker and name in corpus)
        following |= dict(zip(names, names[1:] + names[:1], strict=True)) if len(names) > 1 else {}

    @torch.inference_mode()
    def run(clip: AudioClip) -> NDArray[np.float32]:
        example = to_coefficients(motion[following[clip.name]].displacement, basis)
        style = model.encode_style(torch.from_numpy(example)[None])
        return all_delays(model, clip.pcm, style)[model.config.delay]

    return evaluate(run, corpus, {name: motion[name] for name in following}, basis)


@torch.inference_mode()
def step_milliseconds(model: StyleSyncFormer, steps: int = 200) -> dict[str, float]:
    """Wall time of one live step of one 40 ms chunk, eager, one thread, and its CPU time on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    state = model.init_state(1, 1)
    chunk = 0.1 * torch.randn(1, CHUNK_SAMPLES)
    walls, works = [], []
    for _ in range(steps):
        wall, work = time.perf_counter(), time.process_time()
        model.displacement(model.step(chunk, model.null_style, state))
        walls.append(1000 * (time.perf_counter() - wall))
        works.append(1000 * (time.process_time() - work))
    torch.set_num_threads(threads)
    return {"median": float(np.median(walls)), "p99": float(np.quantile(walls, 0.99)), "cpu": float(np.median(works))}


def make_report(cache: Path, weights: Path) -> dict[str, object]:
    """Evaluate a checkpoint.

    Args:
        cache: folder of tracks, audio and motion; reports of other runs are taken from it if they exist.
        weights: the checkpoint.

    Returns:
        Figures by section.
    """
    model = StyleSyncFormer.load(weights)
    motion = {n: m for n, m in load_motion(cache / "tracks").items() if held_out_kind(n)}
    corpus = load_clips(cache / "audio", list(motion))
    student, basis = StudentPredictor(model), model.basis.numpy()
    seen = next(clip for name, clip in motion.items() if held_out_kind(name) == "seen")
    sweep = {str(d): evaluate(student.at(d), corpus, motion, basis) for d in range(model.config.delays)}
    sync = json.loads((cache / "motion" / "sync.json").read_text())
    report: dict[str, object] = {
        "delay": model.config.delay,
        "held_out_clips": {kind: sum(held_out_kind(n) == kind for n in motion) for kind in ("seen", "unseen", "open")},
        "held_out": sweep[str(model.config.delay)],
        "open": robustness(model, corpus, motion),
        "delay_sweep": sweep,
        "shifted_voices": shifted_voices(model, corpus, motion),
        "with_style_of_another_clip": styled(model, corpus, motion),
        "silence_closed": closed_shares(model, seen.neutral),
        "languages": judge_languages(model, seen.neutral),
        "step_ms": step_milliseconds(model),
        "shifts": sync["shifts"],
        "dropped": sync["dropped"],
    }
    for name, path in (("log_mel_only", "plain/report.json"), ("teacher", "motion/teacher.json")):
        if (cache / path).exists():
            report[name] = json.loads((cache / path).read_text())["held_out"]
    return report


def main(argv: list[str] | None = None) -> int:
    """Evaluate a checkpoint on the held-out clips and write the figures as JSON."""
    parser = argparse.ArgumentParser(description="Report the figures of the audio-to-motion network.")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--weights", type=Path, default=Path("models/weights/syncformer.safetensors"))
    parser.add_argument("--out", type=Path, default=Path("cache/motion_report.json"))
    options = parser.parse_args(argv)
    options.out.write_text(json.dumps(make_report(options.cache, options.weights), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
