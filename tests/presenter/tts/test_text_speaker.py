"""Texts said in a live session: longer than what may wait, one after the other, and ended."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from presenter.bench.sync_test import SyncTestRenderer
from presenter.errors import PresenterError
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from presenter.tts.text_speaker import SpeechSynthesizer, TextSpeaker
from presenter.tts.voice import SpokenPiece
from stream.clock import SessionClock
from stream.playout.playout import Playout
from stream.playout.progress import WordBegins
from stream.playout.pump import PlayoutPump
from stream.wire import SpeakEnded, SpeakStarted

FOX = "The quick brown fox jumps over the lazy dog, and then it sleeps."


class Broken(SpeechSynthesizer):
    """A synthesizer that fails at the first sentence."""

    async def next_piece(self, pieces: object) -> SpokenPiece | None:
        raise PresenterError("no sound comes out")


async def told_of(texts: list[str], synthesizer: SpeechSynthesizer, limit_ms: float) -> list[SessionEvent]:
    """Say texts in a session that holds so much speech, and return the events until all have ended."""
    pump = PlayoutPump(Playout(), SessionClock())
    session = Session(SyncTestRenderer(), pump, ThreadPoolExecutor(1), Metrics(), limit_ms)
    told: list[SessionEvent] = []
    session.subscribe(told.append)
    session.start()
    speaker = TextSpeaker(session, synthesizer)
    try:
        for text in texts:
            await speaker.say(text)
        async with asyncio.timeout(40):
            while sum(isinstance(event, SpeakEnded) for event in told) < len(texts):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        speaker.stop()
        await session.close()
        synthesizer.close()
    return told


def test_a_sentence_longer_than_what_may_wait_is_said_whole_and_the_next_one_too() -> None:
    told = asyncio.run(told_of([FOX, "Good morning."], SpeechSynthesizer(), limit_ms=600))
    first, second = (event for event in told if isinstance(event, SpeakEnded))
    assert first.played_ms > 2000
    assert second.played_ms > 400
    words = [event.word.text for event in told if isinstance(event, WordBegins)]
    assert words[0] == "The"
    assert len(words) == 15
    starts = [k for k, event in enumerate(told) if isinstance(event, SpeakStarted)]
    ends = [k for k, event in enumerate(told) if isinstance(event, SpeakEnded)]
    assert starts[0] < ends[0] < starts[1] < ends[1]


def test_a_text_that_can_not_be_made_ends_as_well(caplog: pytest.LogCaptureFixture) -> None:
    told = asyncio.run(told_of([FOX], Broken(), limit_ms=60_000))
    assert [event.played_ms for event in told if isinstance(event, SpeakEnded)] == [0]
    assert "could not be said to its end" in caplog.text
