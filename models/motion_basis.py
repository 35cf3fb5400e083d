"""The basis of mesh displacement: projection on it, and the mouth's opening and width as its linear functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.mesh import INNER_LIP_PAIRS, LEFT_CORNER, LIPS, NUM_VERTICES, RIGHT_CORNER

LIP_WEIGHT = 3.0  # importance of a lip vertex against another one of the lower face
Array = NDArray[np.float32]


def to_coefficients(displacement: Array, basis: Array) -> Array:
    """Project displacement `[T, 478, 3]` on the basis: lip-weighted least squares, `[T, K]`."""
    weights = importance()
    weighted = basis * weights
    scale = np.square(weighted).sum(1)
    return np.asarray((displacement.reshape(len(displacement), -1) * weights) @ weighted.T / scale, np.float32)


def importance() -> Array:
    """How much each coordinate counts in the basis `[478 * 3]`: lips more than the rest of the lower face."""
    weights = np.ones((NUM_VERTICES, 3), np.float32)
    weights[LIPS] = LIP_WEIGHT
    return weights.reshape(-1)


def mouth_rows(basis: Array) -> Array:
    """Lip opening and mouth width as linear functions of coefficients: `[2, K]`.

    Exact for a mouth whose lips face each other vertically; used in losses, not in reports.
    """
    vertices = basis.reshape(len(basis), NUM_VERTICES, 3)
    upper, lower = np.array(INNER_LIP_PAIRS).T
    opening = (vertices[:, lower, 1] - vertices[:, upper, 1]).mean(1)
    width = vertices[:, RIGHT_CORNER, 0] - vertices[:, LEFT_CORNER, 0]
    return np.asarray(np.stack([opening, width]), np.float32)
