"""Stops the running task at Ctrl+C or SIGTERM, on every event loop."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the running loop at SIGINT and SIGTERM; afterwards these handlers are removed.

    Nothing changes outside the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)  # wakes the loop, which `call_soon` would not

    before = {}
    on_loop = []
    try:
        for number in SIGNALS:
            try:
                loop.add_signal_handler(number, stop)
                on_loop.append(number)
            except NotImplementedError:  # the event loops of Windows
                before[number] = signal.signal(number, handle)
        yield
    finally:
        for number in on_loop:
            loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)
