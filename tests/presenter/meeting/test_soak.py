"""Ten minutes of a meeting by a simulated clock, with sound cards whose clocks drift."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from presenter.bench.beeps import BeepDetector
from presenter.bench.frame_ids import SIZE, FrameIdOverlay, read_mark
from presenter.meeting.meeting import AvailablePresenters, Meeting
from presenter.meeting.setup import PLAYOUT
from presenter.runtime.metrics import Metrics
from presenter.runtime.session import Session
from stream.camera.virtual_camera import VirtualCamera
from stream.media import PLAYOUT_RATE, PLAYOUT_RATIO, VideoFrame
from stream.pcm.drift import DriftCorrector
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.sound.delayed_output import DelayedOutput
from stream.sound.microphone import Microphone
from tests.blank_renderer import BlankRenderer
from tests.simulated import SimulatedExecutor, SimulatedLoop, simulate

BLOCK = 480
LATENCY_S = 0.03
MINUTES = 10


class Card:
    """A sound card in place of `DeviceStream`: late with its callbacks now and then, its clock `ppm` off."""

    device = type("Device", (), {"name": "simulated", "pulse_name": None})()
    latency_s, rate, channels, is_open, opening = LATENCY_S, PLAYOUT_RATE, 1, True, 1

    def __init__(self, ppm: float, kind: str, _: object, callback: Any, **__: object) -> None:
        self._rate = PLAYOUT_RATE * (1 + ppm / 1e6)
        self._kind, self._callback = kind, callback
        self._late = random.Random(1)
        self.heard = BeepDetector()

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        began, block = loop.time(), np.zeros((BLOCK, 1), np.int16)
        count = 0
        while True:
            count += BLOCK
            late_s = self._late.choice((0, 0.001, 0.002, 0.012))
            await asyncio.sleep(max(0.0, began + count / self._rate + late_s - loop.time()))
            if self._kind == "input":
                self._callback(self._beeps(began, count - BLOCK), 0.0)
            else:
                self._callback(block, LATENCY_S)
                at_s = began + count / self._rate + LATENCY_S
                self.heard.push(block[:, 0], round(at_s * PLAYOUT_RATE))

    def _beeps(self, began: float, first: int) -> np.ndarray:
        """A beep at every full second of the world, as this card samples it."""
        times = (began + (first + np.arange(BLOCK)) / self._rate) % 1.0
        return np.where(times < 0.04, 0.6 * np.cos(2 * np.pi * 1000 * times), 0.0).astype(np.float32)[:, None]


class Whole:
    """A canvas that the picture fills."""

    width = height = SIZE
    needs_cutout = False

    def card(self) -> np.ndarray:
        return np.zeros((SIZE, SIZE, 3), np.uint8)

    def compose(self, frame: VideoFrame) -> np.ndarray:
        return frame.rgb


class Seen:
    """A camera that notes when which picture was sent first."""

    device = "seen"

    def __init__(self, loop: SimulatedLoop) -> None:
        self.at: dict[int, float] = {}
        self._loop = loop

    def send(self, picture: np.ndarray) -> None:
        self.at.setdefault(read_mark(picture), self._loop.time())

    def close(self) -> None:
        """Nothing to give back."""


class Held(NamedTuple):
    """A meeting and what it is made of."""

    meeting: Meeting
    camera: VirtualCamera
    voice: DelayedOutput
    seen: Seen
    marked: FrameIdOverlay


@asynccontextmanager
async def hold(loop: SimulatedLoop) -> AsyncIterator[Held]:
    """Run a meeting with simulated devices."""
    clock, seen, marked = loop.clock(), Seen(loop), FrameIdOverlay(BlankRenderer(SIZE))  # type: ignore[arg-type]
    microphone = Microphone(None, clock, corrector=DriftCorrector)
    voice = DelayedOutput(None, clock)
    camera = VirtualCamera(clock, Whole(), delay_ms=0, opener=lambda *_, **__: seen, executor=SimulatedExecutor())
    camera.open()
    await microphone.open()
    await voice.open()
    pump = PlayoutPump(Playout(PLAYOUT), clock)
    session = Session(marked, pump, SimulatedExecutor(0.03), Metrics(), audio_executor=SimulatedExecutor())  # type: ignore[arg-type]
    pump.add(camera)
    pump.add(voice)
    meeting = Meeting(session, AvailablePresenters(["blank"], lambda name: marked), "blank", microphone, camera, voice)  # type: ignore[arg-type, return-value]
    running = asyncio.create_task(meeting.run())
    yield Held(meeting, camera, voice, seen, marked)
    meeting.leave()
    await running
    await microphone.close()
    await session.close()


def use_cards(monkeypatch: pytest.MonkeyPatch, microphone_ppm: float, voice_ppm: float) -> list[Card]:
    """Put simulated sound cards in place; the second one is the output."""
    cards: list[Card] = []

    def card(kind: str, *arguments: Any, **options: Any) -> Card:
        cards.append(Card(microphone_ppm if kind == "input" else voice_ppm, kind, *arguments, **options))
        return cards[-1]

    monkeypatch.setattr("stream.sound.microphone.DeviceStream", card)
    monkeypatch.setattr("stream.sound.delayed_output.DeviceStream", card)
    return cards


def test_the_camera_follows_an_output_whose_latency_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = use_cards(monkeypatch, 0, 0)

    async def scenario(loop: SimulatedLoop) -> None:
        async with hold(loop) as held:
            await asyncio.sleep(3)
            before = held.camera.delay_ms
            assert before == held.voice.delay_ms
            cards[1].latency_s = LATENCY_S + 0.07
            await asyncio.sleep(1)
            assert held.camera.delay_ms == pytest.approx(before + 70)
            assert held.camera.delay_ms == held.voice.delay_ms

    simulate(scenario)


def test_a_status_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cards(monkeypatch, 0, 0)

    async def scenario(loop: SimulatedLoop) -> None:
        async with hold(loop) as held:
            assert held.meeting.status().fps is None, "not known yet"
            await asyncio.sleep(3)
            held.camera.set_delay(123.0)
            asked = held.meeting.status()
            assert held.camera.delay_ms == 123.0
            assert asked == held.meeting.status()
            assert asked.fps == pytest.approx(25, abs=1)

    simulate(scenario)


@pytest.mark.slow
@pytest.mark.parametrize(("microphone_ppm", "voice_ppm"), [(100, -100)])
def test_voice_and_picture_stay_together(
    microphone_ppm: float, voice_ppm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = use_cards(monkeypatch, microphone_ppm, voice_ppm)

    async def scenario(loop: SimulatedLoop) -> tuple[dict[int, float], list[int], Any]:
        async with hold(loop) as held:
            await asyncio.sleep(60 * MINUTES)
            status = held.meeting.status()
        return held.seen.at, held.marked.beeps.found, (status, held.voice.stats())

    seen, beeps_at, (status, said) = simulate(scenario)
    heard = np.array(cards[1].heard.found) / PLAYOUT_RATE
    pts = np.array(sorted(seen))
    skews, delays = [], []
    for place in beeps_at[5:-2]:
        picture = int(pts[np.argmin(np.abs(pts * PLAYOUT_RATIO - place))])
        shown = seen[picture] + (place - picture * PLAYOUT_RATIO) / PLAYOUT_RATE
        began = float(heard[np.argmin(np.abs(heard - shown))])
        skews.append(1000 * (began - shown))
        delays.append(1000 * (began % 1.0))  # it was said at a full second
    assert len(skews) > 60 * MINUTES - 15, "every beep comes out"
    assert np.abs(skews).max() < 10, "a picture is never further from its sound than that"
    assert abs(np.median(skews[-60:]) - np.median(skews[:60])) < 2, "and the two do not drift"
    assert np.ptp(delays[60:]) < 45, "nor does the delay, but for a pause that was left out"
    assert abs(status.delay_ms - np.median(delays[-60:])) < 25, "what is told is what it is"
    assert (said.underruns, said.jumps, status.dropped) == (0, 0, 0)
