"""Servers in processes of their own, for benchmarks: a presenter's, and a sync-test renderer's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from presenter.errors import PresenterError

_START_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        url: Its address.
        pid: Of its process.
        started_s: From the start of the process until it answered.
    """

    url: str
    pid: int
    started_s: float


def running_server(config: str = "cpu") -> contextlib.AbstractContextManager[Server]:
    """Run `presenter serve` on a free port, with a preset or a file of settings."""
    port = _free_port()
    return _running(["-m", "presenter", "--config", config, "serve", "--port", str(port)], port)


def running_sync_test(folder: str) -> contextlib.AbstractContextManager[Server]:
    """Run a server whose presenters are sync-test renderers (`presenter.bench.sync_test`)."""
    port = _free_port()
    return _running(["-m", "presenter.bench.sync_test", str(port), folder], port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(arguments: list[str], port: int) -> Iterator[Server]:
    command = [sys.executable, *arguments]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while not _answers(port):
            if time.monotonic() > deadline or process.poll() is not None:
                raise PresenterError(f"the server did not start; try it by hand: python {' '.join(arguments)}")
            time.sleep(0.02)
        yield Server(f"http://127.0.0.1:{port}", process.pid, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
