"""Evaluate a motion predictor on held-out clips, per delay, voice and speaker group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from models.mesh import NUM_VERTICES, aperture
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.training.audio_corpus import AudioClip
from models.training.audio_corpus_phones import BILABIALS
from models.training.motion_data import MotionClip, held_out_kind
from models.training.motion_metrics import (
    Closures,
    bootstrap_interval,
    clip_metrics,
    closures,
    mean_metrics,
    stretches,
)

Array = NDArray[np.float32]
Predictor = Callable[[AudioClip], Array]  # to coefficients [T, K]


class StudentPredictor:
    """The causal network on whole clips; processes each clip once for all delays."""

    def __init__(self, model: StyleSyncFormer, style: torch.Tensor | None = None) -> None:
        """Evaluate `model` under one speaking style, none by default."""
        self._model, self._style = model, style
        self._heard: dict[str, list[Array]] = {}

    def at(self, delay: int) -> Predictor:
        """Return a function from a clip to the coefficients of head `delay`, shifted back to their frames."""

        def run(clip: AudioClip) -> Array:
            if clip.name not in self._heard:
                self._heard[clip.name] = all_delays(self._model, clip.pcm, self._style)
            return self._heard[clip.name][delay]

        return run


@torch.inference_mode()
def all_delays(model: StyleSyncFormer, pcm: NDArray[np.int16], style: torch.Tensor | None = None) -> list[Array]:
    """Coefficients `[T, K]` of every delay's head for one clip, each aligned with its frames.

    Lips are pressed by the head that runs live only: how shut they should be is known at its delay.
    """
    delays = model.config.delays
    sound = np.concatenate([pcm.astype(np.float32) / 32768, np.zeros(delays * CHUNK_SAMPLES, np.float32)])
    batch = torch.from_numpy(sound)[None]
    frames = len(pcm) // CHUNK_SAMPLES
    state = model.init_state(1, frames + delays)
    mel = model.mel.step(batch, state.mel)
    audio = model.process_audio(mel, state)
    hidden = model.move(audio, model.null_style[:, : model.config.style_dim] if style is None else style, state)
    moved = [head(hidden) for head in model.outputs]
    live = model.config.delay
    moved[live] = model.pressed(moved[live], model.shut(mel, audio, state))
    return [np.asarray(coefficients[0, d : d + frames]) for d, coefficients in enumerate(moved)]


def speech_closures(predicted: Array, true: Array, phones: NDArray[np.int8]) -> Closures:
    """Compare closures between the first and the last phone that is not silence; none where phones are unknown.

    Args:
        predicted: lip opening `[T]`.
        true: lip opening `[T]`.
        phones: phone per frame `[T]`, 0 silence, -1 unknown.
    """
    spoken = np.flatnonzero(phones > 0)
    if not len(spoken):
        return Closures()
    speech = slice(spoken[0], spoken[-1] + 1)
    return closures(predicted[speech], true[speech], stretches(np.isin(phones[speech], BILABIALS)))


def meshes(coefficients: Array, clip: MotionClip, basis: Array) -> tuple[Array, Array]:
    """Predicted and measured meshes `[T, 478, 3]` of the frames that both have."""
    frames = min(len(coefficients), len(clip.displacement))
    predicted = clip.neutral + (coefficients[:frames] @ basis).reshape(frames, NUM_VERTICES, 3)
    return predicted.astype(np.float32), clip.neutral + clip.displacement[:frames]


def open_figures(
    predict: Predictor, corpus: dict[str, AudioClip], motion: dict[str, MotionClip], basis: Array
) -> dict[str, dict[str, float]]:
    """Figures of each clip of the open-vocabulary validation set, one speaker each, by name."""
    return {
        name: clip_metrics(*meshes(predict(corpus[name]), clip, basis))
        for name, clip in motion.items()
        if held_out_kind(name) == "open" and name in corpus
    }


def with_intervals(clips: dict[str, dict[str, float]]) -> dict[str, list[float]]:
    """Mean of each figure over speakers with its bootstrap interval: mean, low, high."""
    keys = next(iter(clips.values()))
    columns = {key: np.array([figures[key] for figures in clips.values()]) for key in keys}
    return {key: [float(np.nanmean(values)), *bootstrap_interval(values)] for key, values in columns.items()}


def evaluate(
    predict: Predictor, corpus: dict[str, AudioClip], motion: dict[str, MotionClip], basis: Array
) -> dict[str, dict[str, float]]:
    """Evaluate held-out clips, by group (see `held_out_kind`), and each `unseen` speaker.

    Args:
        predict: the network under test.
        corpus: audio and phones of the clips.
        motion: measured motion of the clips.
        basis: `[K, 478 * 3]`.

    Returns:
        Figures of `motion_metrics` per group, closure F1 included where phones are known.
    """
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    closed: dict[str, Closures] = defaultdict(Closures)
    for name, clip in motion.items():
        kind = held_out_kind(name)
        if kind is None or name not in corpus:
            continue
        coefficients = predict(corpus[name])
        mesh, true = meshes(coefficients, clip, basis)
        frames = len(true)
        figures = clip_metrics(mesh, true)
        groups = [kind, clip.speaker] if kind == "unseen" else [kind]
        counts = speech_closures(aperture(mesh), aperture(true), corpus[name].phones[:frames])
        for group in groups:
            rows[group].append(figures)
            closed[group] += counts
    report = {group: mean_metrics(figures) for group, figures in rows.items()}
    for group, total in closed.items():
        if total.due:
            report[group] |= {
                "closure_f1": total.f1,
                "closure_recall": total.recall,
                "closure_precision": total.precision,
            }
    return report
