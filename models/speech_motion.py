"""How a head moves with what it says: small nods and turns, driven by the loudness of the speech, causally.

A nod is a damped oscillator that rising loudness drives, so that it coincides with stressed syllables; turns and
tilts move to a target that is drawn for each phrase. Without sound everything returns to rest exactly.

Sources: Munhall et al., "Visual prosody and speech intelligibility", 2004 (head motion correlates with loudness and
pitch); Hadar et al., "Head movement correlates of juncture and stress", 1983 (0.2 to 5 Hz, larger at stressed words).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.head_motion import FPS, HeadPose
from models.mesh import Floats

FRAME_SAMPLES = 640  # 40 ms at 16 kHz
_QUIET_DBFS, _LOUD_DBFS = -45.0, -18.0
_SYLLABLE_S, _PHRASE_S = 0.08, 0.5  # time constants of the two loudness followers
_NOD_HZ, _NOD_DAMPING = 1.2, 0.7
_TURN_HZ = 0.45
_NOD, _TURN, _TILT = (math.radians(value) for value in (7.0, 3.6, 2.0))
_NECK = 0.35  # inter-ocular distances that a head goes to the side or down per radian
_PHRASE_FRAMES = round(1.6 * FPS)  # a longer phrase has several places
_SPEAKING = 0.25
_STILL = 1e-5


class SpeechState(NamedTuple):
    """What is kept from frame to frame."""

    syllable: float = 0.0
    """Loudness, 0 to 1, followed fast."""
    phrase: float = 0.0
    """The same, followed slowly."""
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Roll, yaw and pitch, radians, at full strength."""
    speeds: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of the angles, radians per second."""
    goal: tuple[float, float] = (0.0, 0.0)
    """Where roll and yaw go in this phrase, -1 to 1."""
    phrases: int = 0
    since: int = 0
    """Frames since the goal was drawn."""

    def pose(self, strength: float) -> HeadPose:
        """How far speech moves the head, for a strength of 0 (not at all) to 1."""
        roll, yaw, pitch = (strength * angle for angle in self.angles)
        return HeadPose(_NECK * (yaw + roll), _NECK * pitch, roll, yaw, pitch)


class SpeechMotion:
    """Moves a head with speech; the same for the same sound and seed.

    Args:
        seed: Determines the targets of phrases.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def step(self, state: SpeechState, pcm: Floats) -> SpeechState:
        """Advance by one frame.

        Args:
            state: Of the frame before; `SpeechState()` for the first.
            pcm: Its sound `[640]`, 16 kHz, -1 to 1.
        """
        loud = _loudness(pcm)
        syllable = state.syllable + (loud - state.syllable) * _share(_SYLLABLE_S)
        phrase = state.phrase + (loud - state.phrase) * _share(_PHRASE_S)
        goal, phrases, since = state.goal, state.phrases, state.since + 1
        begins = phrase > _SPEAKING >= state.phrase
        if begins or (phrase > _SPEAKING and since >= _PHRASE_FRAMES and syllable > phrase):
            goal, phrases, since = self._goal(phrases), phrases + 1, 0
        targets = (_TILT * goal[0] * phrase, _TURN * goal[1] * phrase, _NOD * (syllable - phrase))
        roll, turn = (_spring(state, axis, targets[axis], _TURN_HZ, 1.0) for axis in (0, 1))
        nod = _spring(state, 2, targets[2], _NOD_HZ, _NOD_DAMPING)
        moving = (roll, turn, nod)
        if loud == 0 and max(abs(value) for one in moving for value in one) < _STILL and phrase < _STILL:
            return SpeechState(phrases=phrases, since=since)
        angles, speeds = zip(*moving, strict=True)
        return SpeechState(syllable, phrase, angles, speeds, goal, phrases, since)

    def _goal(self, number: int) -> tuple[float, float]:
        """Roll and yaw of a phrase: to the other side than the one before, by an amount from a hash."""
        rng = np.random.default_rng((self._seed, number))
        side = 1 if (number + self._seed) % 2 else -1
        return float(rng.uniform(-1, 1)), side * float(rng.uniform(0.3, 1))


def _loudness(pcm: Floats) -> float:
    """0 for silence to 1 for loud speech."""
    level = 20 * math.log10(float(np.sqrt(np.mean(np.square(pcm)))) + 1e-9)
    return min(max((level - _QUIET_DBFS) / (_LOUD_DBFS - _QUIET_DBFS), 0.0), 1.0)


def _share(seconds: float) -> float:
    """The share of its distance that a first-order filter of this time constant covers in a frame."""
    return 1 - math.exp(-1 / (FPS * seconds))


def _spring(state: SpeechState, axis: int, target: float, hertz: float, damping: float) -> tuple[float, float]:
    """Angle and speed of an oscillator a frame later; semi-implicit Euler, stable at these frequencies."""
    omega = 2 * math.pi * hertz
    push = omega * omega * (target - state.angles[axis]) - 2 * damping * omega * state.speeds[axis]
    speed = state.speeds[axis] + push / FPS
    return state.angles[axis] + speed / FPS, speed
