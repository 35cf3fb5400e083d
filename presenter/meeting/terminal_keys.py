"""Reads single keys from the terminal, without Enter, and restores the terminal afterwards.

Ctrl+C and Ctrl+Z keep their meaning. Source: termios(3), credentials(7) on process groups; job control in the
manual of the GNU C library, "Stopped and Terminated Jobs".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from presenter.meeting.key_events import PASTE_OFF, PASTE_ON, KeyDecoder

if sys.platform == "win32":
    import msvcrt
else:
    import termios

_ESCAPE_S = 0.1  # a sequence may arrive in pieces, as over ssh
_LOOK_S = 1.0  # how often a program in the background checks for the foreground
_POLL_S = 0.02
_QUEUED = 64  # keys that were not read yet; later ones are dropped


class TerminalKeys:
    """Keys as they are pressed: `with TerminalKeys() as keys: async for key in keys: ...`, on a running loop.

    Keys are those of `KeyDecoder`. The terminal is restored on exit, and while the program
    is stopped (Ctrl+Z) or in the background. The owner must exit on SIGTERM; a killed program can't restore it.
    Ctrl+S does not stop the output meanwhile, or it would stop the loop at its next line.
    """

    def __init__(self, fd: int | None = None, on_foreground: Callable[[bool], None] | None = None) -> None:
        """Touch nothing yet.

        Args:
            fd: The terminal; standard input by default.
            on_foreground: Called with False before the program is stopped or where it is in the background,
                with True when it is in front again.
        """
        self._fd = _stdin() if fd is None else fd
        self._on_foreground = on_foreground
        self._foreground = True
        self._is_terminal = self._fd is not None and os.isatty(self._fd)
        self._decoder = KeyDecoder()
        self._keys: asyncio.Queue[str] = asyncio.Queue(_QUEUED)
        self._saved: list[Any] | None = None  # the terminal's original attributes, while they are changed
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._signals: list[int] = []

    @property
    def available(self) -> bool:
        """Whether keys can be read; False without a terminal, or after it was closed."""
        return self._is_terminal

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if not self._is_terminal:
            return self
        if sys.platform == "win32":
            self._poll()
        else:
            self._watch_signals()
            self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for number in self._signals:
            self._loop.remove_signal_handler(number)
        self._signals = []
        if sys.platform != "win32":
            self._give_back()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        return await self._keys.get()

    def _put(self, keys: list[str]) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            for key in keys:
                self._keys.put_nowait(key)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action later, and only once if it is requested again."""
        if (timer := self._timers.get(action.__name__)) is not None:
            timer.cancel()
        self._timers[action.__name__] = self._loop.call_later(seconds, action)

    def _flush(self) -> None:
        self._put(self._decoder.flush())

    if sys.platform == "win32":  # not tested: no Windows machine was available

        def _poll(self) -> None:
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key in "\x00\xe0":  # an arrow or a function key; its second half follows
                    msvcrt.getwch()
                else:
                    self._put(["escape"] if key == "\x1b" else self._decoder.feed(key.encode(errors="ignore")))
            self._later(_POLL_S, self._poll)

    else:

        def _watch_signals(self) -> None:
            """Handle Ctrl+Z and fg, unless these signals were ignored when the program started."""
            ours = threading.current_thread() is threading.main_thread()
            for number, action in ((signal.SIGTSTP, self._suspend), (signal.SIGCONT, self._look)):
                if ours and signal.getsignal(number) is signal.SIG_DFL:
                    self._loop.add_signal_handler(number, action)
                    self._signals.append(number)

        def _suspend(self) -> None:
            """Restore the terminal, stop the process, and continue here after fg or bg."""
            self._give_back()
            self._tell(False)
            self._loop.remove_signal_handler(signal.SIGTSTP)
            signal.raise_signal(signal.SIGTSTP)  # to this thread, so that it stops before the next line
            self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            self._look()

        def _look(self) -> None:
            """Take the terminal in the foreground, else check again later: no signal reports `fg` after `bg`."""
            if self._in_front():
                self._take()
                self._tell(True)
                return
            if self._saved is not None:  # stopped by SIGSTOP, which can't be handled
                self._loop.remove_reader(self._descriptor)
                self._saved = None
            self._tell(False)
            self._later(_LOOK_S, self._look)

        def _in_front(self) -> bool:
            """Whether the terminal may be read and set; in the background either would stop the program."""
            try:
                return os.tcgetpgrp(self._descriptor) == os.getpgrp()
            except OSError:
                return True  # not the controlling terminal, which never stops this program

        def _take(self) -> None:
            try:
                attributes = termios.tcgetattr(self._descriptor)
                if self._saved is None:
                    self._saved = termios.tcgetattr(self._descriptor)
                attributes[0] &= ~termios.IXON
                attributes[3] &= ~(termios.ECHO | termios.ICANON)
                attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
            except termios.error:
                self._is_terminal = False
                return
            self._mark_pastes(PASTE_ON)
            self._loop.add_reader(self._descriptor, self._read)

        def _give_back(self) -> None:
            if self._saved is None:
                return
            self._loop.remove_reader(self._descriptor)
            if self._in_front():
                self._mark_pastes(PASTE_OFF)
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved)
            self._saved = None

        def _read(self) -> None:
            try:
                data = os.read(self._descriptor, 4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # the terminal was closed
                self._loop.remove_reader(self._descriptor)
                self._is_terminal = False
                return
            self._put(self._decoder.feed(data))
            if self._decoder.pending:
                self._later(_ESCAPE_S, self._flush)

    @property
    def _descriptor(self) -> int:
        assert self._fd is not None, "only a terminal is read"
        return self._fd

    def _mark_pastes(self, order: bytes) -> None:
        if os.environ.get("TERM", "dumb") != "dumb":
            with contextlib.suppress(OSError):  # opened for reading alone
                os.write(self._descriptor, order)

    def _tell(self, foreground: bool) -> None:
        if foreground != self._foreground:
            self._foreground = foreground
            if self._on_foreground is not None:
                self._on_foreground(foreground)


def _stdin() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # none, not a file, or closed
        return None
