"""Stages of work on a video side by side: one thread makes frames while another uses them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

_HELD = 4  # items: enough for stages of uneven pace, and 100 MB of 4K frames
_LOOKS_S = 0.1  # how often a thread with nobody to take its items looks whether it is to stop


def ahead(items: Iterable[T], held: int = _HELD) -> Generator[T]:
    """Yield items in their order, made in a thread of their own before they are asked for.

    What decodes, renders or encodes releases the interpreter, so that two stages use two cores. An error is raised
    where its item would have been. If this is closed early, the thread ends and closes `items`.

    Args:
        items: Iterated over in that thread.
        held: How many are made ahead at the most.
    """
    made: queue.Queue[list[T] | BaseException | None] = queue.Queue(held)  # None is the end
    stopped = threading.Event()

    def put(one: list[T] | BaseException | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                made.put(one, timeout=_LOOKS_S)
                return

    def make() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                put([item])
                if stopped.is_set():
                    break
            put(None)
        except BaseException as error:
            put(error)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    thread = threading.Thread(target=make, name="frames ahead", daemon=True)
    thread.start()
    try:
        while (one := made.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield from one
    finally:
        stopped.set()
        thread.join()
