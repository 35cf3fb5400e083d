"""The user's mouth: from a tracked face to the displacement of a mesh from its closed mouth, as it happens."""

from __future__ import annotations

import numpy as np

from models.mesh import Floats, aperture, canonicalise, topology
from models.one_euro import OneEuro
from models.user_head import AWAY_S

_SETTLING_S = 1.0  # in which the first rest is learnt, as of the head
_CLOSED = 0.02  # inter-ocular distances by which a closed mouth may be more open than the rest
# Seconds in which the opening of the closed mouth is learnt: it falls quickly, and rises slowly, as lips are apart for
# much of what is said; and those in which the rest takes the shape of closed mouths.
_FALLS_S, _RISES_S, _SHAPE_S = 0.15, 20.0, 2.0


class ClosedMouth:
    """Learns a person's closed-mouth mesh while they talk; what `closed_mouth_neutral` is afterwards."""

    def __init__(self) -> None:
        """Nobody was detected yet."""
        self._seen = self._appeared = -np.inf
        self._settling: list[Floats] = []
        self._rest: Floats | None = None
        self._opening = 0.0

    def follow(self, mesh: Floats, time_s: float) -> Floats | None:
        """Take the canonical mesh `[478, 3]` of a time; gives the closed mouth's, or None in the first second.

        Args:
            mesh: As tracked.
            time_s: Later than the one before, seconds.
        """
        elapsed = time_s - self._seen
        self._seen = time_s
        if elapsed > AWAY_S:
            self._appeared, elapsed = time_s, 0.0
            self._settling.clear()
        if self._rest is None:
            self._settling.append(mesh)
            if time_s - self._appeared < _SETTLING_S:
                return None
            self._rest = self._settle()
        self._rest = self._adapt(self._rest, mesh, elapsed)
        return self._rest

    def _settle(self) -> Floats:
        """The rest by the quarter of the first second in which the mouth was most closed."""
        meshes = np.stack(self._settling)
        openings = aperture(meshes)
        closed = openings <= np.quantile(openings, 0.25)
        self._opening = float(openings[closed].mean())
        return np.asarray(meshes[closed].mean(0))

    def _adapt(self, rest: Floats, mesh: Floats, elapsed: float) -> Floats:
        opening = float(aperture(mesh))
        share = min(elapsed / (_FALLS_S if opening < self._opening else _RISES_S), 1.0)
        self._opening += share * (opening - self._opening)
        if opening < self._opening + _CLOSED:
            rest = rest + np.float32(min(elapsed / _SHAPE_S, 1.0)) * (mesh - rest)
        return rest


class UserMouth:
    """Follows the mouth of one user, relative to how it is closed.

    Where the user is detected for the first time, nothing is returned for a second, in which the closed mouth is
    learnt. From then on what is learnt follows closed mouths.
    """

    def __init__(self) -> None:
        """No user was detected yet."""
        # Lips are fast, an inter-ocular distance per second, and jitter is slow: it adds up to a third of that at most.
        self._filter = OneEuro(min_cutoff=2.5, beta=15.0, speed_cutoff=2.0)
        self._closed = ClosedMouth()
        self._seen = -np.inf

    def follow(self, landmarks: Floats, time_s: float) -> Floats | None:
        """Take the face `[478, 3]` of a time; gives the displacement `[478, 3]`, or None while the rest is unknown.

        Args:
            landmarks: Tracked, pixels.
            time_s: Later than the one before, seconds.

        Returns:
            Of lips, jaw and cheeks, canonical space, inter-ocular distances.
        """
        mesh, _ = canonicalise(landmarks)
        if time_s - self._seen > AWAY_S:
            self._filter.reset()
        self._seen = time_s
        rest = self._closed.follow(mesh, time_s)
        if rest is None:
            return None
        moved = topology().lower_face[:, None] * (mesh - rest)
        return np.asarray(self._filter.filter(moved, time_s), np.float32)
