"""A presenter in a meeting: a microphone in; a virtual camera and a virtual microphone out, on one clock."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.head_motion import IdleMotion
from presenter.errors import PresenterError
from presenter.meeting.head_follower import HeadFollower
from presenter.meeting.status import Shows, Status, Webcam
from presenter.meeting.virtual_microphone import heard_as
from presenter.runtime.frame_renderer import FrameRenderer
from presenter.runtime.session import Session
from stream.camera.virtual_camera import VirtualCamera
from stream.sound.microphone import Microphone
from stream.sound.voice_output import VoiceOutput

_CLIPPED_DBFS = -0.01
_RATED = 24  # statuses: three seconds of those that a terminal shows

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cast:
    """The presenters that can be shown."""

    names: Sequence[str]
    call: Callable[[str], FrameRenderer]
    """Makes the renderer of a name; takes seconds, in any thread."""

    def numbered(self) -> str:
        """The names with their numbers."""
        return ", ".join(f"{number} {name}" for number, name in enumerate(self.names, 1))


class Meeting:
    """What the user wants of a running session, and how it goes."""

    def __init__(
        self,
        session: Session,
        cast: Cast,
        shown: str,
        microphone: Microphone,
        camera: VirtualCamera,
        voice: VoiceOutput | None,
        head: HeadFollower | None = None,
        offset_ms: float = 0.0,
    ) -> None:
        """Take devices that are open; start nothing.

        Args:
            session: shows the presenter `shown`; what it plays goes to `camera` and `voice` already.
            cast: who else can be shown.
            shown: a name of the cast.
            microphone: what is said.
            camera: shows it.
            voice: says it again, in step with the picture; None for nobody.
            head: the user's head, which the presenter's follows; None if nobody looks.
            offset_ms: how much later than its voice a picture is sent.
        """
        self.shown = shown
        self.shows = Shows.LIVE
        self.following = head is not None
        self._session = session
        self._cast = cast
        self._microphone = microphone
        self._camera = camera
        self._voice = voice
        self._head = head
        self._idle = IdleMotion()
        self._offset_ms = offset_ms
        self._muted = self._held = False
        self._sent: deque[tuple[float, int]] = deque(maxlen=_RATED)
        self._casting = asyncio.Lock()
        self._left = asyncio.Event()

    async def run(self) -> None:
        """Go on until `leave`.

        Raises:
            PresenterError: if rendering has failed, which only a bug makes happen; the log says why.
        """
        loop = asyncio.get_running_loop()
        devices = [self._camera.run(), *([self._voice.run()] if self._voice else [])]
        self._session.listen(self._microphone.chunks())
        self._session.start()
        self._apply()
        self._keep_in_step()
        running = [loop.create_task(device) for device in devices]
        ends = [loop.create_task(self._left.wait()), loop.create_task(self._session.stopped.wait())]
        try:
            done, _ = await asyncio.wait([*running, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._session.failed:
                raise PresenterError("the presenter stopped because of a fault in rendering; the log says why")
        finally:
            for task in [*running, *ends]:
                task.cancel()
            await asyncio.gather(*running, *ends, return_exceptions=True)

    def leave(self) -> None:
        """End `run`."""
        self._left.set()

    # ---- what the user wants ----

    def mute(self) -> None:
        """Turn the microphone off, or on again."""
        self._muted = not self._muted
        self._apply()

    def hold_mute(self, held: bool) -> None:
        """Keep the microphone off for as long as a key is held."""
        self._held = held
        self._apply()

    def pause(self, shows: Shows) -> None:
        """Leave the presenter idle or as a still, or go on if that is so already."""
        self.shows = Shows.LIVE if self.shows is shows else shows
        self._apply()

    def follow(self) -> None:
        """Follow the user's head, or stop that."""
        if self._head is None:
            _log.warning("nobody watches your head: start with --webcam")
            return
        self.following = not self.following
        self._apply()

    @property
    def muted(self) -> bool:
        """Whether what is said now is not heard."""
        return self._muted or self._held or self.shows is not Shows.LIVE

    def _apply(self) -> None:
        self._microphone.muted = self.muted
        self._camera.frozen = self.shows is Shows.STILL
        follows = self.following and self.shows is Shows.LIVE
        self._session.follow(self._head if self._head is not None and follows else self._idle)

    async def show_next(self) -> None:
        """Show the next presenter of the cast."""
        names = self._cast.names
        at = names.index(self.shown) if self.shown in names else -1
        await self.show(names[(at + 1) % len(names)])

    async def show_number(self, number: int) -> None:
        """Show the presenter of a number, 1 for the first; see `show`."""
        if number > len(self._cast.names):
            raise PresenterError(f"there is no presenter {number}; there are {self._cast.numbered()}")
        await self.show(self._cast.names[number - 1])

    async def show(self, name: str) -> None:
        """Show another presenter, from one picture to the next, whatever is being said.

        Raises:
            PresenterError: if there is none of this name, or it can't be loaded.
            MattingError: if it has to be cut out and can't be; the one before stays.
        """
        async with self._casting:
            if name != self.shown:
                await self._session.show(await asyncio.to_thread(self._cast.call, name))
                self.shown = name

    # ---- how it goes ----

    def introduction(self) -> str:
        """What to choose in the meeting, and who can be shown."""
        voice = f" and the microphone {heard_as(self._voice.name)!r}" if self._voice else ""
        return (
            f"In the meeting choose the camera {self._camera.device!r}{voice}. Your own microphone is"
            f" {self._microphone.device.name!r}. Presenters: {self._cast.numbered()}. ? shows the keys, q quits."
        )

    def status(self) -> Status:
        """Return what the user is told; also keeps the camera in step with a voice whose delay has changed."""
        voice_ms = self._keep_in_step()
        heard, shown, rendered = self._microphone.stats, self._camera.stats(), self._session.stats()
        said = self._voice.stats() if self._voice else None
        out_ms = rendered["latency_ms"]["out"]
        return Status(
            presenter=self.shown,
            shows=self.shows,
            muted=self._muted or self._held,
            speaking=rendered["speaking"],
            level_dbfs=None if heard.gone else heard.peak_dbfs,
            clipped=heard.peak_dbfs > _CLIPPED_DBFS,
            delay_ms=None if out_ms is None else self._microphone.latency_ms + out_ms + voice_ms,
            fps=self._rate(shown.sent),
            dropped=shown.dropped,
            skew_ms=None if said is None else said.skew_ms - shown.late_ms,
            drift_ppm=heard.drift_ppm,
            webcam=self._webcam(),
        )

    def _keep_in_step(self) -> float:
        voice_ms = self._voice.delay_ms if self._voice else 0.0
        self._camera.delay_ms = max(0.0, voice_ms + self._offset_ms)
        return voice_ms

    def _rate(self, sent: int) -> float | None:
        """New pictures per second over the last statuses."""
        now = asyncio.get_running_loop().time()
        self._sent.append((now, sent))
        began, before = self._sent[0]
        passed = now - began
        return (sent - before) / passed if passed > 0.5 else None

    def _webcam(self) -> Webcam | None:
        if self._head is None or not self.following:
            return None
        return Webcam.FOLLOWING if self._head.following else Webcam.AWAY
