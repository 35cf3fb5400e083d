"""What is rendered next: order, stalls, fillers. No clock, no threads."""

from __future__ import annotations

import numpy as np
import pytest

from presenter.runtime.microphone import MAX_BACKLOG_MS, MicrophoneQueue
from presenter.runtime.sources import GIVEN_UP_MS, STALLED_MS, Sources, Work
from stream.media import CHUNK_SAMPLES, AudioChunk, silence
from stream.playout.speech import SpeechQueue


class Bench:
    """Sources of which one thing is taken per chunk of time, and nothing is ever held ready."""

    def __init__(self) -> None:
        self.speech = SpeechQueue()
        self.microphone = MicrophoneQueue()
        self.sources = Sources(self.speech, self.microphone, look_ahead=2)
        self.now = 0

    def choose(self, queued_ms: float = 0.0) -> Work | None:
        self.now += CHUNK_SAMPLES
        return self.sources.choose(self.now, queued_ms, 10.0)

    def pause(self, length_ms: float) -> None:
        """Let silence pass, as without speech."""
        for _ in range(int(length_ms / 40)):
            work = self.choose()
            assert work is not None
            assert work.speech is None


def sound(length_ms: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-9000, 9000, 16 * length_ms).astype(np.int16)


def loud(k: int) -> AudioChunk:
    return AudioChunk(np.full(640, 0.2, np.float32), np.full(1920, 5000, np.int16), k * CHUNK_SAMPLES)


def test_speech_comes_first_then_the_microphone_then_silence() -> None:
    bench = Bench()
    bench.microphone.push(loud(0), 0)
    bench.speech.push(sound(40), 16_000, "a")
    bench.speech.end("a")
    first = bench.choose()
    assert first is not None
    assert first.speech is not None
    assert bench.microphone.waiting_ms == 0, "what was said meanwhile is not said afterwards"
    bench.microphone.push(loud(1), bench.now)
    second = bench.choose()
    assert second is not None
    assert second.arrived is not None
    assert bench.choose(queued_ms=20) is None, "the next one may still come"
    bench.now += 2 * CHUNK_SAMPLES
    bench.pause(400)


def test_a_pause_before_an_utterance_is_not_taken_for_a_stall_within_it() -> None:
    """Speech in pieces of 20 ms after long idling: the first piece alone does not make a chunk."""
    bench = Bench()
    bench.pause(10_000)
    bench.speech.push(sound(20), 16_000, "a")
    for _ in range(3):
        assert bench.choose(queued_ms=60) is None, "there is time to wait for the rest"
    assert bench.speech.open
    bench.speech.push(sound(40), 16_000, "a")
    work = bench.choose()
    assert work is not None
    assert work.speech is not None
    assert work.speech.length_ms == 40, "no hole"


def test_what_an_utterance_that_stalls_has_sent_is_said_and_later_it_is_over() -> None:
    bench = Bench()
    bench.speech.push(sound(60), 16_000, "a")
    work = bench.choose()
    assert work is not None
    assert work.speech is not None
    bench.pause(STALLED_MS)
    work = bench.choose()
    assert work is not None
    assert work.speech is not None
    assert work.speech.length_ms == pytest.approx(20)
    assert bench.speech.open
    bench.pause(GIVEN_UP_MS)
    bench.choose()
    assert not bench.speech.open


def test_whether_silence_is_due_can_be_asked_any_number_of_times() -> None:
    bench = Bench()
    bench.speech.push(sound(60), 16_000, "a")
    while bench.choose() is not None and bench.speech.buffered_ms:
        pass  # all that was sent is said
    bench.pause(GIVEN_UP_MS)
    for _ in range(3):
        assert bench.sources._is_filler_due(bench.now, 0.0, 10.0)
        assert bench.speech.open
    bench.choose()
    assert not bench.speech.open


def test_a_microphone_that_is_not_rendered_loses_the_oldest_and_drops_pauses() -> None:
    queue = MicrophoneQueue()
    for k in range(MAX_BACKLOG_MS // 40 + 5):
        queue.push(loud(k), 0)
    assert queue.lost_ms == 200
    taken = queue.take()
    assert taken is not None
    assert taken[0].pts == 5 * CHUNK_SAMPLES
    queue.clear()
    for _ in range(10):
        queue.push(silence(0), 0)
    queue.take()
    assert queue.trimmed_ms == 280, "all but what waits when it keeps up"
