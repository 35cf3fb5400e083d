"""Opens what a meeting needs, cheapest first, so that what is missing is said at once, and gives it all back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

from models.matting import MattingError
from presenter.config import AppConfig, CameraConfig
from presenter.errors import ConfigError
from presenter.meeting.head_follower import HeadFollower
from presenter.meeting.meeting import Cast, Meeting
from presenter.meeting.virtual_microphone import choose_output
from presenter.runtime.engine import Engine
from presenter.runtime.frame_renderer import FrameRenderer
from presenter.runtime.identities import IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import make_in_thread
from presenter.runtime.session import Session
from stream.camera.canvas import Canvas
from stream.camera.virtual_camera import VirtualCamera
from stream.camera.webcam import Webcam
from stream.clock import SessionClock
from stream.pcm.drift import DriftCorrector
from stream.pcm.gate import NoiseGate
from stream.playout.playout import Playout, PlayoutConfig
from stream.playout.pump import PlayoutPump
from stream.sound import pulse
from stream.sound.microphone import Microphone
from stream.sound.voice_output import VoiceOutput

PLAYOUT = PlayoutConfig(target_ms=40)
"""Picture and sound stay on this machine: there is no network's jitter to wait for."""

_OWN = {pulse.VirtualMicrophone.source, f"{pulse.VirtualMicrophone.sink}.monitor"}


@asynccontextmanager
async def open_meeting(
    config: AppConfig,
    presenter: str,
    *,
    backend: str | None = None,
    wrap: Callable[[FrameRenderer], FrameRenderer] = lambda renderer: renderer,
) -> AsyncIterator[Meeting]:
    """Open devices, load networks and presenter, and close all of it afterwards.

    Args:
        config: which devices, networks and where.
        presenter: the name of one that is enrolled.
        backend: of `pyvirtualcam`; None for the system's.
        wrap: what every renderer goes through before it is used.

    Raises:
        ConfigError: if a background or a presenter can't be used as the configuration wants it.
        DeviceError: if there is no such microphone or output, or it can't be opened; says what there is.
        CameraError: if there is no virtual camera; says what to install.
        WebcamError: if the webcam can't be opened.
        IdentityNotFoundError: if there is no such presenter.
    """
    settings = config.camera
    clock = SessionClock()
    store = IdentityStore(config.presenters_dir)
    store.folder(presenter)
    canvas = Canvas(settings.size, settings.background, settings.place)
    async with AsyncExitStack() as stack:
        camera = VirtualCamera(clock, canvas, delay_ms=0.0, device=settings.device or None, backend=backend)
        await asyncio.to_thread(camera.open)
        stack.callback(camera.close)
        # First the virtual microphone: PulseAudio may move streams that are open when a device is new.
        output = choose_output(settings.voice, stack.enter_context(ExitStack()))
        microphone = await _open_microphone(settings, clock, stack)
        voice = await _open_voice(output, clock, stack)
        head = await asyncio.to_thread(_open_webcam, settings, clock, stack)
        engine = await asyncio.to_thread(Engine.load, config)
        cast = Cast(store.names(), lambda name: wrap(engine.renderer(store.load(name))))
        pump = PlayoutPump(Playout(PLAYOUT), clock)
        renderer, executor = await make_in_thread(lambda: cast.call(presenter))
        session = Session(renderer, pump, executor, Metrics())
        stack.push_async_callback(session.close)
        pump.add(camera, matte=canvas.needs_cutout)
        if voice is not None:
            pump.add(voice)
        if canvas.needs_cutout:
            try:
                await session.add_matte()
            except MattingError as error:
                raise ConfigError(f"presenter {presenter!r} has no matte: {error}; use --background own") from error
        yield Meeting(session, cast, presenter, microphone, camera, voice, head, settings.offset_ms)


async def _open_microphone(settings: CameraConfig, clock: SessionClock, stack: AsyncExitStack) -> Microphone:
    gate = NoiseGate(settings.gate_dbfs) if settings.gate_dbfs else None
    microphone = Microphone(settings.microphone or None, clock, gate, corrector=DriftCorrector)
    await microphone.open()
    stack.push_async_callback(microphone.close)
    sources = {microphone.device.pulse_name}
    if not settings.microphone and pulse.is_available():
        sources |= {source.name for source in pulse.sources() if source.is_default}
    if sources & _OWN:
        raise ConfigError("the microphone is the presenter's own voice: choose yours with --microphone")
    return microphone


async def _open_voice(output: str, clock: SessionClock, stack: AsyncExitStack) -> VoiceOutput | None:
    if output == "off":
        return None
    voice = VoiceOutput(output, clock)
    await voice.open()
    stack.push_async_callback(voice.close)
    return voice


def _open_webcam(settings: CameraConfig, clock: SessionClock, stack: AsyncExitStack) -> HeadFollower | None:
    if not settings.webcam:
        return None
    webcam = stack.enter_context(Webcam(settings.webcam, clock))
    return stack.enter_context(HeadFollower(webcam, clock))
