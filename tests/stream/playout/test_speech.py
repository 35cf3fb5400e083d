"""Speech that arrives faster than real time: order, bounds, places, interruption. No clock, no I/O."""

from __future__ import annotations

import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES
from stream.pcm.chunker import Chunker
from stream.playout.speech import SpeechChunk, SpeechFullError, SpeechQueue
from stream.wire import Word


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9000, 9000, count).astype(np.int16)


def take_all(queue: SpeechQueue) -> list[SpeechChunk]:
    chunks = []
    while (chunk := queue.take()) is not None:
        chunks.append(chunk)
    return chunks


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("pieces", [[1, 2, 3, 997], [4000], [160] * 9, [5000, 1, 7000, 3]])
def test_pieces_of_any_size_equal_the_whole(rate: int, pieces: list[int]) -> None:
    audio = noise(rate)
    queue = SpeechQueue()
    at = k = 0
    while at < len(audio):
        queue.push(audio[at : at + pieces[k % len(pieces)]], rate)
        at, k = at + pieces[k % len(pieces)], k + 1
        if k % 5 == 0:
            queue.has(1)  # looking changes nothing
    queue.end()
    taken = take_all(queue)
    chunker = Chunker()
    whole = chunker.push(audio, rate) + chunker.flush()
    assert len(taken) == len(whole) == 25
    for got, wanted in zip(taken, whole, strict=True):
        assert np.array_equal(got.chunk.audio, wanted.audio)
        assert np.array_equal(got.chunk.pcm, wanted.pcm)


def test_places_and_lengths_add_up() -> None:
    queue = SpeechQueue()
    queue.push(noise(24_000 // 10), 24_000, "a")  # 100 ms: two chunks and a half
    queue.end("a")
    queue.push(noise(24_000 // 25), 24_000, "b")
    queue.end("b")
    taken = take_all(queue)
    assert [(c.utterance.id, c.start_ms, c.length_ms) for c in taken] == [
        ("a", 0, 40),
        ("a", 40, 40),
        ("a", 80, 20),
        ("b", 0, 40),
    ]
    assert all(chunk.utterance.given_out for chunk in taken)
    assert not taken[2].chunk.audio[PLAYOUT_SAMPLES // 2 + 48 :].any(), "filled up with silence"
    assert taken[0].chunk.pcm.shape == (CHUNK_SAMPLES,)
    assert queue.buffered_ms == 0


def test_stereo_is_averaged() -> None:
    left, right = noise(4800, 1), noise(4800, 2)
    queue = SpeechQueue()
    queue.push(np.stack([left, right], 1), 48_000)
    queue.end()
    audio = np.concatenate([chunk.chunk.audio for chunk in take_all(queue)])[:4800]
    assert np.abs(audio - (left.astype(int) + right) / 2).max() <= 1


def test_what_does_not_fit_is_refused_whole_and_credit_tells() -> None:
    queue = SpeechQueue(limit_ms=1000)
    queue.push(noise(16_000 * 8 // 10), 16_000)
    assert queue.free_ms == 200
    with pytest.raises(SpeechFullError, match="at most 200 ms"):
        queue.push(noise(16_000 * 3 // 10), 16_000)
    assert queue.buffered_ms == 800
    queue.push(noise(16_000 * 2 // 10), 16_000)
    assert queue.free_ms == 0
    assert queue.take() is not None
    assert queue.free_ms == 40


def test_has_looks_ahead_without_taking() -> None:
    queue = SpeechQueue()
    queue.push(noise(16_000 * 3 // 25), 16_000)
    assert queue.has(2)
    assert not queue.has(4)
    queue.push(noise(160), 16_000)
    assert queue.has(3), "the filter has its millisecond past the third"
    assert queue.buffered_ms == 130


def test_unended_utterance_waits_and_the_next_one_ends_it() -> None:
    queue = SpeechQueue()
    queue.push(noise(1000), 16_000, "a")
    assert len(take_all(queue)) == 1
    assert queue.open
    queue.push(noise(640), 16_000, "b")
    taken = take_all(queue)
    assert [chunk.utterance.id for chunk in taken][0] == "a"
    assert taken[0].length_ms == pytest.approx(22.5)
    queue.end()
    assert [chunk.utterance.id for chunk in take_all(queue)][-1] == "b"
    assert not queue.open


def test_flush_lets_go_of_the_rest_and_sound_may_follow() -> None:
    queue = SpeechQueue()
    queue.push(noise(300), 16_000, "a")
    assert queue.take() is None
    queue.flush()
    queue.flush()
    first = queue.take()
    assert first is not None
    assert first.length_ms == pytest.approx(18.75)
    assert queue.take() is None
    queue.push(noise(1300), 16_000, "a")
    second = queue.take()
    assert second is not None
    assert second.start_ms == pytest.approx(18.75)
    queue.end("a")
    assert sum(chunk.length_ms for chunk in take_all(queue)) + 58.75 == pytest.approx(100)


def test_clear_ignores_what_was_on_its_way() -> None:
    queue = SpeechQueue()
    queue.push(noise(16_000), 16_000, "a")
    queue.push(noise(16_000), 16_000, "b")
    queue.take()
    queue.clear()
    assert queue.take() is None
    queue.push(noise(16_000), 16_000, "a")
    queue.push(noise(16_000), 16_000, "b")
    queue.end("a")
    assert queue.buffered_ms == 0
    queue.push(noise(640), 16_000, "c")
    queue.end("c")
    assert [chunk.utterance.id for chunk in take_all(queue)] == ["c"]


def test_drop_takes_one_away() -> None:
    queue = SpeechQueue()
    for name in "abc":
        queue.push(noise(640), 16_000, name)
        queue.end(name)
    queue.drop("b")
    queue.drop("d")  # nothing of it has come yet
    queue.push(noise(640), 16_000, "d")
    queue.push(noise(640), 16_000, "b")
    assert [chunk.utterance.id for chunk in take_all(queue)] == ["a", "c"]


def test_a_name_may_begin_anew_after_an_interrupt() -> None:
    queue = SpeechQueue()
    queue.push(noise(640), 16_000, "a")
    queue.clear()
    queue.begin("a")
    queue.push(noise(640), 16_000, "a")
    queue.end("a")
    assert [(chunk.utterance.id, chunk.start_ms) for chunk in take_all(queue)] == [("a", 0)]


def test_an_utterance_that_was_given_up_goes_on_where_it_was() -> None:
    queue = SpeechQueue()
    queue.push(noise(1280), 16_000, "a")
    queue.end("a")
    take_all(queue)
    queue.push(noise(640), 16_000, "a")
    queue.end("a")
    [chunk] = take_all(queue)
    assert (chunk.start_ms, chunk.length_ms, chunk.utterance.received_ms) == (80, 40, 120)


def test_names_are_given_where_none_came() -> None:
    queue = SpeechQueue()
    queue.push(noise(640), 16_000)
    queue.push(noise(640), 16_000)
    queue.end()
    queue.push(noise(640), 16_000)
    queue.end()
    names = [chunk.utterance.id for chunk in take_all(queue)]
    assert names[0] == names[1] != names[2]


def test_words_reach_an_utterance_that_was_taken_already() -> None:
    queue = SpeechQueue()
    queue.push(noise(640), 16_000, "a")
    queue.end("a")
    taken = take_all(queue)
    queue.add_words([Word("late", 0, 30)], "a")
    queue.add_words([Word("lost", 0, 30)], "unknown")
    assert [word.text for word in taken[0].utterance.words] == ["late"]


@pytest.mark.parametrize(
    ("pcm", "rate", "text"),
    [
        (np.zeros(10, np.float32), 16_000, "int16"),
        (np.zeros((10, 3), np.int16), 16_000, r"\[N, 2\]"),
        (np.zeros((1, 1, 1), np.int16), 16_000, r"\[N\]"),
        (np.zeros(10, np.int16), 7999, "8000"),
        (np.zeros(10, np.int16), 200_000, "192000"),
    ],
)
def test_bad_sound_says_what_was_expected(pcm: np.ndarray, rate: int, text: str) -> None:
    with pytest.raises(StreamError, match=text):
        SpeechQueue().push(pcm, rate)


def test_a_change_of_rate_within_an_utterance_is_refused() -> None:
    queue = SpeechQueue()
    queue.push(noise(640), 16_000, "a")
    with pytest.raises(StreamError, match="16000 Hz as before"):
        queue.push(noise(640), 24_000, "a")
    assert queue.buffered_ms == 40


def test_an_utterance_without_sound_begins_and_ends_in_its_turn() -> None:
    queue = SpeechQueue()
    queue.push(noise(640), 16_000, "a")
    queue.begin("b")
    queue.end("b")
    queue.push(noise(640), 16_000, "a")  # it goes on, for nothing of another one has come
    queue.end("a")
    queue.push(noise(0), 16_000, "c")
    queue.end("c")
    queue.push(noise(1), 48_000, "d")  # less than one sample at 16 kHz
    queue.end("d")
    empty = queue.recent("b")
    assert empty is not None
    assert not empty.given_out
    taken = take_all(queue)
    assert [chunk.utterance.id for chunk in taken] == ["a", "a", "b", "c", "d"]
    assert [chunk.length_ms for chunk in taken[2:4]] == [0, 0]
    assert not taken[2].chunk.audio.any()
    assert all(chunk.utterance.given_out for chunk in taken)
    assert queue.take() is None


def test_ends_that_say_nothing_new_are_ignored() -> None:
    queue = SpeechQueue()
    queue.end()
    queue.begin("never ended")
    queue.push(noise(640), 16_000, "a")
    queue.end("a")
    queue.end("a")
    assert len(take_all(queue)) == 1
    queue.end("a")
    queue.push(noise(640), 16_000, "b")
    queue.clear()
    queue.end("b")
    assert take_all(queue) == []


def test_questions_change_nothing() -> None:
    queue = SpeechQueue()
    queue.push(noise(300), 16_000, "a")
    for _ in range(3):
        assert queue.open
        assert not queue.has(1)
        assert queue.buffered_ms == pytest.approx(18.75)
        assert queue.recent("a") is not None
    queue.push(noise(700), 16_000, "a")
    assert queue.has(1)
    (chunk,) = take_all(queue)
    assert chunk.length_ms == 40
    assert queue.open
