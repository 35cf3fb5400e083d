"""What was played of each utterance, computed from ticks."""

from __future__ import annotations

import numpy as np
import pytest

from stream.media import CHUNK_SAMPLES
from stream.playout.playout import TICK_PLAYOUT_SAMPLES, TICK_SAMPLES, Tick
from stream.playout.progress import PlaybackEvent, Progress, WordBegins
from stream.playout.speech import SpeechQueue
from stream.wire import MarkReached, Playback, SpeakEnded, SpeakStarted, Word

QUIET = np.zeros(TICK_PLAYOUT_SAMPLES, np.int16)


class Stage:
    """A queue, a playout that plays at once, and the story of it."""

    def __init__(self) -> None:
        self.queue = SpeechQueue()
        self.progress = Progress()
        self.pts = self.time = 0
        self.told: list[PlaybackEvent] = []

    def say(self, name: str, length_ms: int, end: bool = True) -> None:
        self.queue.push(np.ones(16 * length_ms, np.int16), 16_000, name)
        if end:
            self.queue.end(name)

    def expect(self) -> list[int]:
        """Hand all that waits to the progress, as rendering does; returns its places."""
        places = []
        while (speech := self.queue.take()) is not None:
            self.progress.expect(self.pts, speech)
            places.append(self.pts)
            self.pts += CHUNK_SAMPLES
        return places

    def tick(self, source_pts: int | None) -> list[PlaybackEvent]:
        told = self.progress.follow(Tick(self.time, QUIET, source_pts))
        self.time += TICK_SAMPLES
        self.told += told
        return told

    def play(self, places: list[int]) -> None:
        for pts in places:
            self.tick(pts)
            self.tick(pts + TICK_SAMPLES)


def test_one_utterance_from_beginning_to_end() -> None:
    stage = Stage()
    stage.say("a", 500)
    places = stage.expect()
    assert stage.progress.pending
    assert not stage.progress.speaking
    stage.play(places)
    assert stage.told == [
        SpeakStarted("a"),
        Playback("a", 200),
        Playback("a", 400),
        SpeakEnded("a", 500),
    ]
    assert not stage.progress.pending


def test_silence_is_no_speech() -> None:
    stage = Stage()
    assert not stage.tick(None)
    assert not stage.tick(64_000)
    assert not stage.progress.pending


def test_the_end_is_told_when_it_is_known() -> None:
    stage = Stage()
    stage.say("a", 80, end=False)
    stage.say("a", 10, end=False)  # the resampling filter's millisecond
    stage.play(stage.expect())
    assert stage.told == [SpeakStarted("a")]
    stage.queue.end("a")
    stage.play(stage.expect())
    assert stage.told[1:] == [SpeakEnded("a", 90)]


def test_the_next_utterance_ends_the_one_before() -> None:
    stage = Stage()
    stage.say("a", 40)
    stage.say("b", 40)
    stage.play(stage.expect())
    assert stage.told == [SpeakStarted("a"), SpeakEnded("a", 40), SpeakStarted("b"), SpeakEnded("b", 40)]


def test_marks_and_words_come_at_their_places() -> None:
    stage = Stage()
    stage.say("a", 100, end=False)
    utterance = stage.queue.recent()
    assert utterance is not None
    utterance.marks.append((utterance.received_ms, "here"))
    stage.queue.add_words([Word("one", 0, 40), Word("two", 50, 90)], "a")
    stage.say("a", 60)
    times: dict[object, int] = {}
    for pts in stage.expect():
        for part in (0, TICK_SAMPLES):
            for event in stage.tick(pts + part):
                times[event] = stage.time - TICK_SAMPLES
    assert times[MarkReached("here", 100)] == 4 * TICK_SAMPLES  # the tick that plays 80..100 ms
    assert WordBegins(Word("one", 0, 40), 0) in times
    assert WordBegins(Word("two", 50, 90), 800) in times  # 50 ms after time 0
    assert times[WordBegins(Word("two", 50, 90), 800)] == 2 * TICK_SAMPLES


@pytest.mark.parametrize(("late_ms", "heard_ms"), [(0, 180), (60, 120), (100, 80), (500, 0)])
def test_an_interrupt_knows_what_the_ear_had_heard(late_ms: int, heard_ms: int) -> None:
    stage = Stage()
    stage.say("a", 1000)
    places = stage.expect()
    stage.play(places[:4])
    stage.tick(places[4])
    last = stage.time - TICK_SAMPLES
    assert stage.progress.interrupt(last - 16 * late_ms) == ("a", heard_ms)
    assert not stage.progress.pending
    assert not stage.tick(places[4] + TICK_SAMPLES), "what was forgotten tells nothing"


def test_what_was_heard_of_an_earlier_one_of_the_same_name_does_not_count() -> None:
    stage = Stage()
    stage.say("a", 400)
    stage.play(stage.expect())
    stage.queue.begin("a")
    stage.say("a", 400)
    stage.tick(stage.expect()[0])
    assert stage.progress.interrupt(stage.time - 16 * 200) == ("a", 0.0)


def test_interrupt_before_the_first_sound_and_with_nothing_said() -> None:
    stage = Stage()
    assert stage.progress.interrupt(0) == (None, 0.0)
    stage.say("a", 100)
    stage.expect()
    assert stage.progress.is_saying("a")
    assert stage.progress.interrupt(0) == ("a", 0.0)


def test_chunks_that_were_left_out_are_passed_over() -> None:
    stage = Stage()
    stage.say("a", 160)
    places = stage.expect()
    stage.play([places[0], places[3]])
    assert stage.told == [SpeakStarted("a"), SpeakEnded("a", 160)]
