"""Opens what a meeting needs, cheapest first so that errors are reported early, and closes all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from models.matting import MattingError
from presenter.config import AppConfig, CameraConfig
from presenter.enroll.enrolment import consented_face
from presenter.errors import ConfigError
from presenter.meeting.face_watcher import FaceWatcher
from presenter.meeting.head_follower import HeadFollower
from presenter.meeting.meeting import AvailablePresenters, Meeting
from presenter.meeting.swap_renderer import SwapRenderer
from presenter.meeting.virtual_microphone import choose_output
from presenter.runtime.engine import Engine
from presenter.runtime.frame_renderer import FrameRenderer
from presenter.runtime.framing import Framing
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.metrics import Metrics
from presenter.runtime.render_thread import make_in_thread
from presenter.runtime.session import Session
from presenter.runtime.styles import StyleStore, styled
from stream.camera.virtual_camera import VirtualCamera
from stream.camera.webcam import TO_SHOW, Webcam
from stream.clock import SessionClock
from stream.framing.canvas import Canvas
from stream.pcm.drift import DriftCorrector
from stream.pcm.gate import NoiseGate
from stream.playout.playout import Playout, PlayoutConfig
from stream.playout.pump import PlayoutPump
from stream.sound import pulse
from stream.sound.delayed_output import DelayedOutput
from stream.sound.microphone import Microphone

PLAYOUT = PlayoutConfig(target_ms=40)
"""Video and audio stay on this machine: there is no network jitter to buffer."""

_T = TypeVar("_T")
_OWN = {pulse.VirtualMicrophone.source, f"{pulse.VirtualMicrophone.sink}.monitor"}


class _BlockingDevices:
    """Opens what blocks for seconds, and closes it in reverse order at the end, in one thread of its own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._executor = ThreadPoolExecutor(1, "devices")

    async def open(self, opener: Callable[..., _T], *arguments: Any) -> _T:
        """Call `opener(*arguments, stack)`, which leaves on the stack what has to be closed."""
        opened = partial(opener, *arguments, self._stack)
        return await asyncio.get_running_loop().run_in_executor(self._executor, opened)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Queued behind an `open` that was cancelled and still runs.
        closed = asyncio.get_running_loop().run_in_executor(self._executor, self._stack.close)
        self._executor.shutdown(wait=False)
        await asyncio.shield(closed)


@dataclass(frozen=True)
class _Cast:
    """Who can be shown, and the user before the webcam: whose head is followed, or who gets another face."""

    presenters: AvailablePresenters
    first: str
    head: HeadFollower | None = None
    swap: FaceWatcher | None = None


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
        config: devices, networks and folders.
        presenter: the name of one that is enrolled; not used if the user is shown with another face.
        backend: of `pyvirtualcam`; None for the system's.
        wrap: applied to each renderer before it is used.

    Raises:
        ConfigError: if a background or a presenter can't be used as the configuration wants it.
        ConsentError: if nobody's consent to the use of a face is recorded.
        DeviceError: if there is no such microphone or output, or it can't be opened; says what there is.
        CameraError: if there is no virtual camera; says what to install.
        WebcamError: if the webcam can't be opened.
        IdentityNotFoundError: if there is no such presenter.
    """
    settings = config.camera
    clock = SessionClock()
    face = await asyncio.to_thread(_face, config)
    store = IdentityStore(config.presenters_dir)
    presenter = presenter if face else store.entry(presenter).name
    canvas = Canvas(settings.size, settings.background, settings.place)
    async with AsyncExitStack() as stack:
        camera = VirtualCamera(clock, canvas, delay_ms=0.0, device=settings.device or None, backend=backend)
        await asyncio.to_thread(camera.open)
        stack.push_async_callback(camera.close)
        devices = await stack.enter_async_context(_BlockingDevices())
        # First the virtual microphone: PulseAudio may move streams that are open when a device is new.
        device = await devices.open(choose_output, settings.voice)
        microphone = await _open_microphone(settings, clock, stack)
        output = await _open_output(device, clock, stack)
        if face is not None:
            cast = await devices.open(_cast_faces, face, store, settings, canvas, clock, wrap)
        else:
            head = await devices.open(_open_webcam, settings, clock)
            cast = await asyncio.to_thread(_cast_presenters, config, store, presenter, head, wrap)
        pump = PlayoutPump(Playout(PLAYOUT), clock)
        renderer, executor = await make_in_thread(lambda: cast.presenters.load(cast.first))
        session = Session(renderer, pump, executor, Metrics())
        stack.push_async_callback(session.close)
        pump.add(camera, matte=canvas.needs_cutout)
        if output is not None:
            pump.add(output)
        if canvas.needs_cutout:
            try:
                await session.rendering.add_matte()
            except MattingError as error:
                raise ConfigError(f"presenter {presenter!r} can't be cut out: {error}; use --background own") from error
        user = cast.swap or cast.head
        yield Meeting(session, cast.presenters, cast.first, microphone, camera, output, user, settings.offset_ms)


def _face(config: AppConfig) -> StoredIdentity | None:
    """Whose face the user gets; None for a presenter instead of the user."""
    settings = config.camera
    if not settings.face:
        if settings.consent:
            raise ConfigError("camera.consent: a photo that it is for is not named; add --face PHOTO")
        return None
    usual = CameraConfig()
    useless = [
        key for key in ("mouth", "background", "place", "style") if getattr(settings, key) != getattr(usual, key)
    ]
    if useless:
        options = ", ".join(f"--{key}" for key in useless)
        raise ConfigError(f"--face shows your own picture, mouth and background; leave out {options}")
    return consented_face(config, settings.face, settings.consent)


def _cast_presenters(
    config: AppConfig,
    store: IdentityStore,
    presenter: str,
    head: HeadFollower | None,
    wrap: Callable[[FrameRenderer], FrameRenderer],
) -> _Cast:
    settings = config.camera
    engine = Engine.load(config)
    style = StyleStore(config.presenters_dir).load(settings.style).style if settings.style else None
    framing = Framing(size=settings.size, background=settings.background)

    def load(name: str) -> FrameRenderer:
        return wrap(engine.renderer(styled(store.load(name), style, settings.style_strength), framing=framing))

    return _Cast(AvailablePresenters(store.names(), load), presenter, head)


def _cast_faces(
    face: StoredIdentity,
    store: IdentityStore,
    settings: CameraConfig,
    canvas: Canvas,
    clock: SessionClock,
    wrap: Callable[[FrameRenderer], FrameRenderer],
    stack: ExitStack,
) -> _Cast:
    """The faces whose use somebody agreed to, and the user who gets them."""
    webcam = stack.enter_context(Webcam(settings.webcam or 0, clock, size=TO_SHOW))
    watcher = stack.enter_context(FaceWatcher(webcam))
    first = face.identity.name
    names = [name for name in store.names() if name != first and store.load(name).consent is not None]

    def load(name: str) -> FrameRenderer:
        stored = face if name == first else store.load(name)
        return wrap(SwapRenderer(stored, watcher, clock, (canvas.width, canvas.height)))

    return _Cast(AvailablePresenters([first, *names], load), first, swap=watcher)


async def _open_microphone(settings: CameraConfig, clock: SessionClock, stack: AsyncExitStack) -> Microphone:
    gate = NoiseGate(settings.gate_dbfs) if settings.gate_dbfs else None
    microphone = Microphone(settings.microphone or None, clock, gate, corrector=DriftCorrector)
    await microphone.open()
    stack.push_async_callback(microphone.close)
    sources = {microphone.device.pulse_name}
    if not settings.microphone:
        sources |= await asyncio.to_thread(_default_sources)
    if sources & _OWN:
        raise ConfigError("the microphone is the presenter's own output: choose yours with --microphone")
    return microphone


def _default_sources() -> set[str | None]:
    """Names of the sources that the sound server takes by default; may take seconds."""
    if not pulse.is_available():
        return set()
    return {source.name for source in pulse.sources() if source.is_default}


async def _open_output(device: str, clock: SessionClock, stack: AsyncExitStack) -> DelayedOutput | None:
    if device == "off":
        return None
    output = DelayedOutput(device, clock)
    await output.open()
    stack.push_async_callback(output.close)
    return output


def _open_webcam(settings: CameraConfig, clock: SessionClock, stack: ExitStack) -> HeadFollower | None:
    if not settings.webcam:
        if settings.mouth == "webcam":
            raise ConfigError("camera.mouth: a webcam that moves the mouth is not named; add --webcam")
        return None
    webcam = stack.enter_context(Webcam(settings.webcam, clock))
    return stack.enter_context(HeadFollower(webcam, clock, mouth=settings.mouth == "webcam"))
