"""The face mesh: MediaPipe's 478-point topology, canonical space and lip indices.

Canonical space is pose-free: x to the image's right, y down, z away from the camera, origin midway
between the eyes, unit = inter-ocular distance (between the two eye centres). `Pose` maps it to pixels.

The triangle list and the reference shape come from MediaPipe's canonical face model (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

NUM_VERTICES = 478
NUM_SURFACE_VERTICES = 468  # the last ten are the irises, which belong to no triangle

# Points that speech does not move: forehead, temples, eye corners, nose bridge and tip.
STABLE = np.array(
    [6, 168, 197, 195, 5, 4, 33, 133, 362, 263, 8, 9, 10, 151, 67, 297, 109, 338, 103, 332]
    + [127, 356, 21, 251, 54, 284, 162, 389]
)
LEFT_EYE_CORNERS = (33, 133)
RIGHT_EYE_CORNERS = (362, 263)

# The inner lip ring, clockwise in the image from the left mouth corner, upper lip first.
INNER_LIP_RING = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415] + [308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
OUTER_LIP_RING = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409] + [291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
LIPS = sorted(INNER_LIP_RING + OUTER_LIP_RING)
# Vertically facing (upper, lower) points of the inner lips; their gaps say how open the mouth is.
INNER_LIP_PAIRS = ((81, 178), (82, 87), (13, 14), (312, 317), (311, 402))
UPPER_LIP, LOWER_LIP = 13, 14
LEFT_CORNER, RIGHT_CORNER = 78, 308
FACE_OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377] + [
    152,
    148,
    176,
    149,
    150,
    136,
    172,
    58,
    132,
    93,
    234,
    127,
    162,
    21,
    54,
    103,
    67,
    109,
]


@dataclass(frozen=True, eq=False)
class Topology:
    """The fixed part of the mesh.

    Attributes:
        triangles: Vertex indices `[898, 3]`, front faces counter-clockwise seen from the camera.
        reference: Canonical positions `[478, 3]` in inter-ocular distances.
        lower_face: How far speech may move each vertex `[478]`, 0 (forehead) to 1 (lips, chin).
    """

    triangles: Ints
    reference: Floats
    lower_face: Floats


@cache
def topology() -> Topology:
    """Load the mesh topology that ships with the package."""
    tensors = load_file(Path(__file__).with_name("topology.safetensors"))
    reference = tensors["reference"].astype(np.float32)
    return Topology(tensors["triangles"].astype(np.int64), reference, _lower_face(reference))


def _lower_face(reference: Floats) -> Floats:
    """Fade from 0 at the nose bridge to 1 at the upper lip; the nose itself stays still."""
    y = reference[:, 1]
    rise = np.clip((y - 0.55) / 0.45, 0.0, 1.0)
    weights = rise * rise * (3.0 - 2.0 * rise)
    nose_tip = reference[4]
    near_nose = np.exp(-np.square(np.linalg.norm(reference - nose_tip, axis=1) / 0.38))
    weights = np.clip(weights - near_nose, 0.0, 1.0)
    weights[LIPS] = 1.0
    weights[NUM_SURFACE_VERTICES:] = 0.0
    return weights.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Pose:
    """A similarity from canonical space to pixels: `pixels = scale * rotation @ v + translation`.

    Attributes:
        scale: Pixels per inter-ocular distance.
        rotation: `[3, 3]`, orthonormal.
        translation: `[3]`, pixels.
    """

    scale: float
    rotation: Floats
    translation: Floats

    def project(self, mesh: Floats) -> Floats:
        """Map canonical vertices `[..., 3]` to pixels `[..., 3]` (weak perspective)."""
        return (self.scale * (mesh @ self.rotation.T) + self.translation).astype(np.float32)

    def unproject(self, pixels: Floats) -> Floats:
        """Invert `project`."""
        return (((pixels - self.translation) / self.scale) @ self.rotation).astype(np.float32)

    def enlarged(self, factor: float) -> Pose:
        """The same face in a picture `factor` times as large, whose pixels have their centres at whole numbers."""
        edge = np.array([0.5, 0.5, 0.0], np.float32)
        translation = (self.translation + edge) * factor - edge
        return Pose(self.scale * factor, self.rotation, translation.astype(np.float32))

    @property
    def yaw_degrees(self) -> float:
        """Turn of the head to a side; 0 is frontal."""
        return float(np.degrees(np.arctan2(self.rotation[0, 2], self.rotation[2, 2])))

    @property
    def pitch_degrees(self) -> float:
        """Nod of the head; 0 is frontal."""
        return float(np.degrees(np.arcsin(np.clip(self.rotation[1, 2], -1.0, 1.0))))


def fit_pose(landmarks: Floats) -> Pose:
    """Fit the similarity that takes the reference mesh to tracked landmarks.

    Args:
        landmarks: Tracked points `[478, 3]` in pixels.

    Returns:
        The pose, from the points that speech does not move.

    Source: Umeyama, "Least-squares estimation of transformation parameters", 1991.
    """
    source = topology().reference[STABLE].astype(np.float64)
    target = landmarks[STABLE].astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float((singular * np.diag(sign)).sum() / a.var(0).sum())
    translation = target_mean - scale * rotation @ source_mean
    return Pose(scale, rotation.astype(np.float32), translation.astype(np.float32))


def canonicalise(landmarks: Floats) -> tuple[Floats, Pose]:
    """Remove head pose, position and scale from tracked landmarks `[478, 3]` in pixels.

    Returns:
        The mesh `[478, 3]` in canonical space and the pose that takes it back to pixels.
    """
    pose = fit_pose(landmarks)
    mesh = pose.unproject(landmarks)
    eyes = [mesh[list(corners)].mean(0) for corners in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)]
    # The reference's inter-ocular distance is not this person's: make theirs exactly one.
    size = float(np.linalg.norm(eyes[1] - eyes[0]))
    return mesh / size, Pose(pose.scale * size, pose.rotation, pose.translation)


def aperture(mesh: Floats) -> Floats:
    """Lip opening of meshes `[..., 478, 3]`: mean inner-lip gap `[...]`."""
    upper, lower = np.array(INNER_LIP_PAIRS).T
    gaps = np.linalg.norm(mesh[..., lower, :2] - mesh[..., upper, :2], axis=-1)
    return gaps.mean(-1).astype(np.float32)


def width(mesh: Floats) -> Floats:
    """Mouth width of meshes `[..., 478, 3]`: distance of the inner mouth corners `[...]`."""
    delta = mesh[..., RIGHT_CORNER, :2] - mesh[..., LEFT_CORNER, :2]
    return np.linalg.norm(delta, axis=-1).astype(np.float32)


def closed_mouth_neutral(meshes: Floats) -> Floats:
    """A speaker's rest mesh: the mean of their frames with the most closed lips.

    Args:
        meshes: Canonical meshes `[T, 478, 3]` of one speaker.
    """
    opening = aperture(meshes)
    limit = np.quantile(opening, 0.1)
    return meshes[opening <= limit].mean(0).astype(np.float32)
