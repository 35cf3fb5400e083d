"""Heads that move with speech: only with it, smoothly, the same each time, and never ahead of it."""

import numpy as np
import pytest

from models.head_motion import AT_REST
from models.speech_motion import FRAME_SAMPLES, SpeechMotion, SpeechState


def speech(seconds: float, *, gain: float = 0.3, seed: int = 0) -> np.ndarray:
    """Noise in syllables of 200 ms, ten to a phrase, with pauses of half a second."""
    t = np.arange(int(seconds * 16_000)) / 16_000
    stress = 0.4 + 0.6 * np.random.default_rng(seed).random(len(t) // 3200 + 1)
    envelope = np.sin(np.pi * t / 0.2) ** 2 * stress[(t / 0.2).astype(int)] * ((t % 2.5) < 2.0)
    return (gain * envelope * np.random.default_rng(seed + 1).normal(size=len(t))).astype(np.float32)


def follow(sound: np.ndarray, state: SpeechState | None = None, *, seed: int = 0) -> list[SpeechState]:
    states, motion = [SpeechState() if state is None else state], SpeechMotion(seed)
    for start in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        states.append(motion.step(states[-1], sound[start : start + FRAME_SAMPLES]))
    return states[1:]


def poses(states: list[SpeechState], strength: float = 1.0) -> np.ndarray:
    return np.array([state.pose(strength) for state in states])


def test_silence_moves_nothing():
    states = follow(np.zeros(100 * FRAME_SAMPLES, np.float32))
    assert {state.pose(1.0) for state in states} == {AT_REST}


def test_strength_scales_and_none_is_none():
    states = follow(speech(10))
    np.testing.assert_array_equal(poses(states, 0.0), 0)
    np.testing.assert_allclose(poses(states, 0.5), poses(states) / 2)


def test_the_same_sound_and_seed_move_alike_and_another_seed_otherwise():
    sound = speech(8)
    assert follow(sound) == follow(sound)
    assert np.abs(poses(follow(sound)) - poses(follow(sound, seed=1)))[:, 3].max() > 0.01


def test_in_parts_it_moves_as_in_one_and_does_not_know_the_future():
    sound, cut = speech(8), 70 * FRAME_SAMPLES
    whole = follow(sound)
    first = follow(sound[:cut])
    assert first + follow(sound[cut:], first[-1]) == whole
    assert follow(np.concatenate([sound[:cut], -0.9 * np.ones(cut, np.float32)]))[:70] == first


@pytest.mark.parametrize("gain", [0.05, 0.3, 5.0])
def test_movement_is_that_of_somebody_on_a_call(gain):
    moved = np.degrees(poses(follow(speech(60, gain=gain)))[:, 2:])
    low, high = np.quantile(moved, [0.01, 0.99], axis=0)
    assert np.all(high - low < 8)
    assert (high - low)[2] > 1.5
    assert np.abs(np.diff(moved, axis=0)).max() < 1.0  # degrees from frame to frame
    assert np.abs(moved.mean(0)).max() < 0.5, "no drift from the frame"
    spectrum = np.abs(np.fft.rfft(moved - moved.mean(0), axis=0)) ** 2
    fast = np.fft.rfftfreq(len(moved), 1 / 25) > 4
    assert np.all(spectrum[fast].sum(0) < 0.03 * spectrum.sum(0))


def test_louder_speech_moves_more():
    quiet, loud = (np.abs(poses(follow(speech(40, gain=gain)))).mean() for gain in (0.01, 0.2))
    assert loud > 1.3 * quiet


def test_after_speech_the_head_comes_to_rest():
    states = follow(np.concatenate([speech(6), np.zeros(16_000 * 8, np.float32)]))
    assert states[-1].pose(1.0) == AT_REST
    assert np.abs(np.diff(poses(states[149:]), axis=0)).max() < 0.02
