"""A presenter in a meeting: microphone input, virtual camera and virtual microphone output, on one clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.head_motion import IdleMotion
from presenter.errors import PresenterError
from presenter.meeting.face_watcher import FaceWatcher
from presenter.meeting.head_follower import HeadFollower
from presenter.meeting.status import Shows, Status, Swap, Webcam
from presenter.meeting.virtual_microphone import microphone_name
from presenter.runtime.frame_renderer import FrameRenderer
from presenter.runtime.session import Session
from stream.camera.virtual_camera import VirtualCamera
from stream.sound.delayed_output import DelayedOutput
from stream.sound.microphone import Microphone

_CLIPPED_DBFS = -0.01

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AvailablePresenters:
    """The presenters that can be shown, and how to load them."""

    names: Sequence[str]
    load: Callable[[str], FrameRenderer]
    """Makes the renderer of a name; blocks for seconds, callable from any thread."""

    def numbered(self) -> str:
        """The names with their numbers."""
        return ", ".join(f"{number} {name}" for number, name in enumerate(self.names, 1))


class Meeting:
    """The user's commands to a running session, and its status."""

    def __init__(
        self,
        session: Session,
        presenters: AvailablePresenters,
        shown: str,
        microphone: Microphone,
        camera: VirtualCamera,
        output: DelayedOutput | None,
        user: HeadFollower | FaceWatcher | None = None,
        offset_ms: float = 0.0,
    ) -> None:
        """Take open devices; start nothing.

        Args:
            session: shows the presenter `shown`; its playback's sinks are `camera` and `output`.
            presenters: which can be shown.
            shown: one of their names.
            microphone: input.
            camera: video output.
            output: delayed audio output, in step with the frame; None for none.
            user: the webcam's: a head that the presenter follows, or one who is shown with another face; None without
                a webcam.
            offset_ms: how much later than its sound a frame is sent.
        """
        self.shown = shown
        self.shows = Shows.LIVE
        self.following = user is not None
        self._session = session
        self._presenters = presenters
        self._microphone = microphone
        self._camera = camera
        self._output = output
        self._user = user
        self._idle = IdleMotion()
        self._offset_ms = offset_ms
        self._muted = self._held = False
        self._casting = asyncio.Lock()
        self._left = asyncio.Event()
        if output is None:
            self._keep_in_step(0.0)
        else:
            output.observe_delay(self._keep_in_step)

    async def run(self) -> None:
        """Run until `leave`.

        Raises:
            PresenterError: if rendering has failed, which only a bug can cause; the log says why.
        """
        loop = asyncio.get_running_loop()
        devices = [self._camera.run(), *([self._output.run()] if self._output else [])]
        self._session.listen(self._microphone.chunks())
        self._session.start()
        self._apply()
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

    # ---- commands of the user ----

    def mute(self) -> None:
        """Mute or unmute the microphone."""
        self._muted = not self._muted
        self._apply()

    def hold_mute(self, held: bool) -> None:
        """Mute the microphone while a key is held."""
        self._held = held
        self._apply()

    def pause(self, shows: Shows) -> None:
        """Show the presenter idle or as a still, or go live again if that is shown already."""
        self.shows = Shows.LIVE if self.shows is shows else shows
        self._apply()

    def follow(self) -> None:
        """Follow the user's head or show the user, or stop that."""
        if self._user is None:
            _log.warning("no webcam is open: start with --webcam")
            return
        self.following = not self.following
        self._apply()

    @property
    def muted(self) -> bool:
        """Whether the microphone is muted, for any reason."""
        return self._muted or self._held or self.shows is not Shows.LIVE

    def _apply(self) -> None:
        self._microphone.muted = self.muted
        self._camera.frozen = self.shows is Shows.STILL
        follows = self.following and self.shows is Shows.LIVE
        if isinstance(self._user, FaceWatcher):
            self._user.hidden = not follows
        else:
            self._session.follow(self._user if self._user is not None and follows else self._idle)

    async def show_next(self) -> None:
        """Show the next presenter."""
        names = self._presenters.names
        at = names.index(self.shown) if self.shown in names else -1
        await self.show(names[(at + 1) % len(names)])

    async def show_number(self, number: int) -> None:
        """Show the presenter of a number, 1 for the first; see `show`."""
        if number > len(self._presenters.names):
            raise PresenterError(f"there is no presenter {number}; there are {self._presenters.numbered()}")
        await self.show(self._presenters.names[number - 1])

    async def show(self, name: str) -> None:
        """Switch to another presenter from one frame to the next, also during speech.

        Raises:
            PresenterError: if there is none of this name, or it can't be loaded.
            MattingError: if it has to be cut out and can't be; the present one stays.
        """
        async with self._casting:
            if name != self.shown:
                await self._session.show(await asyncio.to_thread(self._presenters.load, name))
                self.shown = name

    # ---- status ----

    def introduction(self) -> str:
        """What to choose in the meeting, and who can be shown."""
        microphone = f" and the microphone {microphone_name(self._output.name)!r}" if self._output else ""
        return (
            f"In the meeting choose the camera {self._camera.device!r}{microphone}. Your own microphone is"
            f" {self._microphone.device.name!r}. Presenters: {self._presenters.numbered()}. ? shows the keys, q quits."
        )

    def status(self) -> Status:
        """Return the status that the user is shown."""
        output_ms = self._output.delay_ms if self._output else 0.0
        captured, shown, rendered = self._microphone.stats, self._camera.stats(), self._session.stats()
        played = self._output.stats() if self._output else None
        out_ms = rendered["latency_ms"]["out"]
        return Status(
            presenter=self.shown,
            shows=self.shows,
            muted=self._muted or self._held,
            speaking=rendered["speaking"],
            level_dbfs=None if captured.gone else captured.peak_dbfs,
            clipped=captured.peak_dbfs > _CLIPPED_DBFS,
            delay_ms=None if out_ms is None else self._microphone.latency_ms + out_ms + output_ms,
            fps=shown.new_fps,
            dropped=shown.dropped,
            skew_ms=None if played is None else played.skew_ms - shown.late_ms,
            drift_ppm=captured.drift_ppm,
            webcam=self._webcam(),
        )

    def _keep_in_step(self, output_ms: float) -> None:
        """Send frames as late as sound is played."""
        self._camera.set_delay(max(0.0, output_ms + self._offset_ms))

    def _webcam(self) -> Webcam | Swap | None:
        if isinstance(self._user, FaceWatcher):
            return self._user.shows
        if self._user is None or not self.following:
            return None
        return Webcam.FOLLOWING if self._user.following else Webcam.AWAY
