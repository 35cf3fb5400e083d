"""Finds the 478 points of a face whose place is roughly known: MediaPipe's attention mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.inference import Network
from models.mesh import Floats
from models.tracker.region import Region

_SIZE = 192  # the network's picture


class LandmarkFinder:
    """Reads faces out of regions of a picture."""

    def __init__(self, *, threads: int = 1) -> None:
        """Load the network."""
        self._network = Network("face_landmarks", threads=threads)

    def find(self, rgb: NDArray[np.uint8], region: Region) -> tuple[Floats, float]:
        """The face in a region of a picture `[H, W, 3]`.

        Returns:
            Landmarks `[478, 3]` in the picture's pixels, z away from the camera, and how likely it is a face at all.
        """
        picture = region.cut(rgb, _SIZE).astype(np.float32) / np.float32(255)
        found, presence = self._network.run(picture[None])
        to_picture = region.to_picture(_SIZE)
        places = found[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        depth = found[:, 2:] * (region.side / _SIZE)
        return np.concatenate([places, depth], 1).astype(np.float32), float(presence[0])
