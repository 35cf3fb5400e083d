"""A presenter without a server: what goes in comes out, in pairs, at the consumer's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from presenter.config import load_config
from presenter.errors import CapacityError, IdentityNotFoundError, PresenterError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import make_in_thread
from presenter.runtime.session import Session
from presenter.runtime.sink import SessionEvent
from presenter.runtime.talking_head import Pair, TalkingHead
from stream.clock import SessionClock
from stream.errors import StreamError
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.wire import SpeakEnded

pytestmark = pytest.mark.usefixtures("light_rendering")
Scenario = Callable[[TalkingHead], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scenario], None]:
    def run(scenario: Scenario) -> None:
        async def inner() -> None:
            config = replace(load_config("tiny"), presenters=str(tmp_path))
            async with await TalkingHead.open(config=config) as head:
                await scenario(head)

        asyncio.run(asyncio.wait_for(inner(), 60))

    return run


def ramp(seconds: float, rate: int = 48_000) -> np.ndarray:
    """A voice whose samples say where they are from."""
    return (np.arange(int(seconds * rate)) % 20_000 + 100).astype(np.int16)


async def take(head: TalkingHead, count: int) -> list[Pair]:
    return [await anext(head) for _ in range(count)]


async def take_until_ended(head: TalkingHead) -> list[Pair]:
    pairs: list[Pair] = []
    while not pairs or pairs[-1].ended is None:
        pairs.append(await anext(head))
    return pairs


def spoken(pairs: list[Pair]) -> np.ndarray:
    return np.concatenate([pair.chunk.audio for pair in pairs if pair.speech])


def test_idle_pairs_come_when_asked_for_and_move(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        pairs = await take(head, 10)
        assert not any(pair.speech or pair.ended or pair.chunk.audio.any() for pair in pairs)
        assert np.any(pairs[0].frame.rgb != pairs[-1].frame.rgb)
        assert pairs[0].frame.rgb.shape == (*head.size, 3)
        made = pairs[-1].frame.pts
        await asyncio.sleep(0.5)
        assert (await anext(head)).frame.pts - made <= 2 * 640, "silence is not made ahead"

    play(scenario)


def test_an_interrupt_answers_for_what_was_playing(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        head.push(ramp(1.0), 48_000, "a")
        head.end("a")
        head.push(ramp(1.0), 48_000, "b")
        while not (await anext(head)).speech:
            pass
        await take(head, 4)
        assert await head.interrupt() == 200

    play(scenario)


def test_speech_comes_out_sample_for_sample_with_its_frames(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        await take(head, 3)
        audio = ramp(1.0)
        for at in range(0, len(audio), 5000):
            head.push(audio[at : at + 5000], 48_000, "one")
        head.end("one")
        pairs = await take_until_ended(head)
        assert np.array_equal(spoken(pairs)[: len(audio)], audio)
        assert len(spoken(pairs)) == 25 * 1920
        assert pairs[-1].ended == "one"
        assert all(pair.frame.pts == pair.chunk.pts for pair in pairs)
        assert [pair.speech for pair in pairs].index(True) <= 1, "speech does not wait behind silence"

    play(scenario)


def test_utterances_follow_each_other_and_end_once(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        for name in ("one", "two"):
            head.push(ramp(0.3, 24_000), 24_000, name)
            head.end(name)
        pairs = await take_until_ended(head) + await take_until_ended(head)
        assert [pair.ended for pair in pairs if pair.ended] == ["one", "two"]
        assert sum(pair.speech for pair in pairs) == 16  # each is filled up to whole chunks
        assert not any(pair.speech for pair in await take(head, 4))

    play(scenario)


def test_interrupt_tells_what_was_taken_and_nothing_follows(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        head.push(ramp(3.0), 48_000, "one")
        pairs: list[Pair] = []
        while sum(pair.speech for pair in pairs) < 10:
            pairs.append(await anext(head))
        assert await head.interrupt() == 400
        head.push(ramp(1.0), 48_000, "one")  # was on its way
        after = await take(head, 8)
        assert not any(pair.speech or pair.chunk.audio.any() for pair in after)
        head.push(ramp(0.2), 48_000, "two")
        head.end()
        assert (await take_until_ended(head))[-1].ended == "two"

    play(scenario)


def test_iteration_ends_with_close_and_bad_input_is_refused(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        with pytest.raises(StreamError, match="expected int16"):
            head.push(np.zeros(10, np.float32), 48_000)  # type: ignore[arg-type]
        with pytest.raises(StreamError, match=r"8000\.\.192000"):
            head.push(np.zeros(10, np.int16), 100)
        seen = 0
        async for _ in head:
            seen += 1
            if seen == 3:
                await head.aclose()
        assert seen == 3

    play(scenario)


def test_a_fault_in_rendering_ends_the_iteration(
    play: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(head: TalkingHead) -> None:
        await take(head, 2)

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("presenter.runtime.renderer.Renderer.advance", fail)
        with pytest.raises(PresenterError, match="fault"):
            await asyncio.wait_for(take(head, 5), 10)

    play(scenario)


def test_unknown_presenter() -> None:
    with pytest.raises(IdentityNotFoundError):
        asyncio.run(TalkingHead.open("nobody", load_config("tiny")))


def test_a_cancelled_consumer_loses_no_pair(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        audio = ramp(0.8)
        head.push(audio, 48_000, "one")
        head.end("one")
        pairs: list[Pair] = []
        cancelled = 0
        while not pairs or pairs[-1].ended is None:
            taking = asyncio.ensure_future(anext(head))
            for _ in range(cancelled % 8):  # wherever it is by now
                await asyncio.sleep(0)
            if taking.done() or cancelled % 9 == 8:
                pairs.append(await taking)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            cancelled += 1
        assert cancelled > len(pairs)
        assert np.array_equal(spoken(pairs)[: len(audio)], audio)
        assert np.all(np.diff([pair.frame.pts for pair in pairs]) == 640)

    play(scenario)


def test_an_interrupt_just_as_a_pair_is_ready_leaves_the_consumer_waiting(play: Callable[[Scenario], None]) -> None:
    async def scenario(head: TalkingHead) -> None:
        for turns in range(8):
            head.push(ramp(1.0), 48_000, f"{turns}")
            head.end(f"{turns}")
            await take(head, 5)
            await asyncio.sleep(0.1)
            taking = asyncio.ensure_future(anext(head))
            for _ in range(turns):
                await asyncio.sleep(0)
            await head.interrupt()
            assert (await asyncio.wait_for(taking, 5)).frame is not None

    play(scenario)


def test_talking_heads_and_sessions_share_an_engine(tmp_path: Path) -> None:
    config = replace(load_config("tiny"), presenters=str(tmp_path))
    engine = Engine.load(config, slots=3)

    async def scenario() -> None:
        heads = [await TalkingHead.open(config=config, engine=engine) for _ in range(2)]
        renderer, executor = await make_in_thread(lambda: engine.renderer(IdentityStore(tmp_path).load(DEFAULT)))
        session = Session(renderer, PlayoutPump(Playout(), SessionClock()), executor, Metrics())
        told: list[SessionEvent] = []
        session.subscribe(told.append)
        session.start()
        assert engine.is_full
        with pytest.raises(CapacityError, match="3 slots"):
            await TalkingHead.open(config=config, engine=engine)
        voices = [ramp(0.4), ramp(0.4)[::-1].copy()]
        for head, audio in zip(heads, voices, strict=True):
            head.push(audio, 48_000, "one")
            head.end("one")
        session.push(voices[0], 48_000, "one")
        session.end("one")
        for pairs, audio in zip(await asyncio.gather(*map(take_until_ended, heads)), voices, strict=True):
            assert np.array_equal(spoken(pairs)[: len(audio)], audio)
        while not any(isinstance(event, SpeakEnded) for event in told):  # noqa: ASYNC110  the list only grows
            await asyncio.sleep(0.02)
        await heads[0].aclose()
        assert not engine.is_full
        await (await TalkingHead.open(config=config, engine=engine)).aclose()
        await heads[1].aclose()
        await session.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
