"""Mouth shapes of speech as blendshape weights, and a seeded list of them that covers the space in any prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, float]

REST: Weights = {
    "eyeBlink": 0.0, "eyeWide": 0.42, "browOuterUp": 0.05, "cheekSquint": 0.18,
    "mouthDimple": 0.08, "mouthSmile_L": 0.50, "mouthSmile_R": 0.45,
}  # fmt: skip
"""Closed mouth, light smile, a little stronger on one side: perfect symmetry looks dead. The upper lids touch the top
of the irises: lower they look sleepy, higher they stare."""

SMILE_SHAPES = ("cheekSquint", "mouthDimple", "mouthSmile_L", "mouthSmile_R")
MAX_JAW = 0.6


@dataclass(frozen=True)
class Viseme:
    """A mouth shape: what it adds to the rest pose and how much of the rest pose's smile it leaves."""

    smile: float
    weights: Weights

    def pose(self, strength: float = 1.0) -> Weights:
        """Full blendshape weights at ``strength`` 0 (rest) to about 1.2 (emphatic)."""
        keep = 1.0 - strength * (1.0 - self.smile)
        pose = {name: value * keep if name in SMILE_SHAPES else value for name, value in REST.items()}
        for name, value in self.weights.items():
            pose[name] = pose.get(name, 0.0) + strength * value
        return pose


VISEMES: dict[str, Viseme] = {
    "rest": Viseme(1.0, {}),
    "mbp": Viseme(0.75, {"mouthPress": 0.35, "mouthRollLower": 0.22, "mouthRollUpper": 0.22}),
    "fv": Viseme(0.7, {"jawOpen": 0.07, "mouthRollLower": 0.55, "mouthUpperUp": 0.16, "mouthShrugLower": 0.10}),
    "th": Viseme(
        0.75,
        {"jawOpen": 0.18, "tongueForward": 1.25, "tongueRaise": 0.62, "mouthUpperUp": 0.10, "mouthLowerDown": 0.15},
    ),
    "tdn": Viseme(
        0.8, {"jawOpen": 0.15, "tongueForward": 0.45, "tongueRaise": 1.2, "mouthUpperUp": 0.10, "mouthLowerDown": 0.16}
    ),
    "kg": Viseme(0.8, {"jawOpen": 0.22, "tongueRaise": 0.35, "mouthLowerDown": 0.10, "mouthUpperUp": 0.06}),
    "chsh": Viseme(0.25, {"jawOpen": 0.12, "mouthFunnel": 0.55, "mouthLowerDown": 0.15, "mouthUpperUp": 0.15}),
    "s": Viseme(0.9, {"jawOpen": 0.05, "mouthStretch": 0.20, "mouthLowerDown": 0.30, "mouthUpperUp": 0.15}),
    "r": Viseme(0.35, {"jawOpen": 0.14, "mouthFunnel": 0.30, "mouthPucker": 0.30, "tongueRaise": 0.5}),
    "aa": Viseme(0.8, {"jawOpen": 0.50, "mouthLowerDown": 0.10, "mouthUpperUp": 0.05}),
    "eh": Viseme(0.9, {"jawOpen": 0.32, "mouthStretch": 0.20, "mouthLowerDown": 0.15, "mouthUpperUp": 0.10}),
    "ih": Viseme(1.0, {"jawOpen": 0.15, "mouthStretch": 0.25, "mouthLowerDown": 0.26, "mouthUpperUp": 0.12}),
    "oh": Viseme(0.35, {"jawOpen": 0.36, "mouthFunnel": 0.50, "mouthPucker": 0.20}),
    "ou": Viseme(0.2, {"jawOpen": 0.15, "mouthPucker": 0.70, "mouthFunnel": 0.30}),
    "l": Viseme(
        0.8, {"jawOpen": 0.26, "tongueForward": 0.6, "tongueRaise": 1.8, "mouthUpperUp": 0.12, "mouthLowerDown": 0.15}
    ),
}

TRACKING: dict[str, Weights] = {
    "rest": VISEMES["rest"].pose(),
    "jaw30": {**REST, "jawOpen": 0.30},
    "jaw60": {**REST, "jawOpen": 0.60},
    "ee": Viseme(1.0, {"jawOpen": 0.12, "mouthStretch": 0.45, "mouthUpperUp": 0.25, "mouthLowerDown": 0.40}).pose(),
    "smile": Viseme(1.0, {"mouthSmile": 0.35, "cheekSquint": 0.25}).pose(),
    **{name: VISEMES[name].pose() for name in ("ou", "mbp", "fv", "th", "l", "oh", "s")},
}
"""Expressions rendered as full frames, for a face tracker."""


def blink(amount: float) -> Weights:
    """The rest pose with the eyes closed by ``amount`` 0..1."""
    return {**REST, "eyeBlink": amount, "eyeWide": REST["eyeWide"] * (1 - amount)}


def speech_poses(count: int, seed: int = 0) -> list[Weights]:
    """Mouth shapes of running speech, the visemes themselves first.

    Two of three further poses are the farthest from all before them, the third is drawn at random, so that a prefix
    both reaches the limits of the space and is dense where speech is.

    Args:
        count: How many poses.
        seed: Of the random pool they are chosen from.
    """
    rng = np.random.default_rng(seed)
    poses = [viseme.pose() for viseme in VISEMES.values()]
    pool = [_random_pose(rng) for _ in range(4000)]
    features = np.stack([_features(pose) for pose in pool])
    distance = np.full(len(pool), np.inf)
    for pose in poses:
        distance = np.minimum(distance, np.linalg.norm(features - _features(pose), axis=1))
    while len(poses) < count:
        unused = np.flatnonzero(distance > 0)
        chosen = int(rng.choice(unused)) if len(poses) % 3 == 0 else int(distance.argmax())
        poses.append(pool[chosen])
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen], axis=1))
    return poses[:count]


def _random_pose(rng: np.random.Generator) -> Weights:
    """A transition between two visemes at some strength; often a small opening or a closure, as in speech."""
    first, second = rng.choice(list(VISEMES), 2)
    share, strength = rng.random(), rng.uniform(0.25, 1.15)
    pose = _blend(VISEMES[first].pose(strength), VISEMES[second].pose(strength), share)
    kind = rng.choice(["free", "small", "closed"], p=[0.52, 0.33, 0.15])
    jaw = pose.get("jawOpen", 0.0) * rng.uniform(0.75, 1.2)
    if kind == "small":
        jaw = min(jaw, rng.uniform(0.01, 0.14))
    elif kind == "closed":
        # Lips together over any small jaw opening, as around m, b and p.
        jaw = min(jaw, 0.22)
        pose |= {name: 0.3 * pose[name] for name in ("mouthUpperUp", "mouthLowerDown") if name in pose}
        pose["mouthClose"] = jaw * rng.uniform(0.85, 1.0)
    pose["jawOpen"] = jaw = float(np.clip(jaw, 0.0, MAX_JAW))
    # Behind nearly closed teeth there is no room for the tongue's full reach.
    room = min(1.0, (jaw - pose.get("mouthClose", 0.0)) / 0.15)
    pose |= {name: room * pose[name] for name in ("tongueForward", "tongueRaise") if name in pose}
    return {name: round(float(value), 4) for name, value in sorted(pose.items())}


def _blend(a: Mapping[str, float], b: Mapping[str, float], share: float) -> Weights:
    return {name: (1 - share) * a.get(name, 0.0) + share * b.get(name, 0.0) for name in {**a, **b}}


def _features(pose: Mapping[str, float]) -> NDArray[np.float64]:
    """Where a pose lies for the choice of distinct poses; small openings count for more than large ones."""
    opening = max(pose.get("jawOpen", 0.0) - pose.get("mouthClose", 0.0), 0.0)
    scale = {
        "jawOpen": 1.0, "mouthFunnel": 1.0, "mouthPucker": 1.0, "mouthStretch": 0.8, "mouthSmile_L": 0.6,
        "mouthUpperUp": 1.0, "mouthLowerDown": 1.0, "mouthRollLower": 0.8, "mouthRollUpper": 0.8,
        "mouthPress": 0.6, "mouthClose": 0.8, "mouthShrugLower": 0.8,
        "tongueRaise": 0.12, "tongueForward": 0.12,
    }  # fmt: skip
    return np.array([np.sqrt(opening), *(weight * pose.get(name, 0.0) for name, weight in scale.items())])
