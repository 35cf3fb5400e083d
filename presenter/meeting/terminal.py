"""`presenter camera` in a terminal: keys and a status line."""

from __future__ import annotations

import asyncio
import logging

from models.errors import ModelError
from presenter.config import AppConfig
from presenter.errors import PresenterError
from presenter.meeting.key_events import HeldKey
from presenter.meeting.meeting import Meeting
from presenter.meeting.setup import open_meeting
from presenter.meeting.status import Shows
from presenter.meeting.status_line import REFRESH_HZ, StatusLine
from presenter.meeting.terminal_keys import TerminalKeys
from presenter.runtime.signals import stopped_by_signals

KEYS = (
    ("m", "mute"),
    ("space", "mute while held"),
    ("p", "pause: idle"),
    ("s", "pause: still"),
    ("n", "next presenter"),
    ("1-9", "that presenter"),
    ("w", "webcam on, off"),
    ("?", "keys"),
    ("q", "quit"),
)

_log = logging.getLogger(__name__)


async def attend(config: AppConfig, presenter: str, *, backend: str | None = None) -> None:
    """Take part in a meeting until the user quits.

    Args:
        config: devices and networks.
        presenter: the name of the one shown first.
        backend: of `pyvirtualcam`; None for the system's.

    Raises:
        PresenterError: if something can't be opened, or rendering fails; see `open_meeting`.
        StreamError: the same, of a device.
    """
    async with open_meeting(config, presenter, backend=backend) as meeting:
        _log.info("%s", meeting.introduction())
        with (
            StatusLine(KEYS) as line,
            TerminalKeys(on_foreground=lambda front: show(line, front)) as keys,
            stopped_by_signals(meeting.leave),
        ):
            controls = Controls(meeting, line)
            reading = [asyncio.create_task(controls.read(keys)), asyncio.create_task(controls.tell())]
            try:
                await meeting.run()
            finally:
                for task in reading:
                    task.cancel()
                await asyncio.gather(*reading, return_exceptions=True)


def show(line: StatusLine, in_front: bool) -> None:
    """Show the line only while the program is in the terminal's foreground."""
    if in_front:
        line.start()
    else:
        line.stop()


class Controls:
    """What each key does."""

    def __init__(self, meeting: Meeting, line: StatusLine) -> None:
        """Read nothing yet."""
        self._meeting = meeting
        self._line = line
        self._space = HeldKey()
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, keys: TerminalKeys) -> None:
        """Handle keys until cancelled."""
        async for key in keys:
            self.press(key)

    async def tell(self) -> None:
        """Update the line, and release keys that are no longer held, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if self._space.poll(loop.time()):
                self._meeting.hold_mute(False)
            self._line.update(self._meeting.status(), loop.time())
            await asyncio.sleep(1 / REFRESH_HZ)

    def press(self, key: str) -> None:
        """Run the command of a key of `KEYS`; others do nothing."""
        meeting = self._meeting
        if key == " ":
            if self._space.press(asyncio.get_running_loop().time()):
                meeting.hold_mute(True)
        elif key == "m":
            meeting.mute()
        elif key in ("p", "s"):
            meeting.pause(Shows.IDLE if key == "p" else Shows.STILL)
        elif key == "n" or (key.isdecimal() and key != "0"):
            self._show(key)
        elif key == "w":
            meeting.follow()
        elif key == "?":
            self._line.toggle_help()
        elif key == "q":
            meeting.leave()

    def _show(self, key: str) -> None:
        task = asyncio.get_running_loop().create_task(self._try_to_show(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try_to_show(self, key: str) -> None:
        try:
            if key == "n":
                await self._meeting.show_next()
            else:
                await self._meeting.show_number(int(key))
        except (PresenterError, ModelError, OSError) as error:
            _log.warning("%s", error)
