"""Figures of merit of lip motion, on tracked and predicted meshes in canonical space.

Lengths are in inter-ocular distances, times in frames of 40 ms. The truth is tracked too: compare error
figures with the tracker's own noise floor.
"""

import numpy as np
from numpy.typing import NDArray

from models.mesh import LIPS, aperture, width

Array = NDArray[np.float32]
CLOSED = 0.03  # lip opening under which a mouth counts as closed
MAX_OFFSET = 10


def pearson(a: Array, b: Array) -> float:
    """Pearson correlation of two series; NaN if either is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 1e-9 else float("nan")


def offset_frames(predicted: Array, true: Array, limit: int = MAX_OFFSET) -> int:
    """Return the shift of best correlation of two series; positive when the prediction is late."""
    best, best_r = 0, -2.0
    for shift in range(-limit, limit + 1):
        a = predicted[max(shift, 0) : len(predicted) + min(shift, 0)]
        b = true[max(-shift, 0) : len(true) + min(-shift, 0)]
        r = pearson(a, b) if len(a) > 2 * limit else float("nan")
        if r > best_r:
            best, best_r = shift, r
    return best


def lip_vertex_error(predicted: Array, true: Array) -> float:
    """LVE: mean over frames of the largest squared lip-vertex error, squared inter-ocular distances."""
    squared = np.square(predicted[:, LIPS] - true[:, LIPS]).sum(-1)
    return float(squared.max(1).mean())


def landmark_distance(predicted: Array, true: Array) -> float:
    """LMD: mean distance of lip points in the image plane, each frame's own lip centre removed."""
    a, b = predicted[:, LIPS, :2], true[:, LIPS, :2]
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float(np.linalg.norm(a - b, axis=-1).mean())


def closure_counts(
    predicted: Array, true: Array, bilabials: list[tuple[int, int]], slack: int = 1, closed: float = CLOSED
) -> tuple[int, int, int]:
    """Count closures of bilabials (b, m, p) and of everything else between them.

    A closure is a frame with a lip opening under `closed` within `slack` frames of the phone. Open stretches
    of the truth at least three frames long are what must not be closed.

    Args:
        predicted: lip opening `[T]`.
        true: lip opening `[T]`.
        bilabials: first and last + 1 frame of each bilabial.
        slack: frames of tolerance on either side.
        closed: lip opening that counts as closed.

    Returns:
        Hits, misses, false closures.
    """
    hits = misses = 0
    for first, last in bilabials:
        near = slice(max(first - slack, 0), last + slack)
        if true[near].min() < closed:
            hit = bool(predicted[near].min() < closed)
            hits, misses = hits + hit, misses + (not hit)
    false = 0
    is_open = np.concatenate([[0], (true > closed).astype(int), [0]])
    edges = np.flatnonzero(np.diff(is_open))
    for first, last in edges.reshape(-1, 2):
        inside = predicted[first + slack : last - slack]
        false += bool(len(inside) and inside.min() < closed)
    return hits, misses, false


def f1(hits: int, misses: int, false: int) -> float:
    """F1 of counts; NaN when there is nothing to find."""
    total = 2 * hits + misses + false
    return 2 * hits / total if total else float("nan")


def jitter(mesh: Array) -> float:
    """Mean acceleration of lip vertices, inter-ocular distances per frame squared."""
    return float(np.linalg.norm(np.diff(mesh[:, LIPS], 2, axis=0), axis=-1).mean()) if len(mesh) > 2 else 0.0


def silence_closure(opening: Array, silent: NDArray[np.bool_], closed: float = CLOSED) -> float:
    """Share of silent frames whose mouth is closed; NaN without silent frames."""
    return float((opening[silent] < closed).mean()) if silent.any() else float("nan")


def clip_metrics(predicted: Array, true: Array) -> dict[str, float]:
    """Return all figures of one clip that need no phones.

    Args:
        predicted: meshes `[T, 478, 3]` in canonical space.
        true: tracked meshes, same shape and neutral mesh.
    """
    opening, true_opening = aperture(predicted), aperture(true)
    spread = float(true_opening.std())
    return {
        "aperture_r": pearson(opening, true_opening),
        "width_r": pearson(width(predicted), width(true)),
        "aperture_amplitude": float(opening.std()) / spread if spread > 1e-6 else float("nan"),
        "lve": lip_vertex_error(predicted, true),
        "lmd": landmark_distance(predicted, true),
        "offset_frames": float(offset_frames(opening, true_opening)),
        "jitter": jitter(predicted),
        "jitter_true": jitter(true),
    }


def mean_metrics(clips: list[dict[str, float]]) -> dict[str, float]:
    """Average clip figures, each over the clips where it is defined."""
    keys = clips[0] if clips else ()
    return {key: float(np.nanmean([clip[key] for clip in clips])) for key in keys}
