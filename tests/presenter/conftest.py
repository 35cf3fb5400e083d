"""What tests of the application share."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.compositor import FrameCompositor
from models.crop import Window
from models.detail import Mouth

ROOT = Path(__file__).resolve().parents[2]
# What runs in the background of a shell ignores Ctrl-C, and so would what it starts.
_CONTROL = (
    "import fcntl, os, signal, sys, termios; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def light_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the mouth, for tests that are about time: they must not depend on how fast this machine renders."""
    window = Window.around_mask(margin=8, unit=8)
    blank = np.zeros((window.bottom - window.top, window.right - window.left, 4), np.uint8)
    monkeypatch.setattr(FrameCompositor, "mouth", lambda compositor, displacement, number=0: Mouth(blank))


class Terminal:
    """What a user sees and types."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.master = master
        self.process = process
        self.seen = ""
        self._from = 0

    def type(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """Return what is seen up to a match after the last one."""
        end = time.monotonic() + seconds
        while (found := re.compile(pattern).search(self.seen, self._from)) is None:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.master, 65536) if ready else b""
            except OSError:  # no process has it open any more
                data = b""
            assert data, f"no {pattern!r} in {self.seen[self._from :]!r}"
            self.seen += data.decode(errors="replace")
        before, self._from = self.seen[self._from : found.end()], found.end()
        return before

    def attributes(self) -> list[object]:
        """Input, output, control and local flags, and the control characters."""
        flags = termios.tcgetattr(self.master)
        return [*flags[:4], flags[6]]

    def is_cooked(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ICANON)


@contextmanager
def _terminal(*command: str, columns: int = 100, **environment: str) -> Iterator[Terminal]:
    """Run a program with the terminal as its controlling one."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROL, *command],
        stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, start_new_session=True,
        env=env | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "PS1": "shell> "} | environment,
    )  # fmt: skip
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.fixture
def terminal() -> Callable[..., AbstractContextManager[Terminal]]:
    """Runs a program in a pseudoterminal: `with terminal("program", "argument", columns=80) as screen`."""
    return _terminal
