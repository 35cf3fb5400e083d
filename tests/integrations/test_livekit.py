"""The real AvatarRunner and AgentSession; their tracks are heard and seen in this process, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

rtc = pytest.importorskip("livekit.rtc", reason="livekit-agents is not installed: pip install -e '.[livekit]'")
agents = pytest.importorskip("livekit.agents", reason="livekit-agents is not installed: pip install -e '.[livekit]'")

from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarRunner, QueueAudioOutput  # noqa: E402
from livekit.agents.voice.transcription import TranscriptSynchronizer  # noqa: E402

from presenter.integrations import livekit as adapter  # noqa: E402
from presenter.integrations.livekit import PresenterAvatarSession, PresenterVideoGenerator  # noqa: E402

TOLERANCE_S = 0.02


def frames_of(pcm, rate, packet_s=0.02):
    step = int(rate * packet_s)
    for k in range(0, len(pcm), step):
        part = pcm[k : k + step]
        yield rtc.AudioFrame(part.tobytes(), rate, 1, len(part))


class Participant:
    """Publishes to this process: what a subscriber would hear and see."""

    identity = "agent"

    def __init__(self, room):
        self._room = room
        self.heard = []
        self.seen = []
        self.track_publications = {}
        self._tasks = []

    async def publish_track(self, track, options):
        self._tasks.append(asyncio.create_task(self._subscribe(track)))
        publication = SimpleNamespace(kind=track.kind, wait_for_subscription=lambda: asyncio.sleep(0))
        self.track_publications[track.kind] = publication
        self._room.emit("local_track_published", publication, track)
        return publication

    async def _subscribe(self, track):
        sound = track.kind == rtc.TrackKind.KIND_AUDIO
        stream = rtc.AudioStream.from_track(track=track, sample_rate=48_000) if sound else rtc.VideoStream(track)
        try:
            async for event in stream:
                if sound:
                    self.heard.append(np.frombuffer(event.frame.data, np.int16).copy())
                else:
                    self.seen.append(event.frame)
        finally:
            await stream.aclose()

    def speech(self):
        """What was heard, without the silence around and between."""
        pcm = np.concatenate([np.zeros(0, np.int16), *self.heard])
        return pcm[pcm != 0]

    async def leave(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Room(rtc.EventEmitter):
    name = "room"

    def __init__(self):
        super().__init__()
        self.local_participant = Participant(self)
        self.remote_participants = {}

    def isconnected(self):
        return True


class Stage:
    """An avatar in a room, driven through its audio output as an agent drives it."""

    def __init__(self):
        self.room = Room()
        self.output = QueueAudioOutput()
        self.finished = asyncio.Queue()

    def listen(self):
        self.output.on("playback_finished", self.finished.put_nowait)

    async def say(self, pcm, rate):
        for frame in frames_of(pcm, rate):
            await self.output.capture_frame(frame)
        self.output.flush()

    async def until_heard(self, seconds):
        while len(self.room.local_participant.speech()) < seconds * 48_000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 60))


def with_runner(head_class, config, scenario):
    """Run a scenario with a bare generator and a bare runner, as in a worker of one's own."""

    async def inner():
        stage = Stage()
        head = await head_class.open(config=config)
        generator = PresenterVideoGenerator(head)
        runner = AvatarRunner(stage.room, audio_recv=stage.output, video_gen=generator, options=generator.options)
        stage.listen()
        await runner.start()
        try:
            await scenario(stage)
        finally:
            await runner.aclose()
            await head.aclose()
            await stage.room.local_participant.leave()

    run(inner)


def with_session(monkeypatch, head_class, config, scenario):
    """Run a scenario with an agent that speaks through the avatar."""

    async def inner():
        monkeypatch.setattr(adapter, "TalkingHead", head_class)
        stage = Stage()
        session = agents.AgentSession()
        avatar = PresenterAvatarSession(config=config)
        await avatar.start(session, room=stage.room)
        await session.start(agents.Agent(instructions=""))
        stage.output = session.output.audio
        stage.listen()
        try:
            await scenario(stage, session, avatar)
        finally:
            await session.aclose()
            await avatar.aclose()
            await stage.room.local_participant.leave()

    run(inner)


def test_pictures_lead_their_sound_and_the_end_comes_last(head_class, config, speech):
    async def scenario():
        head = await head_class.open(config=config)
        generator = PresenterVideoGenerator(head)
        said = speech(0.1, 48_000)
        out = aiter(generator)
        idle = [await anext(out) for _ in range(3)]
        assert all(isinstance(item, rtc.VideoFrame) for item in idle)
        assert (idle[0].width, idle[0].height, idle[0].type) == (64, 48, rtc.VideoBufferType.RGBA)
        assert bytes(idle[0].data[-4:]) == bytes([50, 50, 50, 255])
        for frame in frames_of(said, 48_000):
            await generator.push_audio(frame)
        await generator.push_audio(AudioSegmentEnd())
        items = []
        while not (items and isinstance(items[-1], AudioSegmentEnd)):
            items.append(await anext(out))
        kinds = [type(item).__name__ for item in items]
        assert kinds[-7:] == ["VideoFrame", "AudioFrame"] * 3 + ["AudioSegmentEnd"]
        assert set(kinds[:-7]) <= {"VideoFrame"}
        sound = [np.frombuffer(item.data, np.int16) for item in items if isinstance(item, rtc.AudioFrame)]
        assert np.array_equal(np.concatenate(sound), said)
        assert isinstance(await anext(out), rtc.VideoFrame)
        await head.aclose()
        assert [item async for item in out] == []

    run(scenario)


def test_audio_keeps_its_userdata_and_a_segment_its_end(head_class, config, speech):
    async def scenario():
        head = await head_class.open(config=config)
        generator = PresenterVideoGenerator(head)
        ends = [AudioSegmentEnd(), AudioSegmentEnd()]
        for name, end in zip("ab", ends, strict=True):
            for frame in frames_of(speech(0.1, 48_000), 48_000):
                frame.userdata["context_id"] = name
                await generator.push_audio(frame)
            await generator.push_audio(end)
        items = []
        async for item in generator:
            items.append(item)
            if item is ends[1]:
                break
        kept = [item for item in items if not isinstance(item, rtc.VideoFrame)]
        assert [item if item in ends else item.userdata["context_id"] for item in kept] == [
            *"aaa", ends[0], *"bbb", ends[1]
        ]  # fmt: skip
        await head.aclose()

    run(scenario)


def test_a_segment_of_unusable_sound_still_ends(head_class, config):
    async def scenario():
        head = await head_class.open(config=config)
        generator = PresenterVideoGenerator(head)
        await generator.push_audio(rtc.AudioFrame(bytes(2 * 5 * 480), 48_000, 5, 480))
        await generator.push_audio(AudioSegmentEnd())
        out = aiter(generator)
        assert [type(await anext(out)) for _ in range(3)] == [rtc.VideoFrame, AudioSegmentEnd, rtc.VideoFrame]
        await head.aclose()

    run(scenario)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_the_room_hears_a_whole_segment(head_class, config, speech, rate):
    async def scenario(stage):
        for seconds in (0.73, 0.5):
            before = len(stage.room.local_participant.speech())
            await stage.say(speech(seconds, rate), rate)
            event = await stage.finished.get()
            assert not event.interrupted
            assert event.playback_position == pytest.approx(seconds, abs=0.001)
            await asyncio.sleep(0.3)
            heard = stage.room.local_participant.speech()[before:]
            assert len(heard) == pytest.approx(seconds * 48_000, abs=3)
            if rate == 48_000:
                assert np.array_equal(heard, speech(seconds, rate))
        assert stage.finished.empty()

    with_runner(head_class, config, scenario)


def test_an_interruption_leaves_no_position_behind(head_class, config, speech):
    async def scenario(stage):
        await stage.say(speech(3.0, 24_000), 24_000)
        await stage.until_heard(0.5)
        stage.output.clear_buffer()
        event = await stage.finished.get()
        assert event.interrupted
        await asyncio.sleep(0.4)
        # A bare runner lets its queue play on, so what it reports is what is heard in the end.
        assert event.playback_position == pytest.approx(len(stage.room.local_participant.speech()) / 48_000, abs=0.001)
        await stage.say(speech(0.5, 24_000, 1), 24_000)
        event = await stage.finished.get()
        assert (event.interrupted, event.playback_position) == (False, pytest.approx(0.5, abs=0.001))

    with_runner(head_class, config, scenario)


def test_an_interruption_before_anybody_listens_is_answered(head_class, config, speech):
    async def scenario():
        stage = Stage()

        async def nobody(track, options):
            return SimpleNamespace(wait_for_subscription=asyncio.Event().wait)

        stage.room.local_participant.publish_track = nobody
        head = await head_class.open(config=config)
        generator = PresenterVideoGenerator(head)
        runner = AvatarRunner(stage.room, audio_recv=stage.output, video_gen=generator, options=generator.options)
        stage.listen()
        await runner.start()
        await stage.say(speech(1.0, 24_000), 24_000)
        await asyncio.sleep(0.2)
        stage.output.clear_buffer()
        event = await stage.finished.get()
        assert (event.interrupted, event.playback_position) == (True, 0.0)
        await runner.aclose()
        await head.aclose()

    run(scenario)


def test_an_agent_speaks_through_the_avatar(monkeypatch, head_class, config, speech):
    async def scenario(stage, session, avatar):
        await avatar.wait_for_join(timeout=10)
        said = speech(0.8, 48_000)
        await session.say("Eight tenths of a second.", audio=as_stream(said, 48_000))
        await asyncio.sleep(0.3)
        assert np.array_equal(stage.room.local_participant.speech(), said)
        assert stage.finished.get_nowait().playback_position == pytest.approx(0.8, abs=0.001)
        pictures = [frame.convert(rtc.VideoBufferType.RGBA) for frame in stage.room.local_participant.seen]
        brightness = [int(np.frombuffer(picture.data, np.uint8)[-2]) for picture in pictures]
        assert sum(level > 150 for level in brightness) == pytest.approx(20, abs=2)
        assert min(brightness) < 60

    with_session(monkeypatch, head_class, config, scenario)


def test_the_reported_position_is_what_was_heard(monkeypatch, head_class, config, speech):
    async def scenario(stage, session, avatar):
        listener, errors = stage.room.local_participant, []
        for k, seconds in enumerate((0.31, 0.68, 1.0)):
            before = len(listener.speech())
            handle = session.say("A long sentence.", audio=as_stream(speech(3.0, 24_000, k), 24_000))
            await stage.until_heard(before / 48_000 + seconds)
            handle.interrupt()
            event = await stage.finished.get()
            reported = len(listener.speech())
            await asyncio.sleep(0.4)
            heard = len(listener.speech())
            assert event.interrupted
            assert (heard - reported) / 48_000 < 0.05, "the queue plays on after an interruption"
            errors.append(abs(event.playback_position - (heard - before) / 48_000))
        assert np.median(errors) < TOLERANCE_S
        await session.say("And on.", audio=as_stream(speech(0.5, 24_000), 24_000))
        event = await stage.finished.get()
        assert (event.interrupted, event.playback_position) == (False, pytest.approx(0.5, abs=0.001))

    with_session(monkeypatch, head_class, config, scenario)


def test_the_transcript_holds_what_was_heard(monkeypatch, head_class, config, speech):
    async def inner():
        monkeypatch.setattr(adapter, "TalkingHead", head_class)
        stage, session, avatar = Stage(), agents.AgentSession(), PresenterAvatarSession(config=config)
        await avatar.start(session, room=stage.room)
        # What RoomIO puts around the output of a session that has a room.
        words = TranscriptSynchronizer(next_in_chain_audio=session.output.audio, next_in_chain_text=None)
        session.output.audio, session.output.transcription = words.audio_output, words.text_output
        await session.start(agents.Agent(instructions=""))
        said = " ".join(f"word{k}" for k in range(48))
        handle = session.say(said, audio=as_stream(speech(12.0, 24_000), 24_000))
        await stage.until_heard(1.5)
        handle.interrupt()
        await handle
        (message,) = session.history.messages()
        assert message.interrupted
        assert said.startswith(message.text_content)
        assert 1 <= len(message.text_content.split()) < 40
        await session.aclose()
        await avatar.aclose()
        await words.aclose()
        await stage.room.local_participant.leave()

    run(inner)


def test_closing_keeps_the_agent_and_releases_the_head(monkeypatch, head_class, config):
    heads = []

    class Kept(head_class):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            heads.append(self)

    async def scenario(stage, session, avatar):
        with pytest.raises(RuntimeError, match="second one"):
            await avatar.start(session, room=stage.room)
        await avatar.aclose()
        await avatar.aclose()
        assert heads[0].closed >= 1

    with_session(monkeypatch, Kept, config, scenario)


async def as_stream(pcm, rate):
    for frame in frames_of(pcm, rate):
        yield frame
