"""Picture metrics; each is defined in full in docs/model_card.md."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.mesh import OUTER_LIP_RING, Floats

Picture = NDArray[np.uint8]
Box = tuple[slice, slice]


def mouth_box(points: Floats, size: int) -> Box:
    """Rows and columns around the lips: their bounding box, a third larger on every side.

    Args:
        points: Mesh in pixels `[>= 468, 3]`.
        size: Side of the picture, where the box is cut off.
    """
    lips = points[OUTER_LIP_RING, :2]
    low, high = lips.min(0), lips.max(0)
    margin = (high - low).max() / 3
    x0, y0 = np.clip(low - margin, 0, size).astype(int)
    x1, y1 = np.clip(high + margin, 0, size).astype(int)
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def psnr(x: Picture, y: Picture) -> float:
    """Peak signal-to-noise ratio in dB of pictures 0..255."""
    error = float(np.mean(np.square(x.astype(np.float32) - y.astype(np.float32))))
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def ssim(x: Picture, y: Picture) -> float:
    """Structural similarity of the luma, 11x11 Gaussian window, sigma 1.5 (Wang et al. 2004)."""
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (x, y))

    def blur(p: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.GaussianBlur(p, (11, 11), 1.5).astype(np.float32)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    value /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(value.mean())


def sharpness(x: Picture) -> float:
    """Mean absolute Laplacian of the luma."""
    luma = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F, ksize=3)).mean())
