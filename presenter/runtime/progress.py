"""Progress of long work: a bar on the terminal, or a function that is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, 0..1, and what is being done."""


def tracked(
    frames: Iterable[T],
    total: int | None,
    what: str,
    progress: Progress | None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Iterator[T]:
    """Yield frames and report how many have passed.

    Args:
        frames: Passed on.
        total: How many there will be, as far as is known.
        what: Is being done.
        progress: Called after each frame; None draws a bar on the terminal instead.
        span: The part of the whole work that this is.
    """
    if progress is None:
        yield from tqdm(frames, total=total, unit="frame", desc=what)
        return
    begin, end = span
    progress(begin, what)
    for count, frame in enumerate(frames, 1):
        yield frame
        progress(begin + (end - begin) * min(count / (total or count), 1.0), what)
