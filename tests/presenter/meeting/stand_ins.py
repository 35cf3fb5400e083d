"""A camera and a tracker of which tests say what they see."""

import time

import numpy as np


class NoCamera:
    """A camera of which a test says what it has seen."""

    state = "live"

    def newest(self, after: int = 0, timeout_s: float = 0.0) -> None:
        time.sleep(timeout_s)


class Told:
    """A tracker whose results a test sets."""

    faces: list[np.ndarray] = []

    def track(self, rgb: np.ndarray) -> list[np.ndarray]:
        return self.faces

    def close(self) -> None:
        pass
