"""Figures of merit of lip motion, on tracked and predicted meshes in canonical space.

Lengths are in inter-ocular distances, times in frames of 40 ms. The truth is tracked too: compare error
figures with the tracker's own noise floor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.mesh import LIPS, aperture, width

Array = NDArray[np.float32]
CLOSED = 0.03  # lip opening under which a mouth counts as closed
MAX_OFFSET = 10
MAX_LAG = 4  # frames within which a clip's own sync error is tolerated in lag-corrected figures


def pearson(a: Array, b: Array) -> float:
    """Pearson correlation of two series; NaN if either is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 1e-9 else float("nan")


def offset_frames(predicted: Array, true: Array, limit: int = MAX_OFFSET) -> int:
    """Return the shift of best correlation of two series; positive when the prediction is late."""
    best, best_r = 0, -2.0
    for shift in range(-limit, limit + 1):
        enough = len(predicted) - abs(shift) > 2 * limit
        r = shifted_pearson(predicted, true, shift) if enough else float("nan")
        if r > best_r:
            best, best_r = shift, r
    return best


def shifted_pearson(predicted: Array, true: Array, shift: int) -> float:
    """Correlation of a prediction that is late by `shift` frames (early where negative) with the truth."""
    a = predicted[max(shift, 0) : len(predicted) + min(shift, 0)]
    b = true[max(-shift, 0) : len(true) + min(-shift, 0)]
    return pearson(a, b)


def spread_ratio(predicted: Array, true: Array) -> float:
    """Standard deviation of the prediction over the truth's; NaN for a truth that does not move."""
    spread = float(true.std())
    return float(predicted.std()) / spread if spread > 1e-6 else float("nan")


def bootstrap_interval(
    values: NDArray[np.float64], share: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean over independent speakers. Source: Efron 1979.

    Args:
        values: one figure per speaker `[N]`; NaNs are left out, and nothing else is NaN.
        share: of the draws that lie inside.
        draws: resampled means.
        seed: of the resampling.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def lip_vertex_error(predicted: Array, true: Array) -> float:
    """LVE: mean over frames of the largest squared lip-vertex error, squared inter-ocular distances."""
    squared = np.square(predicted[:, LIPS] - true[:, LIPS]).sum(-1)
    return float(squared.max(1).mean())


def landmark_distance(predicted: Array, true: Array) -> float:
    """LMD: mean distance of lip points in the image plane, each frame's own lip centre removed."""
    a, b = predicted[:, LIPS, :2], true[:, LIPS, :2]
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return float(np.linalg.norm(a - b, axis=-1).mean())


@dataclass(frozen=True)
class Closures:
    """Counts of lip closures in speech, additive over clips.

    Attributes:
        due: bilabials (b, m, p) that the truth closes on.
        hit: those of them that the prediction closes on too.
        made: closures of the prediction within speech, on any sound.
        right: those of them that the truth has too.
    """

    due: int = 0
    hit: int = 0
    made: int = 0
    right: int = 0

    def __add__(self, other: "Closures") -> "Closures":
        return Closures(self.due + other.due, self.hit + other.hit, self.made + other.made, self.right + other.right)

    @property
    def recall(self) -> float:
        """Share of due bilabial closures that are made; NaN without any."""
        return self.hit / self.due if self.due else float("nan")

    @property
    def precision(self) -> float:
        """Share of closures made that are right; NaN without any."""
        return self.right / self.made if self.made else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN when either is undefined."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def closures(
    predicted: Array, true: Array, bilabials: list[tuple[int, int]], slack: int = 1, closed: float = CLOSED
) -> Closures:
    """Compare the lip closures of two openings.

    A closure is a stretch of frames with an opening under `closed`; two closures match when they come within
    `slack` frames of each other.

    Args:
        predicted: lip opening `[T]` within speech.
        true: lip opening `[T]` within speech.
        bilabials: first and last + 1 frame of each b, m or p.
        slack: frames of tolerance on either side.
        closed: lip opening that counts as closed.
    """
    near = [slice(max(first - slack, 0), last + slack) for first, last in bilabials]
    due = [span for span in near if true[span].min() < closed]
    hit = sum(bool(predicted[span].min() < closed) for span in due)
    made = stretches(predicted < closed)
    right = sum(bool(true[max(first - slack, 0) : last + slack].min() < closed) for first, last in made)
    return Closures(len(due), hit, len(made), right)


def stretches(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last + 1 index of each run of True in `[T]`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


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
    wide, true_wide = width(predicted), width(true)
    offset = offset_frames(opening, true_opening)
    lag = offset_frames(opening, true_opening, MAX_LAG)
    events = closures(opening, true_opening, stretches(true_opening < CLOSED))
    return {
        "aperture_r": pearson(opening, true_opening),
        "width_r": pearson(wide, true_wide),
        "aperture_r_lag_corrected": shifted_pearson(opening, true_opening, lag),
        "width_r_lag_corrected": shifted_pearson(wide, true_wide, lag),
        "aperture_amplitude": spread_ratio(opening, true_opening),
        "width_amplitude": spread_ratio(wide, true_wide),
        "closing_f1": events.f1 if events.due else float("nan"),
        "lve": lip_vertex_error(predicted, true),
        "lmd": landmark_distance(predicted, true),
        "offset_frames": float(offset),
        "in_sync": float(abs(offset) <= 1),
        "jitter": jitter(predicted),
        "jitter_true": jitter(true),
    }


def mean_metrics(clips: list[dict[str, float]]) -> dict[str, float]:
    """Average clip figures, each over the clips where it is defined."""
    keys = clips[0] if clips else ()
    return {key: float(np.nanmean([clip[key] for clip in clips])) for key in keys}
