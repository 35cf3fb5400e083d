"""Real pipelines with a real output transport that plays at the pace of the clock and keeps what it played."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("pipecat.pipeline", reason="pipecat-ai is not installed: pip install -e '.[pipecat]'")

from pipecat.frames.frames import (  # noqa: E402
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    OutputImageRawFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData  # noqa: E402
from pipecat.pipeline.pipeline import Pipeline  # noqa: E402
from pipecat.pipeline.worker import PipelineParams, PipelineWorker  # noqa: E402
from pipecat.processors.frame_processor import FrameProcessor  # noqa: E402
from pipecat.transports.base_output import BaseOutputTransport  # noqa: E402
from pipecat.transports.base_transport import TransportParams  # noqa: E402
from pipecat.workers.runner import WorkerRunner  # noqa: E402

from presenter.integrations import pipecat as adapter  # noqa: E402
from presenter.integrations.pipecat import PresenterVideoService  # noqa: E402

PARAMS = TransportParams(
    audio_out_enabled=True,
    audio_out_sample_rate=48_000,
    video_out_enabled=True,
    video_out_width=64,
    video_out_height=48,
    audio_out_end_silence_secs=0,
    video_out_framerate=50,
)


class Speaker(BaseOutputTransport):
    """Plays audio in real time; keeps the audio and the pictures."""

    def __init__(self):
        super().__init__(PARAMS)
        self.played = []
        self.drawn = []
        self._plays_until = 0.0

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame):
        now = asyncio.get_running_loop().time()
        self._plays_until = max(self._plays_until, now) + frame.num_frames / frame.sample_rate
        self.played.append(np.frombuffer(frame.audio, np.int16))
        await asyncio.sleep(self._plays_until - now)
        return True

    async def write_video_frame(self, frame):
        self.drawn.append(frame)
        return True

    def speech(self):
        pcm = np.concatenate([np.zeros(0, np.int16), *self.played])
        return pcm[pcm != 0]


class Tap(FrameProcessor):
    """Keeps what passes: `(frame, direction)`."""

    def __init__(self):
        super().__init__()
        self.frames = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    def of(self, *kinds):
        return [frame for frame in self.frames if isinstance(frame, kinds)]


class Bot:
    """Tap, presenter, tap, transport, tap, in a running pipeline."""

    def __init__(self, config):
        self.service = PresenterVideoService(config=config)
        self.before, self.between, self.after = Tap(), Tap(), Tap()
        self.speaker = Speaker()
        stages = [self.before, self.service, self.between, self.speaker, self.after]
        params = PipelineParams(enable_metrics=True)
        self.worker = PipelineWorker(Pipeline(stages), params=params, enable_rtvi=False, cancel_on_idle_timeout=False)

    async def say(self, pcm, rate, context="c", words=()):
        """As a TTS service does: start, audio with words between, stop."""
        frames = [TTSStartedFrame(context_id=context)]
        parts = np.array_split(pcm, max(1, len(words)))
        for part, word in zip(parts, words or [None], strict=True):
            frames += [
                TTSAudioRawFrame(part[k : k + rate // 50].tobytes(), rate, 1, context_id=context)
                for k in range(0, len(part), rate // 50)
            ]
            if word:
                frames.append(TTSTextFrame(word, "word"))
        await self.worker.queue_frames([*frames, TTSStoppedFrame(context_id=context)])

    async def until(self, condition):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def run(monkeypatch, head, config, scenario):
    async def inner():
        monkeypatch.setattr(adapter, "TalkingHead", head)
        bot = Bot(config)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(bot.worker)
        running = asyncio.create_task(runner.run())
        try:
            await bot.until(lambda: bot.speaker.drawn)
            await scenario(bot)
            await bot.worker.queue_frame(EndFrame())
            await running
        finally:
            if not running.done():
                await bot.worker.cancel()
                await running
        return bot

    return asyncio.run(asyncio.wait_for(inner(), 60))


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_speech_is_played_once_and_whole(monkeypatch, head_class, config, speech, rate):
    async def scenario(bot):
        await bot.say(speech(0.73, rate), rate, "a")
        await bot.say(speech(0.5, rate, 1), rate, "b")

    bot = run(monkeypatch, head_class, config, scenario)
    played = bot.speaker.speech()
    assert len(played) == pytest.approx(1.23 * 48_000, abs=3)
    if rate == 48_000:
        assert np.array_equal(played, np.concatenate([speech(0.73, rate), speech(0.5, rate, 1)]))
    kinds = [type(frame) for frame in bot.between.of(TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame, EndFrame)]
    order = [kind for k, kind in enumerate(kinds) if k == 0 or kinds[k - 1] is not kind]
    assert order == [TTSStartedFrame, TTSAudioRawFrame, TTSStoppedFrame] * 2 + [EndFrame]
    assert {frame.sample_rate for frame in bot.between.of(TTSAudioRawFrame)} == {48_000}


@pytest.mark.parametrize("packet", [1, 333, 961])
def test_audio_may_be_cut_within_a_sample(monkeypatch, head_class, config, speech, packet):
    async def scenario(bot):
        for seed, context in enumerate(("a", "b")):
            data = speech(0.1, 48_000, seed).tobytes()
            frames = [TTSAudioRawFrame(data[k : k + packet], 48_000, 1, context) for k in range(0, len(data), packet)]
            await bot.worker.queue_frames([*frames, TTSStoppedFrame(context_id=context)])

    bot = run(monkeypatch, head_class, config, scenario)
    assert np.array_equal(bot.speaker.speech(), np.concatenate([speech(0.1, 48_000), speech(0.1, 48_000, 1)]))


def test_audio_keeps_its_context_and_its_destination(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        frames = []
        for seed, (context, destination) in enumerate([("a", None), ("b", "other"), (None, None)]):
            frame = TTSAudioRawFrame(speech(0.25, 48_000, seed).tobytes(), 48_000, 1, context_id=context)
            frame.transport_destination = destination
            frames.append(frame)
        await bot.worker.queue_frames(frames)
        await bot.until(lambda: sum(f.num_frames for f in bot.between.of(TTSAudioRawFrame)) == 0.75 * 48_000)

    bot = run(monkeypatch, head_class, config, scenario)
    spoken = {}
    for frame in bot.between.of(TTSAudioRawFrame):
        origin = (frame.context_id, frame.transport_destination)
        spoken[origin] = spoken.get(origin, b"") + frame.audio
    expected = {("a", None): 0, ("b", "other"): 1, (None, None): 2}
    assert spoken == {origin: speech(0.25, 48_000, seed).tobytes() for origin, seed in expected.items()}


def test_each_chunk_of_speech_follows_its_own_picture(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.say(speech(0.4, 48_000), 48_000)

    bot = run(monkeypatch, head_class, config, scenario)
    media = bot.between.of(OutputImageRawFrame, TTSAudioRawFrame)
    for before, frame in zip(media, media[1:], strict=False):
        assert not isinstance(frame, TTSAudioRawFrame) or before.image[-1] == 200
    images = bot.between.of(OutputImageRawFrame)
    assert all((image.size, image.format, image.sync_with_audio) == ((64, 48), "RGB", True) for image in images)
    numbers = [image.image[0] for image in images]
    assert numbers == [k % 256 for k in range(len(numbers))]
    assert {frame.image[-1] for frame in bot.speaker.drawn} == {50, 200}


def test_words_go_on_behind_their_sound(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.say(speech(0.8, 48_000), 48_000, words=("one", "two"))
        await bot.worker.queue_frame(LLMFullResponseEndFrame())

    bot = run(monkeypatch, head_class, config, scenario)
    played, at = 0, {}
    for frame in bot.after.frames:
        if isinstance(frame, OutputAudioRawFrame):
            played += frame.num_frames
        elif isinstance(frame, TTSTextFrame):
            at[frame.text] = played / 48_000
    assert at == {"one": pytest.approx(0.4, abs=0.041), "two": pytest.approx(0.8, abs=0.041)}
    assert len(bot.after.of(LLMFullResponseEndFrame)) == 1


def test_an_interruption_leaves_nothing_late(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        for k in range(3):
            kept = len(bot.speaker.speech())
            await bot.say(speech(3.0, 24_000, k), 24_000, f"c{k}", words=("early", "late"))
            await bot.until(lambda kept=kept: len(bot.speaker.speech()) > kept + 0.3 * 48_000)
            await bot.worker.queue_frame(InterruptionFrame())
            await bot.until(lambda k=k: len(bot.after.of(InterruptionFrame)) > k)
            kept = len(bot.speaker.speech())
            await asyncio.sleep(0.5)
            assert len(bot.speaker.speech()) == kept
        assert not bot.after.of(TTSTextFrame)
        await bot.say(speech(0.5, 24_000, 4), 24_000, "d", words=("new",))
        await bot.until(lambda: bot.after.of(TTSTextFrame))
        assert len(bot.speaker.speech()) - kept == pytest.approx(0.5 * 48_000, abs=1920)

    bot = run(monkeypatch, head_class, config, scenario)
    between = bot.between.frames
    for k, frame in enumerate(between):
        if isinstance(frame, InterruptionFrame):
            following = next(f for f in between[k:] if isinstance(f, (TTSStartedFrame, TTSAudioRawFrame, EndFrame)))
            assert not isinstance(following, TTSAudioRawFrame)


def test_an_interruption_keeps_what_may_not_be_interrupted(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.say(speech(3.0, 24_000), 24_000, words=("lost",))
        kept = TTSTextFrame("kept", "word")
        kept.interruptible = False
        await bot.worker.queue_frame(kept)
        await bot.until(lambda: len(bot.speaker.speech()))
        assert not bot.between.of(TTSTextFrame)
        await bot.worker.queue_frame(InterruptionFrame())
        await bot.until(lambda: bot.after.of(TTSTextFrame))

    bot = run(monkeypatch, head_class, config, scenario)
    assert [frame.text for frame in bot.after.of(TTSTextFrame)] == ["kept"]


def test_a_user_who_may_not_interrupt_does_not(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.say(speech(0.6, 48_000), 48_000)
        await bot.until(lambda: len(bot.speaker.speech()))
        await bot.worker.queue_frame(UserStartedSpeakingFrame())

    bot = run(monkeypatch, head_class, config, scenario)
    assert np.array_equal(bot.speaker.speech(), speech(0.6, 48_000))
    assert bot.between.of(UserStartedSpeakingFrame)


def test_idle_pictures_come_at_the_frame_rate(monkeypatch, head_class, config):
    async def scenario(bot):
        before = len(bot.between.of(OutputImageRawFrame))
        await asyncio.sleep(1.0)
        assert 10 < len(bot.between.of(OutputImageRawFrame)) - before <= 27

    bot = run(monkeypatch, head_class, config, scenario)
    assert not bot.speaker.played
    assert not bot.between.of(TTSAudioRawFrame)


def test_the_bot_is_seen_to_start_and_stop(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.say(speech(0.5, 48_000), 48_000)
        await bot.until(lambda: bot.after.of(BotStoppedSpeakingFrame))

    bot = run(monkeypatch, head_class, config, scenario)
    speaking = bot.after.of(BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
    assert [type(frame) for frame in speaking] == [BotStartedSpeakingFrame, BotStoppedSpeakingFrame]
    data = [item for frame in bot.between.of(MetricsFrame) for item in frame.data if isinstance(item, TTFBMetricsData)]
    assert [(item.processor, item.model) for item in data if item.value] == [(bot.service.name, "default")]


def test_unusable_audio_is_left_out(monkeypatch, head_class, config, speech):
    async def scenario(bot):
        await bot.worker.queue_frame(TTSAudioRawFrame(bytes(960), 4_000, 1))
        await bot.say(speech(0.3, 48_000), 48_000)

    bot = run(monkeypatch, head_class, config, scenario)
    assert np.array_equal(bot.speaker.speech(), speech(0.3, 48_000))


def test_the_voice_goes_on_without_a_face_that_fails(monkeypatch, head_class, config, speech):
    class Failing(head_class):
        async def __anext__(self):
            if self.rendered == 5:
                raise RuntimeError("no more frames")
            return await super().__anext__()

    async def scenario(bot):
        await bot.until(lambda: not bot.service._showing)
        await bot.say(speech(0.3, 48_000), 48_000)

    bot = run(monkeypatch, Failing, config, scenario)
    assert np.array_equal(bot.speaker.speech(), speech(0.3, 48_000))


@pytest.mark.parametrize("last", [EndFrame, CancelFrame])
def test_the_head_is_released_however_it_ends(monkeypatch, head_class, config, speech, last):
    heads = []

    class Kept(head_class):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            heads.append(self)

    async def scenario(bot):
        await bot.say(speech(0.5, 48_000), 48_000)
        await bot.worker.queue_frame(last())

    run(monkeypatch, Kept, config, scenario)
    assert [head.closed for head in heads] == [1]
