"""The speech label: silence, hum and clicks are not speech; syllables are; pauses hold."""

import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import AudioChunk
from stream.pcm.vad import SpeechDetector, VadConfig

RATE = 16_000


def as_chunks(x: np.ndarray) -> list[AudioChunk]:
    audio = np.zeros(1920, np.int16)
    return [AudioChunk(x[k : k + 640].astype(np.float32), audio, k) for k in range(0, len(x) - 639, 640)]


def labels(x: np.ndarray, config: VadConfig | None = None) -> list[bool]:
    detector = SpeechDetector(config)
    return [detector.push(chunk) for chunk in as_chunks(x)]


def vowel(seconds: float, level: float = 0.2) -> np.ndarray:
    """Harmonics of a 120 Hz voice under two formants, with a syllable rhythm of 4 Hz."""
    t = np.arange(int(seconds * RATE)) / RATE
    x = np.zeros_like(t)
    for k in range(1, 30):
        f = 120 * k
        gain = np.exp(-(((f - 700) / 300) ** 2)) + 0.6 * np.exp(-(((f - 1200) / 300) ** 2))
        x += gain * np.sin(2 * np.pi * f * t + k)
    return level * x / np.abs(x).max() * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))


def hum(seconds: float, level: float) -> np.ndarray:
    return level * np.sin(2 * np.pi * 50 * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(2 * RATE),
        np.random.default_rng(0).standard_normal(2 * RATE) * 0.0005,
        hum(2.0, 0.001),
        vowel(2.0, level=0.0005),
    ],
    ids=["silence", "faint noise", "faint hum", "voice below the floor"],
)
def test_quiet_things_are_not_speech(x: np.ndarray) -> None:
    assert not any(labels(x))


def test_a_voice_is_speech_within_200_ms_and_ends_after_the_hang() -> None:
    x = np.concatenate([np.zeros(RATE), vowel(1.0), np.zeros(RATE)])
    spoken = np.flatnonzero(labels(x))
    assert 25 <= spoken[0] <= 30
    # Speech ends at chunk 50; hang-over 400 ms = 10 chunks, webrtcvad adds some of its own.
    assert 58 <= spoken[-1] <= 64
    assert np.all(np.diff(spoken) == 1)


def test_a_pause_shorter_than_the_hang_does_not_split_speech() -> None:
    x = np.concatenate([vowel(0.6), np.zeros(int(0.25 * RATE)), vowel(0.6)])
    spoken = np.flatnonzero(labels(x))
    assert np.all(np.diff(spoken) == 1)


def test_a_single_click_is_not_speech() -> None:
    x = np.zeros(RATE)
    x[8000:8100] = 0.8
    assert not any(labels(x))


def test_reset_makes_it_new() -> None:
    detector = SpeechDetector()
    for chunk in as_chunks(vowel(1.0)):
        detector.push(chunk)
    assert detector.speaking
    detector.reset()
    assert not detector.speaking
    x = np.concatenate([np.zeros(RATE), vowel(1.0)])
    assert [detector.push(chunk) for chunk in as_chunks(x)] == labels(x)


@pytest.mark.parametrize("options", [{"aggressiveness": 4}, {"onset": 5}, {"onset": 0}])
def test_impossible_settings_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(StreamError, match="expected"):
        VadConfig(**options)
