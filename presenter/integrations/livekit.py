"""A presenter for LiveKit Agents, in the agent's own process: no server, no key, no other participant.

    avatar = PresenterAvatarSession("default")
    await avatar.start(session, room=ctx.room)
    await session.start(agent, room=ctx.room)

Written against livekit-agents 1.8.9, `livekit.agents.voice.avatar`; needs the extra `presenter[livekit]`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import cv2
import numpy as np
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.avatar import (
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    AvatarSession,
    QueueAudioOutput,
    VideoGenerator,
)

from presenter.config import AppConfig
from presenter.integrations.paced import PacedHead
from presenter.runtime.talking_head import TalkingHead
from stream.errors import StreamError
from stream.media import FPS, PLAYOUT_RATE, Int16Array, VideoFrame

logger = logging.getLogger(__name__)

COUNTED_S = 0.5
"""How long an interruption waits for the runner to push and count the current frame, in seconds."""


class PresenterVideoGenerator(VideoGenerator):
    """Agent's speech in; frames with their audio out, and frames alone while the agent does not speak.

    For an `AvatarRunner`, here or in a worker of its own. An output audio frame has the `userdata` of the frame
    that its first sample came in, and each `AudioSegmentEnd` is output as the object that was input.

    Args:
        head: The presenter; owned by the caller.
        empty_queue: Called on an interruption, to empty what the runner has queued.
    """

    def __init__(self, head: TalkingHead, empty_queue: Callable[[], Awaitable[None]] | None = None) -> None:
        self._head: PacedHead[AudioSegmentEnd, dict[str, Any]] = PacedHead(head)
        self._empty_queue = empty_queue
        self._emitting = asyncio.Lock()  # held from taking a frame until the runner has pushed and counted its audio

    @property
    def options(self) -> AvatarOptions:
        """Format of the frames and the audio, for the runner."""
        height, width = self._head.size
        return AvatarOptions(
            video_width=width, video_height=height, video_fps=FPS, audio_sample_rate=PLAYOUT_RATE, audio_channels=1
        )

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Take the next frame of the agent's speech; unsupported audio is dropped and logged."""
        if isinstance(frame, AudioSegmentEnd):
            self._head.end()
            self._head.mark(frame)
            return
        pcm = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
        try:
            self._head.push(pcm, frame.sample_rate, frame.userdata)
        except StreamError as error:
            logger.warning("dropped a frame of the agent's speech: %s", error)

    async def clear_buffer(self) -> None:
        """Stop speaking; the runner may report its playback position once this returns.

        A frame that the runner is pushing is counted in the position only when the push is over, so an interruption
        waits for that, but not for a runner that still waits for its first subscriber.
        """
        try:
            async with asyncio.timeout(COUNTED_S), self._emitting:
                await self._interrupt()
        except TimeoutError:
            await self._interrupt()

    async def _interrupt(self) -> None:
        await self._head.interrupt()
        if self._empty_queue is not None:
            await self._empty_queue()

    async def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        """Frames, each followed by its audio; a segment's end behind its last audio; until the head is closed."""
        while True:
            await self._head.due()
            async with self._emitting:
                try:
                    shown = await self._head.take()
                except StopAsyncIteration:
                    return
                yield _video(shown.frame)
                if len(shown.audio):
                    yield _audio(shown.audio, shown.origin or {})
                for end in shown.marks:
                    yield end


class PresenterAvatarSession(AvatarSession[str]):
    """Shows a presenter that speaks for a running agent.

    The agent's own participant publishes audio and video; RoomIO must not publish the audio as well, so start the
    avatar before the agent's session.

    Args:
        presenter: The presenter's name.
        config: Settings; the default preset if None.
    """

    def __init__(self, presenter: str = "default", *, config: AppConfig | None = None) -> None:
        super().__init__()
        self._presenter = presenter
        self._config = config
        self._head: TalkingHead | None = None
        self._runner: AvatarRunner | None = None
        self._output = _PlayedOutput()
        self._room: rtc.Room | None = None

    @property
    def avatar_identity(self) -> str:
        """The agent's own participant."""
        if self._room is None:
            raise RuntimeError("avatar_identity: expected a started session, got one that is not started or closed")
        return self._room.local_participant.identity

    @property
    def provider(self) -> str:
        """Name in metrics."""
        return "presenter"

    async def start(self, agent_session: AgentSession, room: rtc.Room) -> None:
        """Load the presenter, publish it in the room and let the agent speak through it.

        Raises:
            RuntimeError: If it was started before.
            PresenterError: If there is no such presenter, or no slot for it.
        """
        if self._head is not None:
            raise RuntimeError("PresenterAvatarSession.start: expected one call for each session, got a second one")
        self._head = await TalkingHead.open(self._presenter, self._config, real_time=True)
        await super().start(agent_session, room)
        generator = PresenterVideoGenerator(self._head, self._empty_queue)
        self._runner = AvatarRunner(room, audio_recv=self._output, video_gen=generator, options=generator.options)
        await self._runner.start()
        agent_session.output.replace_audio_tail(self._output)

    async def aclose(self) -> None:
        """Stop showing the presenter; the agent stays in the room. Safe to call twice."""
        if self._runner is not None:
            await self._runner.aclose()
            self._runner = None
        if self._head is not None:
            await self._head.aclose()
        if self._room is not None:
            # The base class would have the server remove the avatar's participant, which here is the agent itself.
            self._room.off("connection_state_changed", self._on_connection_state_changed)
            self._room = None
        await super().aclose()

    async def _empty_queue(self) -> None:
        """Drop what the runner has queued and not played, and subtract it from the position."""
        assert self._runner is not None
        synchroniser = self._runner.av_sync
        self._output.unplayed = synchroniser._audio_source.queued_duration
        await synchroniser.clear_queue()


class _PlayedOutput(QueueAudioOutput):
    """The agent's audio output; reports how much of an interrupted segment was played, not how much was queued."""

    def __init__(self) -> None:
        # Playback starts when the first frame is shown, not when the first audio arrives: words wait for it.
        super().__init__(wait_playback_start=True)
        self.unplayed = 0.0

    def notify_playback_finished(self, playback_position: float, interrupted: bool) -> None:
        played = max(0.0, playback_position - self.unplayed) if interrupted else playback_position
        self.unplayed = 0.0
        super().notify_playback_finished(played, interrupted)


def _video(frame: VideoFrame) -> rtc.VideoFrame:
    height, width, _ = frame.rgb.shape
    rgba = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2RGBA)
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba.tobytes())


def _audio(audio: Int16Array, userdata: dict[str, Any]) -> rtc.AudioFrame:
    return rtc.AudioFrame(audio.tobytes(), PLAYOUT_RATE, 1, len(audio), userdata=dict(userdata))
