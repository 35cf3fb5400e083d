"""An event loop whose time passes only when all tasks wait: hours of a live stream in seconds, and each run the same.

Tasks, timers and executors are the real ones of asyncio; only the clock is not. What takes time sleeps, or
uses a `SimulatedExecutor`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from stream.clock import SessionClock

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Never waits: advances the clock by the timeout instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.now += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Begins at time 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def clock(self) -> SessionClock:
        """A session's clock that follows this loop."""
        return SessionClock(lambda: round(1e9 * self._jump.now), lambda: 0)


class SimulatedExecutor(ThreadPoolExecutor):
    """One thread that is done with everything when `cost_s` of the loop's time has passed; at once without that."""

    def __init__(self, cost_s: float = 0.0) -> None:
        super().__init__(max_workers=1)
        self._cost_s = cost_s
        self._free_at = 0.0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if not self._cost_s:
            self._do(future, function, arguments, named)
            return future
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + self._cost_s
        loop.call_at(self._free_at, self._do, future, function, arguments, named)
        return future

    @staticmethod
    def _do(future: Future[Any], function: Callable[..., Any], arguments: Any, named: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:
            future.set_exception(error)


def simulate(scenario: Callable[[SimulatedLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a loop of its own."""
    loop = SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scenario(loop))
