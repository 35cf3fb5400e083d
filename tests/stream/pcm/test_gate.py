"""The noise gate: voices pass untouched, noise goes down, nothing clicks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, AudioChunk
from stream.pcm.gate import NoiseGate


def chunks_of(pcm: np.ndarray) -> list[AudioChunk]:
    audio = np.rint(np.repeat(pcm, 3) * 32767).astype(np.int16)
    cut = [slice(k, k + CHUNK_SAMPLES) for k in range(0, len(pcm), CHUNK_SAMPLES)]
    return [AudioChunk(pcm[s].astype(np.float32), audio[3 * s.start : 3 * s.stop], s.start) for s in cut]


def noise(chunks: int, dbfs: float) -> np.ndarray:
    sound = np.random.default_rng(7).standard_normal(chunks * CHUNK_SAMPLES)
    return np.clip(sound * 10 ** (dbfs / 20), -1, 1).astype(np.float32)


def gains(gate: NoiseGate, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gains that the gate gives to both sounds of a signal that is never zero."""
    fed = chunks_of(levels)
    passed = [gate.push(chunk) for chunk in fed]
    pcm = np.concatenate([out.pcm / chunk.pcm for out, chunk in zip(passed, fed, strict=True)])
    audio = np.concatenate([out.audio / chunk.audio for out, chunk in zip(passed, fed, strict=True)])
    return pcm, audio


def reference(levels: np.ndarray, threshold_db: float) -> np.ndarray:
    """The gain of a whole signal, computed sample by sample with all of it in view."""
    steps = len(levels) // 80
    power = [float(np.mean(levels[80 * k : 80 * k + 80].astype(float) ** 2)) for k in range(steps)]
    wanted, is_open, last_loud = [False] * steps, False, 0
    for k in range(steps):
        if not is_open and power[k] >= 10 ** (threshold_db / 10):
            is_open = True
            for back in range(k - k % 8, k):
                wanted[back] = True
        if power[k] >= 10 ** ((threshold_db - 6) / 10):
            last_loud = k
        is_open = is_open and (k - last_loud) * 5 <= 200
        wanted[k] = is_open
    floor = gain = 0.001
    curve = []
    for sample in range(len(levels)):
        gain += (1 - floor) / 80 if wanted[sample // 80] else -(1 - floor) / 1600
        gain = min(1.0, max(floor, gain))
        curve.append(gain)
    return np.array(curve)


def bursts() -> np.ndarray:
    """Loud and quiet stretches, none of which begins or ends at a chunk."""
    levels = np.full(60 * CHUNK_SAMPLES, 0.002)
    for begin, length, level in ((3000, 2000, 0.2), (7111, 300, 0.02), (14_003, 9000, 0.5), (25_000, 400, 0.004)):
        levels[begin : begin + length] = level
    return levels


def test_cut_into_chunks_equals_the_whole() -> None:
    pcm, _ = gains(NoiseGate(), bursts())
    assert 0.0005 < pcm.min() < 0.0015
    assert pcm.max() == 1.0
    np.testing.assert_allclose(pcm, reference(bursts(), -45.0), atol=1e-4)


def test_an_open_gate_passes_a_voice_bit_for_bit() -> None:
    gate = NoiseGate()
    fed = chunks_of(noise(10, -20))
    passed = [gate.push(chunk) for chunk in fed]
    assert all(out is chunk for out, chunk in zip(passed[1:], fed[1:], strict=True))
    np.testing.assert_array_equal(passed[0].audio[240:], fed[0].audio[240:])


def test_a_late_onset_is_not_cut() -> None:
    levels = np.full(2 * CHUNK_SAMPLES, 1e-5)
    levels[CHUNK_SAMPLES + 300 :] = 0.3
    fed = chunks_of(levels)
    gate = NoiseGate()
    gate.push(fed[0])
    np.testing.assert_array_equal(gate.push(fed[1]).pcm[80:], fed[1].pcm[80:])


@pytest.mark.parametrize(("floor_db", "at_most_db"), [(-60.0, -119.0), (-20.0, -79.0), (-math.inf, -300.0)])
def test_noise_below_the_threshold_goes_down(floor_db: float, at_most_db: float) -> None:
    gate = NoiseGate(floor_db=floor_db)
    passed = np.concatenate([gate.push(chunk).pcm for chunk in chunks_of(noise(10, -60))])
    assert not gate.is_open
    assert 10 * math.log10(np.mean(passed.astype(float) ** 2) + 1e-31) < at_most_db


def test_a_voice_that_sinks_by_less_than_the_hysteresis_stays() -> None:
    gate = NoiseGate(-45)
    levels = np.concatenate([np.full(CHUNK_SAMPLES, 0.01), np.full(40 * CHUNK_SAMPLES, 10 ** (-50 / 20))])
    assert all([gate.push(chunk) and gate.is_open for chunk in chunks_of(levels)])
    fresh = NoiseGate(-45)
    assert not any([fresh.push(chunk) and fresh.is_open for chunk in chunks_of(levels)[1:]])


def test_the_gain_never_jumps_and_is_the_same_for_both_sounds() -> None:
    pcm, audio = gains(NoiseGate(floor_db=-30), np.maximum(bursts(), 0.02) * 0.5)
    assert pcm.max() == 1.0
    assert np.abs(np.diff(pcm)).max() <= 1 / 80 + 1e-4
    assert audio[2::3] == pytest.approx(pcm, abs=0.005)  # int16 rounds faint samples
    whole = NoiseGate(floor_db=-30)
    loud = np.concatenate([np.full(CHUNK_SAMPLES, 0.5), np.full(16_000, 1e-9)])
    fed = [AudioChunk(c.pcm, np.full(1920, 30_000, np.int16), c.pts) for c in chunks_of(loud)]
    curve = np.concatenate([whole.push(chunk).audio for chunk in fed]) / 30_000
    assert curve.min() < 0.04
    assert np.abs(np.diff(curve)).max() <= 1 / 240 + 1e-4


def test_reset_equals_fresh_and_two_gates_do_not_touch() -> None:
    used, other = NoiseGate(), NoiseGate()
    for chunk in chunks_of(noise(5, -20)):
        used.push(chunk)
    used.reset()
    fed = chunks_of(bursts())
    for chunk in fed:
        np.testing.assert_array_equal(used.push(chunk).audio, other.push(chunk).audio)


@pytest.mark.parametrize("wrong", [{"threshold_db": 3}, {"hold_ms": -1}, {"release_ms": 0}, {"floor_db": 1.0}])
def test_wrong_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(StreamError, match="expected"):
        NoiseGate(**wrong)  # type: ignore[arg-type]
