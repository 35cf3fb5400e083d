"""Evaluation of speaking styles: does a style say who speaks, and does it move others as its owner moves?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from models.mesh import topology
from models.motion_basis import mouth_rows, to_coefficients
from models.syncformer import StyleSyncFormer
from models.training.motion_metrics import pearson
from presenter.config import AppConfig
from presenter.errors import MediaError
from presenter.recipe.tracked_clip import track
from presenter.runtime.networks import load_networks
from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, FPS, FloatArray

_MIN_FRAMES = 3 * FPS
STATISTICS = ("mean opening", "spread of opening", "mean width", "spread of width", "speed", "closure depth")


@dataclass(frozen=True, eq=False)
class _Clip:
    pcm: FloatArray
    displacement: FloatArray
    mouth: FloatArray
    """Opening and width `[T, 2]`, tracked."""


def evaluate_styles(config: AppConfig, clips: list[Path], pairs: int = 300) -> dict[str, Any]:
    """Measure styles on clips of one speaker each.

    Args:
        config: Names the network.
        clips: Videos with sound; each is one speaker's.
        pairs: How many speakers get the style of another one.

    Returns:
        The share of second halves of clips whose style is nearest to that of their first half; for each statistic, and
        for the first four together, the share of pairs in which the style moves it to its owner's; and correlations
        with the tracked motion under the neutral style and under the foreign one.

    Raises:
        MediaError: If fewer than two clips can be used.
    """
    network = load_networks(config.engine).syncformer
    used = [clip for path in tqdm(clips, desc="tracking", unit="clip") if (clip := _read(network, path)) is not None]
    if len(used) < 2:
        raise MediaError(
            f"expected at least two clips of {_MIN_FRAMES // FPS} s with a face and sound, got {len(used)}"
        )
    return {"speakers": len(used), "half-clip identification": _identification(network, used)} | _transfer(
        network, used, pairs
    )


def _read(network: StyleSyncFormer, path: Path) -> _Clip | None:
    try:
        clip = track(path)
    except (MediaError, StreamError):
        return None
    if len(clip.meshes) < _MIN_FRAMES:
        return None
    displacement = ((clip.meshes - clip.neutral) * topology().lower_face[:, None]).astype(np.float32)
    return _Clip(clip.pcm, displacement, _mouth(network, displacement))


def _mouth(network: StyleSyncFormer, displacement: FloatArray) -> FloatArray:
    basis = network.basis.numpy()
    return np.asarray(to_coefficients(displacement, basis) @ mouth_rows(basis).T)


def _identification(network: StyleSyncFormer, clips: list[_Clip]) -> float:
    halves = [[network.speaking_style(part).numpy() for part in np.array_split(clip.displacement, 2)] for clip in clips]
    first, second = (np.stack([pair[k] for pair in halves]) for k in (0, 1))
    spread = np.concatenate([first, second]).std(0)
    nearest = [int(np.square((first - style) / spread).sum(1).argmin()) for style in second]
    return float(np.mean([found == k for k, found in enumerate(nearest)]))


def _transfer(network: StyleSyncFormer, clips: list[_Clip], pairs: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    owners = np.stack([_statistics(clip.mouth) for clip in clips])
    scale = owners.std(0)
    neutral = [_spoken(network, clip, network.null_style) for clip in clips]
    styles = [network.speaking_style(clip.displacement)[None] for clip in clips]
    closer, together, sync = [], [], []
    for _ in tqdm(range(pairs), desc="transferring", unit="pair"):
        speaker, owner = rng.choice(len(clips), 2, replace=False)
        styled = _spoken(network, clips[speaker], styles[owner])
        gaps = [np.abs(_statistics(motion) - owners[owner]) / scale for motion in (neutral[speaker], styled)]
        closer.append(gaps[1] < gaps[0])
        together.append(np.square(gaps[1][:4]).sum() < np.square(gaps[0][:4]).sum())
        true = clips[speaker].mouth
        sync.append([pearson(motion[:, k], true[:, k]) for motion in (neutral[speaker], styled) for k in (0, 1)])
    means = np.nanmean(sync, 0)
    return {
        "moved to the owner's": dict(zip(STATISTICS, np.mean(closer, 0).round(3).tolist(), strict=True)),
        "moved, means and spreads together": float(np.mean(together)),
        "neutral": {"aperture r": float(means[0]), "width r": float(means[1])},
        "foreign style": {"aperture r": float(means[2]), "width r": float(means[3])},
    }


def _spoken(network: StyleSyncFormer, clip: _Clip, style: torch.Tensor) -> FloatArray:
    """Opening and width for a clip's sound `[T, 2]`."""
    delay = network.latency_samples // CHUNK_SAMPLES
    pcm = np.concatenate([clip.pcm, np.zeros(delay * CHUNK_SAMPLES, np.float32)])
    with torch.inference_mode():
        coefficients = network(torch.from_numpy(pcm)[None], style)[0, delay:].numpy()
    return np.asarray(coefficients @ mouth_rows(network.basis.numpy()).T)


def _statistics(mouth: FloatArray) -> FloatArray:
    """Of opening and width `[T, 2]`, in the order of `STATISTICS`."""
    opening, width = mouth.T
    speed, depth = np.abs(np.diff(opening)).mean(), np.quantile(opening, 0.1)
    return np.array([opening.mean(), opening.std(), width.mean(), width.std(), speed, depth])
