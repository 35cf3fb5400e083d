"""The user's head: from a tracked face to a pose relative to how the user sits, and to eyes open or closed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.head_motion import HeadPose, rotation
from models.head_warp import EARS, NECK_BELOW
from models.mesh import FACE_OVAL, Floats, canonicalise, topology
from models.one_euro import OneEuro

AWAY_S = 0.7
"""A face that was not seen for so long has left; shorter gaps are bridged."""

_SETTLING_S = 1.0
_ANOTHER = 1.0  # inter-ocular distances between two pictures: another person's face
_REACH = np.array([0.4, 0.3, 0.4, 0.6, 0.5])  # limits of a pose
_DRIFT_S = 15.0  # in which the neutral pose follows a user who sits differently now
_LIDS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
_CORNERS = ((33, 133), (362, 263))
# How the tracker sees heads that `HeadWarp` turns by known angles: it finds this share of yaw and pitch, and ears that
# are so far before the axis (they slide along the outline). Either it measures users likewise, or the warp turns
# too little: in both cases the presenter appears to turn as far as the user.
_FOUND = np.array([1.0, 0.68, 0.68])
_EARS_BEFORE_AXIS = 0.4
# Lid gaps, as shares of the open eye's; two, so that an eye between them doesn't flutter.
_CLOSED, _OPEN = 0.65, 0.75
# Seconds in which the open eye's gap is learnt: it widens quickly, and narrows slowly.
_WIDENS_S, _NARROWS_S, _SHUT_S = 0.3, 8.0, 6.0


class UserMove(NamedTuple):
    """What the user's head does."""

    pose: HeadPose
    eyes_closed: bool
    appeared: float
    """When the user did, in seconds: poses of different appearances have nothing to do with each other."""


class Reading(NamedTuple):
    """A head in a camera's picture, before the user's neutral pose is known."""

    angles: Floats
    """Roll, yaw and pitch, radians, signs as of `HeadPose`."""
    place: Floats
    """Midway between the ears `[2]`, pixels: on the axis about which a head turns and nods."""
    scale: float
    """Pixels per inter-ocular distance."""
    gap: float
    """Height over width of the eye that is open wider."""


def read_head(landmarks: Floats) -> Reading:
    """Measure tracked landmarks `[478, 3]`, pixels."""
    mesh, pose = canonicalise(landmarks)
    # Lids are measured on the mesh turned to the front, so that a nod does not look like a blink.
    gaps = [
        np.mean([np.linalg.norm(mesh[upper] - mesh[lower]) for upper, lower in lids])
        / np.linalg.norm(mesh[left] - mesh[right])
        for lids, (left, right) in zip(_LIDS, _CORNERS, strict=True)
    ]
    return Reading(_angles(pose.rotation), landmarks[list(EARS), :2].mean(0), pose.scale, float(max(gaps)))


class UserHead:
    """Follows one user.

    The pose is relative to the user's neutral one: the median of the first second after appearing, then slowly adapted.
    It is not mirrored: as others see the user, so they see the presenter. A user who turns to their left turns to the
    picture's right, and so does the presenter.

    Where the user is detected for the first time, no move is returned before that second is over. One who returns is
    followed at once, from the neutral pose as it is known so far.
    """

    def __init__(self) -> None:
        """No user was detected yet."""
        self._filter = OneEuro(min_cutoff=1.2, beta=20.0, speed_cutoff=2.0)
        self._settling: list[Reading] = []
        self._known = False
        self._appeared = self._seen = -np.inf
        self._last: Floats = np.zeros(2, np.float32)
        self._open_gap = 0.0
        self._closed = False
        middle = topology().reference[FACE_OVAL].mean(0)
        ears = topology().reference[list(EARS)].mean(0)
        self._ears_from_neck = np.array([0, ears[1] - middle[1] - NECK_BELOW, -_EARS_BEFORE_AXIS])

    def follow(self, landmarks: Floats, time_s: float) -> UserMove | None:
        """Take the face `[478, 3]` of a time; gives what to show, or None while the user is not known yet."""
        reading = read_head(landmarks)
        elapsed = time_s - self._seen
        self._seen = time_s
        if elapsed > AWAY_S or self._is_another(reading):
            self._appeared, elapsed = time_s, 0.0
            self._settling.clear()
            self._filter.reset()
        self._last = reading.place
        self._adapt(reading, time_s - self._appeared, elapsed)
        closed = self._close(reading.gap, elapsed)
        pose = self._filter.filter(self._relative(reading), time_s)
        if not self._known:
            return None
        return UserMove(HeadPose(*(float(value) for value in pose)), closed, self._appeared)

    def _is_another(self, reading: Reading) -> bool:
        return float(np.hypot(*(reading.place - self._last))) > _ANOTHER * reading.scale

    def _adapt(self, reading: Reading, since_s: float, elapsed: float) -> None:
        """Learn how the user sits."""
        if since_s <= _SETTLING_S:
            self._settling.append(reading)
            angles, places, scales, _ = zip(*self._settling, strict=True)
            self._angles, self._place = np.median(angles, 0), np.median(places, 0)
            self._scale = float(np.median(scales))
            return
        self._known = True
        # Someone who has just sat down still moves about.
        share = elapsed / np.clip(2 * since_s, 2 * _SETTLING_S, _DRIFT_S)
        self._angles = self._angles + share * (reading.angles - self._angles)
        self._place = self._place + share * (reading.place - self._place)
        self._scale += share * (reading.scale - self._scale)

    def _relative(self, reading: Reading) -> Floats:
        """The pose `[5]` in the order of `HeadPose`: turned about the neck, what is left is a shift."""
        angles = _angles(_rotation(self._angles).T @ _rotation(reading.angles)) / _FOUND
        turned = _rotation(angles)
        by_turning = (turned - np.eye(3)) @ self._ears_from_neck
        shift = (reading.place - self._place) / self._scale - by_turning[:2]
        return np.clip(np.concatenate([shift, angles]), -_REACH, _REACH)

    def _close(self, gap: float, elapsed: float) -> bool:
        """Whether the eyes are closed, and learn how far they open."""
        self._closed = gap < (_OPEN if self._closed else _CLOSED) * self._open_gap
        seconds = _WIDENS_S if gap > self._open_gap else _SHUT_S if self._closed else _NARROWS_S
        share = min(elapsed / seconds, 1.0) if self._open_gap else 1.0
        self._open_gap += share * (gap - self._open_gap)
        return self._closed


def _rotation(angles: Floats) -> Floats:
    roll, yaw, pitch = angles
    return rotation(HeadPose(roll=roll, yaw=yaw, pitch=pitch))


def _angles(turned: Floats) -> Floats:
    """Roll, yaw and pitch `[3]` of a rotation `[3, 3]`: the inverse of `models.head_motion.rotation`."""
    roll = np.arctan2(-turned[0, 1], turned[1, 1])
    yaw = np.arctan2(turned[2, 0], turned[2, 2])
    pitch = np.arcsin(np.clip(turned[2, 1], -1.0, 1.0))
    return np.array([roll, yaw, pitch])
