"""How much a face smiles, blinks, opens the jaw: 52 scores from its landmarks, with the names of Apple's ARKit."""

from __future__ import annotations

import numpy as np

from models.inference import Network
from models.mesh import Floats

BLENDSHAPE_NAMES = (
    ("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff")
    + ("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight")
    + ("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight")
    + ("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen")
    + ("jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight")
    + ("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight")
    + ("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper")
    + ("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft")
    + ("mouthUpperUpRight", "noseSneerLeft", "noseSneerRight")
)
"""Left and right are the person's. The first says nothing about a face; ARKit's `tongueOut` is not among them."""

# The landmarks that the network reads. Source: mediapipe/tasks/cc/vision/face_landmarker/face_blendshapes_graph.cc.
_POINTS = [0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78]
_POINTS += [80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150]
_POINTS += [152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197]
_POINTS += [234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308]
_POINTS += [310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377]
_POINTS += [378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466]
_POINTS += [468, 469, 470, 471, 472, 473, 474, 475, 476, 477]


class BlendshapeReader:
    """Reads expressions out of landmarks; place, size and (in the picture's plane) rotation don't matter."""

    def __init__(self, *, threads: int = 1) -> None:
        """Load the network."""
        self._network = Network("face_blendshapes", threads=threads)

    def read(self, landmarks: Floats) -> Floats:
        """Scores `[52]`, 0 to 1, in the order of `BLENDSHAPE_NAMES`, of landmarks `[478, 3]` in pixels."""
        points = np.ascontiguousarray(landmarks[None, _POINTS, :2], np.float32)
        return self._network.run(points)[0]
