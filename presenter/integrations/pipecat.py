"""A presenter for Pipecat: a service between the TTS and the transport's output.

    Pipeline([transport.input(), ..., tts, PresenterVideoService(), transport.output(), ...])

Written against pipecat-ai 1.14.0; needs the extra `presenter[pipecat]`.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    SystemFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings

from presenter.config import AppConfig
from presenter.integrations.paced import PacedHead, Shown
from presenter.runtime.talking_head import TalkingHead
from stream.errors import StreamError
from stream.media import PLAYOUT_RATE


class _Origin(NamedTuple):
    """Fields of an audio frame that the audio keeps."""

    context_id: str | None
    transport_destination: str | None


class PresenterVideoService(AIService):
    """Takes the TTS audio and emits it with the presenter, frame by frame; idle frames in between.

    Frames between and behind the audio (words, the end of speech) are passed on behind that audio, so that after an
    interruption the transcript holds only what was played. Only `InterruptionFrame` interrupts:
    `UserStartedSpeakingFrame` arrives without it where the bot may not be interrupted. The audio keeps the `context_id`
    and the `transport_destination` of the frames that it came in.

    The transport needs `video_out_enabled=True` and `video_out_is_live=False`, which keeps frames in step with audio.

    Args:
        presenter: The presenter's name.
        config: Settings; the default preset if None.
        **kwargs: For `AIService`.
    """

    def __init__(self, presenter: str = "default", *, config: AppConfig | None = None, **kwargs: Any) -> None:
        super().__init__(settings=ServiceSettings(model=presenter), **kwargs)
        self._presenter = presenter
        self._config = config
        self._head: TalkingHead | None = None
        self._task: asyncio.Task[None] | None = None
        self._origin = _Origin(None, None)  # of the latest audio
        self._emitting = asyncio.Lock()  # held from taking a frame until it is pushed: none follows an interruption

    def can_generate_metrics(self) -> bool:
        """Time to first byte: from the first audio of an utterance to its first frame."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Load the presenter, before the pipeline starts."""
        await super().setup(setup)
        self._head = await TalkingHead.open(self._presenter, self._config, real_time=True)
        self._paced: PacedHead[Frame, _Origin] = PacedHead(self._head)

    async def stop(self, frame: EndFrame) -> None:
        """Play what is queued, then stop."""
        await super().stop(frame)
        if self._showing:
            self._paced.end()
            await self._paced.quiet()
            async with self._emitting:  # the last of it is taken, not yet pushed
                await self._close()
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop at once."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """Release the presenter, however the pipeline ended."""
        await super().cleanup()
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Handle one frame; all but the TTS audio is passed on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputTransportReadyFrame) and self._task is None:
            self._task = self.create_task(self._show())
        if isinstance(frame, InterruptionFrame):
            await self._interrupt()
        if direction is FrameDirection.UPSTREAM or isinstance(frame, SystemFrame) or not self._showing:
            await self.push_frame(frame, direction)
        elif isinstance(frame, TTSAudioRawFrame):
            await self._speak(frame)
        else:
            await self._pass_behind_speech(frame)

    @property
    def _showing(self) -> bool:
        """Whether frames are rendered; after a failure the audio is passed on without."""
        return self._task is not None and not self._task.done()

    async def _speak(self, frame: TTSAudioRawFrame) -> None:
        if not self._paced.speaking:
            await self.start_ttfb_metrics()
        origin = _Origin(frame.context_id, frame.transport_destination)
        if origin != self._origin:
            self._paced.end()
        self._origin = origin
        try:
            self._paced.push_bytes(frame.audio, frame.sample_rate, frame.num_channels, origin)
        except StreamError as error:
            await self.push_error(f"dropped a frame of speech: {error}", exception=error)

    async def _pass_behind_speech(self, frame: Frame) -> None:
        if isinstance(frame, TTSStoppedFrame):
            self._paced.end()
        if self._paced.speaking:
            self._paced.mark(frame)
        else:
            await self.push_frame(frame)

    async def _interrupt(self) -> None:
        if not self._showing:
            return
        async with self._emitting:
            lost = await self._paced.interrupt()
        for frame in lost:
            if not frame.interruptible:
                await self.push_frame(frame)

    async def _show(self) -> None:
        """Push frames and their audio in real time, until cancelled."""
        try:
            while True:
                await self._paced.due()
                async with self._emitting:
                    await self._push_shown(await self._paced.take())
        except Exception as error:
            await self.push_error(f"the presenter stopped, the speech goes on without: {error}", exception=error)

    async def _push_shown(self, shown: Shown[Frame, _Origin]) -> None:
        height, width, _ = shown.frame.rgb.shape
        image = OutputImageRawFrame(shown.frame.rgb.tobytes(), (width, height), "RGB")
        image.sync_with_audio = True
        await self.push_frame(image)
        if len(shown.audio):
            await self.stop_ttfb_metrics()
            audio = TTSAudioRawFrame(shown.audio.tobytes(), PLAYOUT_RATE, 1)
            if shown.origin is not None:
                audio.context_id, audio.transport_destination = shown.origin
            await self.push_frame(audio)
        for frame in shown.marks:
            await self.push_frame(frame)

    async def _close(self) -> None:
        if self._task is not None:
            await self.cancel_task(self._task)
            self._task = None
        if self._head is not None:
            await self._head.aclose()
            self._head = None
