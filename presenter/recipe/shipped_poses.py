"""Which mouth shapes of a shipped presenter to render: those that the motion network really asks of it.

The shapes of `presenter.studio.shapes` are textbook visemes; what the network emits on the presenter's own smile is
wider and less rounded. This step collects meshes over recordings and finds the blendshape weights whose renders come
closest: linear least squares within bounds, by how a tracker saw the renders that are there already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.optimize import lsq_linear

from models.crop import crop_points, crop_transform
from models.mesh import LIPS, Floats, Pose, canonicalise
from models.syncformer import StyleSyncFormer
from models.weights import syncformer_path
from presenter.recipe.emitted import emitted_displacements
from presenter.recipe.shipped_crops import CHIN, Pictures, rendered_crops, track
from presenter.studio.shapes import REST, SMILE_SHAPES, VISEMES, Weights

Doubles = NDArray[np.float64]
_OUTLINE = [*LIPS, *CHIN]
_CENTRES = 0.65  # share of the chosen meshes that are centres of clusters; the others are the farthest
_LIMITS = {
    "jawOpen": 0.6, "mouthClose": 0.25, "mouthFunnel": 0.7, "mouthLowerDown": 0.6, "mouthPress": 0.5,
    "mouthPucker": 0.8, "mouthRollLower": 0.6, "mouthRollUpper": 0.4, "mouthShrugLower": 0.4,
    "mouthStretch": 0.5, "mouthUpperUp": 0.6,
}  # fmt: skip
_SMILE = 1.7  # times the rest pose's, at the most
_DRAWN = 6.0  # pixels per unit: how strongly weights are drawn to 0, and the smile to that at rest
_LIPS_DRAWN = 3.0  # times more for what only rolls or presses the lips, which trackers hardly see
_TONGUE = ("tongueForward", "tongueRaise")
_ROOM = 0.15  # of jaw opening, from which on the tongue has its full reach


@dataclass(frozen=True, kw_only=True)
class ShippedPoses:
    """Settings of the step.

    Attributes:
        renders: Folder that `presenter.studio.render` wrote; `poses.json` is written there.
        speech: Folder of recordings, of several voices.
        count: How many poses.
        seed: Of clusters, order and tongues.
    """

    renders: Path
    speech: Path
    count: int = 110
    seed: int = 0


def choose_poses(settings: ShippedPoses) -> None:
    """Write the blendshape weights of the poses to render, most frequent and most extreme ones mixed."""
    pictures = Pictures.read(settings.renders)
    scene, rest = pictures.scene, pictures.canvas
    mesh, pose = canonicalise(track(rest))
    crops = rendered_crops(settings.renders, scene, rest, mesh, pose)
    poses: list[Weights] = [REST]
    seen = [crops[0].points]
    for crop in crops[1:]:
        if crop.folder != "live":
            poses.append(scene["crops"][crop.number])
            seen.append(crop.points)
    fit = PoseFit(poses, np.stack(seen))
    emitted = emitted_meshes(settings.speech, mesh, pose)
    rng = np.random.default_rng(settings.seed)
    moved = [_with_tongue(fit.weights(points), rng) for points in emitted[spread(emitted, settings.count, rng)]]
    (settings.renders / "poses.json").write_text(json.dumps(moved, indent=1))


def emitted_meshes(speech: Path, mesh: Floats, pose: Pose) -> Floats:
    """Meshes in crop pixels `[N, 514, 3]` that the motion network emits for all recordings of a folder.

    Args:
        speech: The folder.
        mesh: The presenter's at rest, canonical `[478, 3]`.
        pose: From canonical space to the frame's pixels.

    Raises:
        MediaError: If it holds no recording.
    """
    moved = emitted_displacements(StyleSyncFormer.load(syncformer_path()), speech)
    transform = crop_transform(pose)
    return np.stack([crop_points(mesh + one, mesh, pose, transform) for one in moved]).astype(np.float32)


def spread(meshes: Floats, count: int, rng: np.random.Generator) -> list[int]:
    """Which of many meshes `[N, 514, 3]` to take, so that any prefix holds frequent and extreme ones."""
    shapes = meshes[:, _OUTLINE, :2].reshape(len(meshes), -1).astype(np.float64)
    count = min(count, len(shapes))
    centres, labels = kmeans2(shapes, max(int(_CENTRES * count), 1), minit="++", seed=rng)
    members = [np.flatnonzero(labels == k) for k in range(len(centres))]
    frequent = [int(m[_off(shapes[m], centres[k]).argmin()]) for k, m in enumerate(members) if len(m)]
    distance = np.min([_off(shapes, shapes[i]) for i in frequent], axis=0)
    extreme: list[int] = []
    while len(frequent) + len(extreme) < count:
        extreme.append(int(distance.argmax()))
        distance = np.minimum(distance, _off(shapes, shapes[extreme[-1]]))
    return [int(i) for i in rng.permutation(frequent + extreme)]


def _off(shapes: Doubles, one: Doubles) -> Doubles:
    distance: Doubles = np.square(shapes - one).mean(1)
    return distance


class PoseFit:
    """Blendshape weights for meshes, learnt from renders.

    Args:
        poses: Weights of the renders; the first is the rest pose.
        meshes: As a tracker saw them `[N, 514, 3]`, crop pixels.
    """

    def __init__(self, poses: list[Weights], meshes: Floats) -> None:
        self._rest = meshes[0]
        names = sorted({name for pose in poses for name in pose})
        weights = np.array([[pose.get(name, 0.0) for name in names] for pose in poses])
        given = np.c_[weights, np.ones(len(weights))]
        moved = np.stack([self._moved(points) for points in meshes])
        # Ridge regression: some weights only occur together.
        solution = np.linalg.solve(given.T @ given + 0.01 * np.eye(given.shape[1]), given.T @ moved)
        effect = dict(zip(names, solution[:-1], strict=True))
        smile = sum(REST[name] * effect[name] for name in SMILE_SHAPES)
        fixed = {name: value for name, value in REST.items() if name not in SMILE_SHAPES}
        self._fixed: Weights = fixed
        self._offset = solution[-1] + sum(value * effect[name] for name, value in fixed.items())
        # Everything may lie higher or lower than in renders; see `presenter.recipe.shipped_crops`.
        lift = np.tile([0.0, 1.0], len(_OUTLINE))
        self._free = [name for name in _LIMITS if name in effect]
        self._columns = np.stack([*(effect[name] for name in self._free), smile, lift], axis=1)

    def weights(self, points: Floats) -> Weights:
        """Of the pose whose render looks most like a mesh `[514, 3]`."""
        count = len(self._free)
        drawn = [_LIPS_DRAWN if any(w in name for w in ("Press", "Roll", "Shrug")) else 1.0 for name in self._free]
        pull = np.c_[_DRAWN * np.diag([*drawn, 1.0]), np.zeros(count + 1)]
        wanted = np.r_[self._moved(points) - self._offset, np.zeros(count), _DRAWN]
        high = np.array([*(_LIMITS[name] for name in self._free), _SMILE, 10.0])
        low = np.r_[np.zeros(count + 1), -10.0]
        found = lsq_linear(np.vstack([self._columns, pull]), wanted, (low, high)).x
        smile = {name: REST[name] * found[count] for name in SMILE_SHAPES}
        free = {name: float(value) for name, value in zip(self._free, found, strict=False)}
        return {**self._fixed, **smile, **free}

    def _moved(self, points: Floats) -> Doubles:
        return (points[_OUTLINE, :2] - self._rest[_OUTLINE, :2]).reshape(-1).astype(np.float64)


def _with_tongue(pose: Weights, rng: np.random.Generator) -> Weights:
    """A pose with a tongue that fits its opening, which a mesh does not tell."""
    opening = pose.get("jawOpen", 0.0) - pose.get("mouthClose", 0.0)
    room = float(np.clip(opening / _ROOM, 0.0, 1.0))
    shown = VISEMES[str(rng.choice(list(VISEMES)))].weights
    reach = {name: shown[name] * room * rng.uniform(0.4, 1.0) for name in _TONGUE if name in shown}
    whole = pose | reach
    return {name: round(float(whole[name]), 4) for name in sorted(whole)}
