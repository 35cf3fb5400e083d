"""Audio-visual clips as targets: hold-outs, sync shifts and the displacement basis."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.mesh import NUM_VERTICES, topology
from models.motion_basis import importance
from models.training.splits import OPEN_VALIDATION, is_held_out

UNSEEN_PREFIXES = ("vidtimit_fadg0/", "styletalk/feifeili", "styletalk/reagan")
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class MotionClip:
    """The picture side of one clip.

    Attributes:
        name: `corpus/clip`.
        speaker: who speaks.
        displacement: `[T, 478, 3]` from the neutral mesh, lower face only, inter-ocular distances.
        neutral: `[478, 3]` closed-mouth rest mesh.
    """

    name: str
    speaker: str
    displacement: Array
    neutral: Array


def held_out_kind(name: str) -> str | None:
    """Say which evaluation set a clip `corpus/clip` belongs to: `"seen"`, `"unseen"`, `"open"`, or None for training.

    `seen` are clips of speakers who are trained on in other clips, `unseen` all clips of the others; `open` are the
    speakers of the open-vocabulary validation set, on which checkpoints are chosen.
    """
    if name.startswith(f"{OPEN_VALIDATION}/"):
        return "open"
    if name.startswith(UNSEEN_PREFIXES):
        return "unseen"
    corpus, _, clip = name.partition("/")
    return "seen" if is_held_out(corpus, clip, "") else None


def load_motion(tracks: Path, shifts: dict[str, int] | None = None) -> dict[str, MotionClip]:
    """Load tracked clips that have sound.

    Args:
        tracks: folder of `corpus/clip.npz` files.
        shifts: frames by which a clip's picture leads its sound; the picture is delayed by as many.

    Returns:
        Clips by name.
    """
    weights = topology().lower_face[:, None]
    clips: dict[str, MotionClip] = {}
    for path in sorted(tracks.glob("*/*.npz")):
        name = f"{path.parent.name}/{path.stem}"
        with np.load(path) as track:
            if not track["audio"].size:
                continue
            mesh, neutral = track["mesh"], track["neutral"]
            speaker = str(track["speaker"])
        index = np.clip(np.arange(len(mesh)) - (shifts or {}).get(name, 0), 0, len(mesh) - 1)
        clips[name] = MotionClip(name, speaker, ((mesh - neutral) * weights)[index].astype(np.float32), neutral)
    return clips


def fit_basis(clips: dict[str, MotionClip], coefficients: int, frames_per_speaker: int = 3000) -> Array:
    """Fit a displacement basis by lip-weighted principal components without a mean.

    Without a mean, zero coefficients are the closed, quiet mouth.

    Args:
        clips: training clips.
        coefficients: number of components.
        frames_per_speaker: so that the largest corpus does not decide alone.

    Returns:
        Basis `[K, 478 * 3]`; coefficients of the training data have unit mean square.
    """
    weights = importance()
    rng = np.random.default_rng(0)
    rows = []
    for speaker in sorted({clip.speaker for clip in clips.values()}):
        frames = np.concatenate([c.displacement for c in clips.values() if c.speaker == speaker])
        rows.append(rng.permutation(frames)[:frames_per_speaker].reshape(-1, NUM_VERTICES * 3))
    data = np.concatenate(rows) * weights
    values, vectors = np.linalg.eigh((data.T @ data / len(data)).astype(np.float64))
    scale = np.sqrt(values[::-1][:coefficients])
    components = vectors[:, ::-1][:, :coefficients].T
    return np.asarray(scale[:, None] * components / weights, np.float32)


def read_sync(path: Path) -> tuple[dict[str, int], set[str]]:
    """Read the verdict of the sync check: shifts by clip, and the clips to drop."""
    verdict = json.loads(path.read_text())
    return {name: int(shift) for name, shift in verdict["shifts"].items()}, set(verdict["dropped"])
