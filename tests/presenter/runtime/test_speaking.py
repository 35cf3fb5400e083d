"""Speech ahead of time in a live session: it starts soon, sounds whole, and stops at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import Session
from presenter.runtime.sink import Flush, SessionEvent
from stream.clock import SessionClock, ms
from stream.media import PLAYOUT_RATE, AudioChunk
from stream.playout.playout import TICK_SAMPLES, Playout, Tick
from stream.playout.pump import PlayoutPump
from stream.wire import Interrupted, MarkReached, SpeakEnded, SpeakStarted, StateChanged

pytestmark = pytest.mark.usefixtures("light_rendering")
Scenario = Callable[["Stage"], Awaitable[None]]


class Stage(Session):
    """A session that keeps all its output and events."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.ticks: list[Tick] = []
        self.told: list[tuple[int, SessionEvent]] = []
        renderer = engine.renderer(IdentityStore(folder).load(DEFAULT))
        self.play = PlayoutPump(Playout(), SessionClock())
        super().__init__(renderer, self.play, ThreadPoolExecutor(1), Metrics(), 60_000)
        self.play.observe(self.ticks.append)
        self.subscribe(lambda event: self.told.append((self.play.clock.now(), event)))

    def say(self, audio: np.ndarray, name: str = "a", end: bool = True) -> None:
        self.push(audio, PLAYOUT_RATE, name)
        if end:
            self.end(name)

    def audio(self) -> np.ndarray:
        return np.concatenate([tick.audio for tick in self.ticks])

    def events(self, kind: type) -> list[SessionEvent]:
        return [event for _, event in self.told if isinstance(event, kind)]

    async def plays(self, lowest: int) -> None:
        """Wait until a sample this low is heard."""
        async with asyncio.timeout(10):
            while not self.ticks or self.audio().min() != lowest:  # noqa: ASYNC110  ticks come by the clock
                await asyncio.sleep(0.02)

    async def until(self, kind: type, count: int = 1, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.events(kind)) < count:  # noqa: ASYNC110  the list only grows
                await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(load_config("tiny"))


@pytest.fixture
def play(engine: Engine, tmp_path: Path) -> Callable[[Scenario], Stage]:
    def run(scenario: Scenario) -> Stage:
        async def inner() -> Stage:
            stage = Stage(engine, tmp_path)
            try:
                stage.start()
                await asyncio.sleep(0.6)
                await scenario(stage)
                assert not stage.failed
                return stage
            finally:
                await stage.close()

        return asyncio.run(asyncio.wait_for(inner(), 60))

    return run


def ramp(length_ms: int) -> np.ndarray:
    """A loud voice whose samples say where they are from."""
    return (np.arange(48 * length_ms) % 15_000 + 5000).astype(np.int16)


def test_speech_that_comes_at_once_is_heard_whole_in_step_and_told(play: Callable[[Scenario], Stage]) -> None:
    audio = ramp(1500)

    async def scenario(stage: Stage) -> None:
        stage.say(audio)
        stage.mark("end")
        await stage.until(SpeakEnded)
        await asyncio.sleep(0.2)

    stage = play(scenario)
    heard = stage.audio()
    # A loaded machine may leave a gap, which is silent; nothing else may differ.
    assert np.array_equal(heard[heard > 0], audio), "no repetition, no cut"
    print(f"\nholes: {stage.stats()['underruns']}")
    assert stage.events(SpeakStarted) == [SpeakStarted("a")]
    assert stage.events(SpeakEnded) == [SpeakEnded("a", 1500)]
    assert stage.events(MarkReached) == [MarkReached("end", 1500)]
    states = [event.state for event in stage.events(StateChanged) if isinstance(event, StateChanged)]
    assert states == ["speaking", "idle"]
    for tick in stage.ticks:
        if tick.frame is not None and tick.audio.any() and tick.source_pts is not None:
            assert tick.frame.pts in (tick.source_pts, tick.source_pts - TICK_SAMPLES)


def test_the_future_that_is_there_is_not_waited_for(play: Callable[[Scenario], Stage]) -> None:
    """The same words at once and in real time: at once they start earlier by the look-ahead and more."""

    async def at_once(stage: Stage) -> None:
        stage.say(ramp(600))
        await stage.until(SpeakStarted)

    async def in_real_time(stage: Stage) -> None:
        audio = ramp(600)
        start = asyncio.get_running_loop().time()
        for k in range(30):
            stage.say(audio[k * 960 : (k + 1) * 960], end=k == 29)
            await asyncio.sleep(max(0.0, start + (k + 1) * 0.02 - asyncio.get_running_loop().time()))
        await stage.until(SpeakEnded)

    def waited_ms(scenario: Scenario) -> float:
        asked: list[int] = []

        async def timed(stage: Stage) -> None:
            asked.append(stage.play.clock.now())
            await scenario(stage)

        stage = play(timed)
        started = next(time for time, event in stage.told if isinstance(event, SpeakStarted))
        return ms(started - asked[0])

    # The best of three: a machine with other things to do is late by chance.
    early, late = (min(waited_ms(scenario) for _ in range(3)) for scenario in (at_once, in_real_time))
    print(f"\nfirst sound after {early:.0f} ms at once, {late:.0f} ms in real time")
    assert early < late - 60


def test_interrupt_silences_at_once_and_is_told(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(12_000))
        async with asyncio.timeout(10):
            while stage.play.queued_ms < 300:  # noqa: ASYNC110  rendered ahead, sooner or later
                await asyncio.sleep(0.02)
        before = stage.play.clock.now()
        event = stage.interrupt()
        stage.say(ramp(500), end=False)  # of the same utterance: it was on its way
        await asyncio.sleep(0.6)
        late = [tick for tick in stage.ticks if tick.time > before + 2 * TICK_SAMPLES and tick.audio.any()]
        assert not late
        heard = stage.audio()
        first = int(np.argmax(heard > 0))
        played_ms = len(np.flatnonzero(heard[first:])) / 48
        assert event.utterance == "a"
        assert abs(event.played_ms - played_ms) <= 20
        assert stage.events(Interrupted) == [event]
        assert len(stage.events(Flush)) == 1
        frames = [tick for tick in stage.ticks if tick.frame is not None and tick.time > before]
        assert len(frames) >= 5, "the presenter lives on"
        first_ms, closed_ms = (ms(frames[k].time - before) for k in (0, 1))
        print(f"\nfirst closing frame after {first_ms:.0f} ms, closed after {closed_ms:.0f} ms")
        assert closed_ms < 400
        stage.say(ramp(200), "b")
        await stage.until(SpeakEnded)
        assert stage.events(SpeakEnded) == [SpeakEnded("b", 200)]

    play(scenario)


def test_an_interrupt_counts_what_the_ear_has_heard(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.playout_delay_ms = 100
        stage.say(ramp(2000))
        await stage.until(SpeakStarted)
        await asyncio.sleep(0.5)
        event = stage.interrupt()
        left_ms = len(np.flatnonzero(stage.audio())) / 48
        assert 80 <= left_ms - event.played_ms <= 145

    play(scenario)


def test_only_what_waits_is_forgotten_by_name(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(1800), "a")
        stage.say(ramp(200), "b")
        stage.say(ramp(200), "c")
        await stage.until(SpeakStarted)
        assert stage.interrupt("b") == Interrupted("b", 0)
        await stage.until(SpeakEnded, 2)
        assert stage.events(SpeakEnded) == [SpeakEnded("a", 1800), SpeakEnded("c", 200)]

    play(scenario)


def test_speech_that_stalls_goes_on_and_one_without_end_ends(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(300), end=False)
        await asyncio.sleep(1.2)
        stage.say(ramp(310), end=False)
        await stage.until(SpeakEnded)
        assert stage.events(SpeakEnded) == [SpeakEnded("a", 610)]
        assert len(np.flatnonzero(stage.audio())) == 48 * 610

    play(scenario)


async def talk(audio: np.ndarray, seconds: float) -> AsyncIterator[AudioChunk]:
    """A microphone that repeats a voice of 16 kHz in real time."""
    start = asyncio.get_running_loop().time()
    for k in range(round(seconds * 25)):
        await asyncio.sleep(max(0.0, start + (k + 1) * 0.04 - asyncio.get_running_loop().time()))
        pcm = np.take(audio, np.arange(k * 640, (k + 1) * 640), mode="wrap").astype(np.float32)
        yield AudioChunk(pcm, (np.repeat(pcm, 3) * 20_000).astype(np.int16), k * 640)


def buzz() -> np.ndarray:
    """What a voice activity detector takes for a voice: pulses through two formants."""
    t = np.arange(16_000) / 16_000
    ring = np.exp(-t[:800] * 90) * (np.sin(2 * np.pi * 700 * t[:800]) + 0.6 * np.sin(2 * np.pi * 1200 * t[:800]))
    pulses = np.zeros(16_000)
    pulses[::128] = 1
    whole = np.convolve(pulses, ring)[:16_000] * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    return 0.4 * whole / np.abs(whole).max()


def test_the_users_voice_interrupts_where_that_is_wanted(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(5000))
        await stage.until(SpeakStarted)
        stage.listen(talk(buzz(), 1.0), "interrupt")
        await stage.until(Interrupted, seconds=2)
        assert [event.state for event in stage.events(StateChanged)][0] == "speaking"  # type: ignore[union-attr]
        await asyncio.sleep(0.3)
        assert stage.events(StateChanged)[-1] == StateChanged("listening")
        assert np.abs(stage.audio().astype(int)).max() < 20_000, "the user's voice is not played"

    play(scenario)


def test_text_goes_before_the_microphone(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.listen(talk(np.full(640, -0.5), 12.0))
        await stage.plays(-10_000)
        stage.say(ramp(600))
        await stage.until(SpeakEnded)
        heard = stage.audio()
        first, last = np.flatnonzero(heard > 0)[[0, -1]]
        assert np.array_equal(heard[heard > 0], ramp(600))
        assert heard[first : last + 1].min() >= 0, "nothing of the microphone in between"
        stage.ticks.clear()
        await stage.plays(-10_000)  # then it is the voice again

    play(scenario)


def test_a_mark_after_an_interrupt_and_a_late_interrupt(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(3000))
        await stage.until(SpeakStarted)
        stage.interrupt()
        stage.mark("after")
        assert stage.events(MarkReached) == [MarkReached("after", 0)], "it does not wait for what will not come"
        stage.say(ramp(120), "b")
        await stage.until(SpeakEnded)
        assert stage.interrupt("b") == Interrupted("b", 120), "all of it was heard"

    play(scenario)


def test_listening_ends_with_the_microphone(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.listen(talk(buzz(), 0.6), "interrupt")  # gone in the middle of a word
        await stage.until(StateChanged, 2)
        states = [event.state for event in stage.events(StateChanged) if isinstance(event, StateChanged)]
        assert states == ["listening", "idle"]

    play(scenario)


def test_marks_without_speech_are_reached_at_once(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.mark("nothing said")
        assert stage.events(MarkReached) == [MarkReached("nothing said", 0)]
        stage.say(ramp(100))
        await stage.until(SpeakEnded)
        stage.mark("after")
        assert stage.events(MarkReached)[-1] == MarkReached("after", 100)

    play(scenario)


def test_an_utterance_without_sound_is_told_in_its_turn(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(200), "a")
        stage.begin("empty")
        stage.end("empty")
        stage.mark("behind it")
        stage.say(ramp(200), "b")
        stage.end("unheard of")
        await stage.until(SpeakEnded, 4)
        events = [event for _, event in stage.told if isinstance(event, SpeakStarted | SpeakEnded | MarkReached)]
        assert events == [
            SpeakStarted("a"),
            SpeakEnded("a", 200),
            SpeakStarted("empty"),
            MarkReached("behind it", 0),
            SpeakEnded("empty", 0),
            SpeakStarted("b"),
            SpeakEnded("b", 200),
            SpeakStarted("unheard of"),
            SpeakEnded("unheard of", 0),
        ]

    play(scenario)


def test_an_utterance_without_sound_can_be_interrupted(play: Callable[[Scenario], Stage]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.say(ramp(2000), "a")
        stage.end("empty")
        await stage.until(SpeakStarted)
        assert stage.interrupt("empty") == Interrupted("empty", 0)
        stage.end("empty")
        await stage.until(SpeakEnded)
        await asyncio.sleep(0.3)
        assert stage.events(SpeakStarted) == [SpeakStarted("a")]

    play(scenario)
