"""How a head moves: its pose and eyelids frame by frame, while idle, and from one movement to the next."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.mesh import Floats

FPS = 25
EYES_CLOSED = 4
"""The level of closed eyelids; 0 is open."""
_LIDS_FALL, _LIDS_RISE = 2, 1  # levels per frame: eyelids close faster than they open
BLINK_CURVE = (1, 3, 4, 4, 3, 2, 2, 1, 1)
"""Eyelid levels of one blink, frame by frame: 120 ms down and 240 ms up.

Source: VanderWerf et al., "Eyelid movements: behavioral studies of blinking in humans", J. Neurophysiol. 2003.
"""
_PAIRS = 6  # one of so many blinks is followed by another one
_PAIR_FRAMES = len(BLINK_CURVE) + 4
_GLANCE_FRAMES, _GLANCES, _GLANCE_SEED = 75, 3, 7  # eyes leave the viewer in one of so many spans of frames
_MEAN_BLINK_S = 4.0
_FIRST_SPAN = 3  # the first number whose hash lets a film begin with some seconds of open eyes
_FROM_SHOULDERS = 0.8  # an idle head tilts about a point so far below the one in its neck
_REMEMBERED_FRAMES = 64  # more than a playout queue and the look-ahead hold
_JUMP = 0.02  # inter-ocular distances or radians from frame to frame: more than a slow head moves


class HeadPose(NamedTuple):
    """Where a head is, from its place in the still picture, as the viewer sees it.

    The head turns about a point in its neck (`models.head_warp`), and is shifted then.
    """

    right: float = 0.0
    """To the picture's right, inter-ocular distances."""
    down: float = 0.0
    """Inter-ocular distances."""
    roll: float = 0.0
    """Clockwise, radians."""
    yaw: float = 0.0
    """Nose to the picture's right, radians."""
    pitch: float = 0.0
    """Nose down, radians."""


AT_REST = HeadPose()


def rotation(pose: HeadPose) -> Floats:
    """The rotation `[3, 3]` of a pose, x right, y down, z away: yaw first, then pitch, then roll."""
    (cr, cy, cp), (sr, sy, sp) = (f([pose.roll, pose.yaw, pose.pitch]) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (tilt @ nod @ turn).astype(np.float32)


class HeadMotion(Protocol):
    """What moves a head."""

    def at(self, frame: int) -> tuple[HeadPose, int]:
        """Pose and eyelid level (0 open, `EYES_CLOSED`) at a frame number.

        Numbers go up, some are skipped, and after an interrupt they go back to the frame that was shown last.
        """

    def mouth(self, spoken: Floats) -> Floats:
        """The mouth to show at the frame that `at` was last called for: displacement `[478, 3]`.

        Args:
            spoken: What the sound makes of it.
        """


class IdleMotion:
    """An idle head: it sways a little and blinks. Every frame can be computed independently."""

    def at(self, frame: int) -> tuple[HeadPose, int]:
        """Pose and eyelid level at a frame number."""
        return sway(frame), blink_schedule(frame)

    def mouth(self, spoken: Floats) -> Floats:
        """The mouth of the sound."""
        return spoken


def blink_schedule(frame: int) -> int:
    """Which eyelid level frame number `frame` shows (0 = open); irregular, yet reproducible.

    Time is cut into spans of the mean blink interval, and each span holds one blink at a position that
    a hash of its number determines, so that any frame can be computed independently. Now and then people blink twice.
    """
    span = int(_MEAN_BLINK_S * FPS)
    number, position = divmod(frame, span)
    drawn = _scattered(number + _FIRST_SPAN)
    start = drawn % (span - _PAIR_FRAMES - 2 * len(BLINK_CURVE)) + len(BLINK_CURVE) // 2
    step = position - start
    if drawn // span % _PAIRS == 0 and step >= _PAIR_FRAMES:
        step -= _PAIR_FRAMES
    return BLINK_CURVE[step] if 0 <= step < len(BLINK_CURVE) else 0


def glance(frame: int) -> tuple[float, float]:
    """Where idle eyes look at a frame, right and down from the viewer, inter-ocular distances that irises move.

    Eyes rest on the viewer, leave now and then for a moment, and jump there and back. The lids follow a look down.

    Source: Lee, Badler and Badler, "Eyes alive", SIGGRAPH 2002 (eyes jump, stay a while, and come back).
    """
    number, position = divmod(frame, _GLANCE_FRAMES)
    drawn = _scattered(number + _GLANCE_SEED)
    away, length = drawn % _GLANCES == 0, 10 + drawn // 7 % 18
    start = _GLANCE_FRAMES // 3 + drawn // 131 % (_GLANCE_FRAMES // 4)
    if not away or not start <= position < start + length:
        return 0.0, 0.0
    side = 1 if drawn // 17 % 2 else -1
    return side * (0.018 + 0.002 * (drawn // 37 % 10)), 0.004 * (drawn // 61 % 5) - 0.006


def _scattered(number: int) -> int:
    """A hash in 32 bits; a multiplication alone would put successive blinks at nearly equal intervals."""
    mixed = number * 2654435761 & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 15) * 2246822519 & 0xFFFFFFFF
    return mixed ^ mixed >> 13


def follow_lids(level: int, wanted: int, frames: int = 1) -> int:
    """Eyelids on their way from a level towards another one, as many frames of 40 ms later."""
    return min(max(wanted, level - _LIDS_RISE * frames), level + _LIDS_FALL * frames)


def sway(frame: int) -> HeadPose:
    """Head pose at a frame.

    Sums of slow sines with incommensurate periods: smooth, small and without a visible loop. The head turns by a degree
    and a half at the most: enough to separate the head from the background.
    """
    t = frame / FPS
    roll = 0.008 * _wave(t, 8.9, 2.0) + 0.004 * _wave(t, 3.7)
    right = 0.014 * _wave(t, 7.3) + 0.008 * _wave(t, 3.1, 1.0) + _FROM_SHOULDERS * roll
    down = 0.008 * _wave(t, 5.2, 0.5) + 0.005 * _wave(t, 2.3)
    yaw = 0.017 * _wave(t, 6.7, 0.4) + 0.008 * _wave(t, 2.9, 2.5)
    pitch = 0.013 * _wave(t, 5.9, 1.2) + 0.006 * _wave(t, 2.6, 0.3)
    return HeadPose(right, down, roll, yaw, pitch)


def _wave(t: float, period: float, phase: float = 0.0) -> float:
    return math.sin(2 * math.pi * t / period + phase)


class Handover:
    """Blends from one movement to another: starts at the pose on the screen; the remaining offset fades out.

    Pass it every frame's pose, and call `begin` where a movement does not continue the one before.
    """

    def __init__(self) -> None:
        """Nothing shown yet."""
        self._shown: deque[tuple[int, HeadPose]] = deque(maxlen=_REMEMBERED_FRAMES)
        self._offset = np.zeros(5)
        self._begun, self._frames = 0, 1

    def begin(self, frame: int, pose: HeadPose, frames: int) -> None:
        """Follow another movement from `frame` on, where its pose is `pose`; reach it within `frames` frames."""
        while self._shown and self._shown[-1][0] >= frame:
            self._shown.pop()
        if self._shown:
            self._offset = np.subtract(self._shown[-1][1], pose)
            self._begun, self._frames = frame, frames

    def apply(self, frame: int, pose: HeadPose) -> HeadPose:
        """The pose to show at a frame, for the pose that the movement requests."""
        if self._shown and frame <= self._shown[-1][0]:  # an interrupt: continue from the pose shown then
            left = self._left(frame)
            while self._shown and self._shown[-1][0] >= frame:
                self._shown.pop()
            if self._shown and np.abs(np.add(pose, left) - self._shown[-1][1]).max() > _JUMP:
                self.begin(frame, pose, max(self._frames, FPS // 2))
        shown = HeadPose(*(float(value) for value in np.add(pose, self._left(frame))))
        self._shown.append((frame, shown))
        return shown

    def _left(self, frame: int) -> NDArray[np.float64]:
        share = min(max((frame - self._begun) / self._frames, 0.0), 1.0)
        return self._offset * (1 - share * share * (3 - 2 * share))
