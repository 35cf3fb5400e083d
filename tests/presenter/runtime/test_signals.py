"""Ctrl+C and SIGTERM end what runs, on loops with signal handlers and on those without (Windows)."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from presenter.runtime.signals import stopped_by_signals


class LoopWithoutSignals(asyncio.SelectorEventLoop):
    """In this respect a loop of Windows."""

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> NoReturn:
        raise NotImplementedError

    def remove_signal_handler(self, sig: int) -> NoReturn:
        raise NotImplementedError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, LoopWithoutSignals])
def test_signals_stop_and_mean_afterwards_what_they_meant(
    loop: Callable[[], asyncio.AbstractEventLoop], number: signal.Signals
) -> None:
    async def scenario() -> None:
        before = signal.getsignal(number)
        stop = asyncio.Event()
        with stopped_by_signals(stop.set):
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
            await asyncio.wait_for(stop.wait(), 5)
        if loop is LoopWithoutSignals:
            assert signal.getsignal(number) is before

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


def test_other_threads_are_left_alone() -> None:
    async def scenario() -> str:
        with stopped_by_signals(lambda: None):
            return "done"

    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(asyncio.run(scenario())))
    thread.start()
    thread.join(5)
    assert ended == ["done"]
