"""The accounting of input and output, of a real head that is fed and read at full speed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from presenter.integrations.paced import PERIOD, PacedHead
from stream.errors import StreamError


@pytest.fixture
def play(head_class, config):
    def run(scenario):
        async def inner():
            async with await head_class.open(config=config) as head:
                await scenario(PacedHead(head))

        asyncio.run(asyncio.wait_for(inner(), 60))

    return run


async def take_until_quiet(paced):
    shown = []
    while paced.speaking:
        shown.append(await paced.take())
    return shown


def audio_of(shown):
    return np.concatenate([one.audio for one in shown])


@pytest.mark.parametrize("packet", [1, 441, 1920, 7000])
def test_every_sample_comes_out_once(play, speech, packet):
    async def scenario(paced):
        said = speech(0.333, 48_000)
        for k in range(0, len(said), packet):
            paced.push(said[k : k + packet], 48_000)
        paced.end()
        assert np.array_equal(audio_of(await take_until_quiet(paced)), said)

    play(scenario)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100])
def test_utterances_keep_their_length_at_any_rate(play, speech, rate):
    async def scenario(paced):
        for k in range(3):
            paced.push(speech(0.2 + k / 100, rate, k), rate)
            paced.end()
            paced.mark(k)
        taken, ends = 0, []
        for shown in await take_until_quiet(paced):
            taken += len(shown.audio)
            ends += [taken] * len(shown.marks)
        assert ends == [pytest.approx(48_000 * s, abs=3) for s in (0.2, 0.41, 0.63)]

    play(scenario)


def test_marks_come_out_behind_their_sound(play, speech):
    async def scenario(paced):
        paced.mark("first")
        assert (await paced.take()).marks == ["first"]
        paced.push(speech(0.08, 48_000), 48_000)
        paced.mark("two pictures on")
        paced.push(speech(0.05, 48_000), 48_000)
        paced.end()
        paced.mark("last")
        shown = await take_until_quiet(paced)
        spoken = [one for one in shown if len(one.audio)]
        assert [(len(one.audio), one.marks) for one in spoken] == [
            (1920, []),
            (1920, ["two pictures on"]),
            (1920, []),
            (480, ["last"]),
        ]

    play(scenario)


def test_nothing_comes_out_after_an_interruption(play, speech):
    async def scenario(paced):
        paced.push(speech(1.0, 48_000), 48_000)
        paced.mark("lost")
        while not len((await paced.take()).audio):
            pass
        assert await paced.interrupt() == ["lost"]
        assert not paced.speaking
        after = [await paced.take() for _ in range(5)]
        assert not any(len(one.audio) or one.marks for one in after)
        said = speech(0.1, 24_000, 1)
        paced.push(said, 24_000)
        paced.end()
        paced.mark("new")
        shown = await take_until_quiet(paced)
        assert len(audio_of(shown)) == 4800
        assert shown[-1].marks == ["new"]

    play(scenario)


def test_refused_audio_is_not_counted(play):
    async def scenario(paced):
        with pytest.raises(StreamError):
            paced.push(np.zeros((480, 5), np.int16), 48_000)
        paced.end()
        assert not paced.speaking
        assert not len((await paced.take()).audio)

    play(scenario)


def test_bytes_may_be_cut_anywhere_but_not_over_a_change(play, speech):
    async def scenario(paced):
        said = np.stack([speech(0.1, 48_000), speech(0.1, 48_000)], axis=1)
        data = said.tobytes()
        for k in range(0, len(data), 7):
            paced.push_bytes(data[k : k + 7], 48_000, 2)
        paced.push_bytes(b"\1\2\3", 48_000, 2)  # not a whole sample, and never completed
        paced.push_bytes(speech(0.1, 24_000).tobytes(), 24_000, 1)
        paced.end()
        audio = audio_of(await take_until_quiet(paced))
        assert np.array_equal(audio[: len(said)], said[:, 0])
        assert len(audio) == 9600

    play(scenario)


def test_speech_keeps_its_origin(play, speech):
    async def scenario(paced):
        for k, origin in enumerate(("a", "a", "b", None)):
            paced.push(speech(0.04, 48_000, k), 48_000, origin)
        paced.end()
        shown = [one for one in await take_until_quiet(paced) if len(one.audio)]
        assert [one.origin for one in shown] == ["a", "a", "b", None]
        await paced.interrupt()
        assert (await paced.take()).origin is None

    play(scenario)


def test_speech_runs_ahead_of_the_clock_and_idle_does_not(play, speech):
    async def scenario(paced):
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(6):
            await paced.due()
            await paced.take()
        assert loop.time() - started >= 5 * PERIOD - 0.001
        paced.push(speech(0.8, 48_000), 48_000)
        paced.end()
        started = loop.time()
        while paced.speaking:
            await paced.due()
            await paced.take()
        assert loop.time() - started > 0.55, "speech comes at most 0.2 s early"

    play(scenario)


def test_speech_that_stalls_goes_on_whole(play, speech):
    async def scenario(paced):
        said = speech(0.25, 48_000)
        paced.push(said[:5000], 48_000)
        heard = [await paced.take() for _ in range(40)]  # longer than the head waits for the rest
        assert not paced.speaking
        paced.push(said[5000:], 48_000)
        paced.end()
        paced.mark("end")
        heard += await take_until_quiet(paced)
        assert np.array_equal(audio_of(heard), said)
        assert heard[-1].marks == ["end"]

    play(scenario)


def test_the_rate_may_change_within_speech(play, speech):
    async def scenario(paced):
        for rate in (48_000, 24_000, 16_000):
            paced.push(speech(0.1, rate), rate)
        paced.end()
        assert len(audio_of(await take_until_quiet(paced))) == 14_400

    play(scenario)


def test_a_closed_head_keeps_nobody_waiting(head_class, config, speech):
    async def scenario():
        head = await head_class.open(config=config)
        paced = PacedHead(head)
        paced.push(speech(0.5, 48_000), 48_000)
        await head.aclose()
        with pytest.raises(StopAsyncIteration):
            await paced.take()
        await paced.quiet()

    asyncio.run(asyncio.wait_for(scenario(), 60))
