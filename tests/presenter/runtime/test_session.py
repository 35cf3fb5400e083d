"""One live session with the real renderer: always on, in step, cleanly ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.compositor import FrameCompositor
from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import Session
from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk
from stream.playout.playout import TICK_SAMPLES, Playout, Tick
from stream.playout.pump import PlayoutPump

CHUNK_S = 0.04
pytestmark = pytest.mark.usefixtures("light_rendering")
Scenario = Callable[[Session, "Viewer"], Awaitable[None]]


class Viewer(PlayoutPump):
    """A playback that keeps what it released."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []
        self.speaks = asyncio.Event()
        viewer = self

        class Recorded(Playout):
            def pull(self, time: int) -> Tick:
                viewer.ticks.append(super().pull(time))
                if viewer.ticks[-1].audio.any():
                    viewer.speaks.set()
                return viewer.ticks[-1]

        super().__init__(Recorded(), SessionClock())

    def frames(self) -> list[Tick]:
        return [tick for tick in self.ticks if tick.frame is not None]

    def audio(self) -> np.ndarray:
        return np.concatenate([tick.audio for tick in self.ticks])


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(load_config("tiny"), slots=2)


@pytest.fixture
def play(engine: Engine, tmp_path: Path) -> Callable[[Scenario], Metrics]:
    def run(scenario: Scenario) -> Metrics:
        metrics = Metrics()

        async def inner() -> None:
            viewer = Viewer()
            renderer = engine.renderer(IdentityStore(tmp_path).load(DEFAULT))
            session = Session(renderer, viewer, ThreadPoolExecutor(1), metrics)
            try:
                await scenario(session, viewer)
            finally:
                await session.close()

        asyncio.run(asyncio.wait_for(inner(), 60))
        return metrics

    return run


def tone(k: int, level: float = 0.2) -> AudioChunk:
    """Chunk `k` of a 220 Hz tone; its voice says which chunk it is."""
    at = np.arange(k * CHUNK_SAMPLES, (k + 1) * CHUNK_SAMPLES) / 16_000
    pcm = (level * np.sin(2 * np.pi * 220 * at)).astype(np.float32)
    return AudioChunk(pcm, np.full(PLAYOUT_SAMPLES, k + 1, np.int16), k * CHUNK_SAMPLES)


async def spoken(count: int) -> AsyncIterator[AudioChunk]:
    """`count` chunks in real time."""
    start = asyncio.get_running_loop().time()
    for k in range(count):
        await asyncio.sleep(max(0.0, start + (k + 1) * CHUNK_S - asyncio.get_running_loop().time()))
        yield tone(k)


async def never() -> AsyncIterator[AudioChunk]:
    await asyncio.Event().wait()
    yield tone(0)


async def burst(count: int) -> AsyncIterator[AudioChunk]:
    for k in range(count):
        yield tone(k)


def counted(metrics: Metrics, sample: str) -> float:
    value = metrics.registry.get_sample_value(f"presenter_{sample}")
    assert value is not None
    return value


def test_lives_before_anything_is_heard(play: Callable[[Scenario], Metrics]) -> None:
    async def scenario(session: Session, viewer: Viewer) -> None:
        session.listen(never())
        session.start()
        await asyncio.sleep(2.0)
        frames = viewer.frames()
        assert len(frames) > 20
        first, last = frames[0].frame, frames[-1].frame
        assert first is not None
        assert last is not None
        assert np.any(first.rgb != last.rgb), "the head should sway"
        assert not viewer.audio().any()
        assert not session.failed

    play(scenario)


def test_voice_comes_out_unchanged_in_order_with_its_frames(play: Callable[[Scenario], Metrics]) -> None:
    async def scenario(session: Session, viewer: Viewer) -> None:
        session.listen(spoken(40))
        session.start()
        await asyncio.sleep(2.8)
        audio = viewer.audio()
        heard = audio[audio > 0]
        chunks = heard[:: PLAYOUT_SAMPLES // 2]
        assert np.array_equal(np.unique(heard), np.arange(1, 41)), "no chunk is lost"
        assert np.all(np.diff(chunks) >= 0), "no chunk is out of order"
        assert len(heard) == 40 * PLAYOUT_SAMPLES, "no chunk is stretched or cut"
        shown: set[int] = set()
        for tick in viewer.frames():
            assert tick.frame is not None
            if tick.frame.pts not in shown:  # and not the last one repeated because no new one is ready
                assert tick.frame.pts == tick.source_pts
            shown.add(tick.frame.pts)
        assert session.stats()["latency_ms"]["ready"] >= 80

    metrics = play(scenario)
    assert counted(metrics, "frames_total") > 40
    assert counted(metrics, "ready_seconds_count") > 0


def test_slow_rendering_costs_mouths_but_no_sound(
    play: Callable[[Scenario], Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    mouth, mouths = FrameCompositor.mouth, []

    def slowly(*arguments: Any) -> Any:
        mouths.append(time.monotonic())
        time.sleep(0.09)  # more than two chunks last
        return mouth(*arguments)

    async def scenario(session: Session, viewer: Viewer) -> None:
        monkeypatch.setattr(FrameCompositor, "mouth", slowly)
        session.listen(spoken(60))
        session.start()
        await asyncio.sleep(3.6)
        heard = viewer.audio()[viewer.audio() > 0]
        assert np.array_equal(np.unique(heard), np.arange(1, 61)), "no chunk is lost"
        stats = session.stats()
        assert stats["quality"] == "reduced"
        assert stats["frames"] > 10
        assert stats["latency_ms"]["ready"] < 400

    play(scenario)
    assert 10 < len(mouths) < 45, "of about 85 frames"


def test_sound_that_finds_no_room_is_counted(
    play: Callable[[Scenario], Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless(AsyncIterator[AudioChunk]):
        """Gives 40 chunks without a moment's pause: 15 more than fit."""

        left = 40

        async def __anext__(self) -> AudioChunk:
            if not self.left:
                await asyncio.Event().wait()
            self.left -= 1
            return tone(self.left)

    async def scenario(session: Session, _: Viewer) -> None:
        session.listen(Endless())
        session.start()
        await asyncio.sleep(0.1)
        assert 500 <= session.stats()["lost_ms"] <= 600

    assert counted(play(scenario), "sound_lost_seconds_total") >= 0.5


def test_pauses_left_out_while_behind_are_counted(play: Callable[[Scenario], Metrics]) -> None:
    async def whispers() -> AsyncIterator[AudioChunk]:
        for k in range(12):
            yield tone(k, level=0.0)

    async def scenario(session: Session, _: Viewer) -> None:
        session.listen(whispers())
        session.start()
        await asyncio.sleep(0.3)
        assert session.stats()["trimmed_ms"] >= 200
        assert session.stats()["lost_ms"] == 0

    play(scenario)


def test_the_thread_ends_even_if_the_renderer_does_not_close(
    play: Callable[[Scenario], Metrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(session: Session, _: Viewer) -> None:
        def break_down(*_: Any) -> None:
            raise RuntimeError("a bug")

        renderer = session.rendering._renderer
        with monkeypatch.context() as patch:
            patch.setattr("presenter.runtime.renderer.Renderer.close", break_down)
            with pytest.raises(RuntimeError, match="a bug"):
                await session.close()
        renderer.close()  # the slot goes back for the tests that follow
        with pytest.raises(RuntimeError, match="shutdown"):
            session.rendering._frames.submit(print)

    play(scenario)


def test_output_never_stops_when_the_source_ends(play: Callable[[Scenario], Metrics]) -> None:
    async def scenario(session: Session, viewer: Viewer) -> None:
        session.listen(spoken(5))
        session.start()
        await asyncio.sleep(2.0)
        assert np.all(np.diff([tick.time for tick in viewer.ticks]) == TICK_SAMPLES)
        before = len(viewer.frames())
        await asyncio.sleep(1.0)
        assert len(viewer.frames()) > before + 10
        assert not session.failed

    play(scenario)


def test_interrupt_silences_within_300_ms(play: Callable[[Scenario], Metrics]) -> None:
    async def scenario(session: Session, viewer: Viewer) -> None:
        session.listen(burst(20))
        session.start()
        await viewer.speaks.wait()
        began = viewer.clock.now()
        session.interrupt()
        await asyncio.sleep(1.0)
        late = [tick for tick in viewer.ticks if tick.audio.any() and tick.time > began + 4800]
        assert not late
        assert len(viewer.frames()) > 15, "the presenter lives on"
        assert not session.failed

    play(scenario)


def test_another_presenter_steps_in_without_losing_a_word(
    play: Callable[[Scenario], Metrics], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = IdentityStore(tmp_path).load(DEFAULT)
    dark = replace(stored, identity=replace(stored.identity, frame=stored.identity.frame // 2))

    async def scenario(session: Session, viewer: Viewer) -> None:
        session.listen(spoken(40))
        session.start()
        await viewer.speaks.wait()
        for face in (dark, stored, dark):  # each can only be had when the one before last has given its slot back
            await session.show(await asyncio.to_thread(engine.renderer, face))
        await asyncio.sleep(2.4)
        heard = viewer.audio()[viewer.audio() > 0]
        assert len(heard) == 40 * PLAYOUT_SAMPLES
        assert np.all(np.diff(heard) >= 0)
        frames = [tick.frame for tick in viewer.frames() if tick.frame is not None]
        assert np.all(np.diff([frame.pts for frame in frames]) >= 0)
        assert frames[-1].rgb.mean() < 0.6 * frames[0].rgb.mean()

    play(scenario)
    play(scenario)  # all slots are free again


def test_close_before_start_and_twice(play: Callable[[Scenario], Metrics], engine: Engine) -> None:
    async def scenario(session: Session, _: Viewer) -> None:
        await session.close()
        await session.close()
        session.listen(never())
        session.start()
        assert not session.failed

    for _ in range(3):  # two slots: they are free again
        play(scenario)


def test_failure_is_seen(play: Callable[[Scenario], Metrics], monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(session: Session, _: Viewer) -> None:
        def break_down(*_: Any) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("presenter.runtime.renderer.Renderer.advance", break_down)
        session.listen(never())
        session.start()
        await asyncio.sleep(0.3)
        assert session.failed

    play(scenario)
