"""Which frames serve as references: of each pose the best ones, some time apart, until it is known what is covered."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_KEPT = 3
_APART_S = 2  # what covers a mouth is gone then, more often than not


class _Candidate(NamedTuple, Generic[T]):
    misses: float
    frame: int
    time: Fraction
    reference: T


class Candidates(Generic[T]):
    """The best frames of one pose."""

    def __init__(self) -> None:
        self._kept: list[_Candidate[T]] = []

    def offer(self, misses: float, frame: int, time: Fraction, make: Callable[[], T]) -> None:
        """Consider a frame.

        Args:
            misses: How far it is from what is wanted.
            frame: Its number.
            time: When it is shown, seconds.
            make: Makes a reference of it, if it is kept.
        """
        near = [each for each in self._kept if abs(each.time - time) < _APART_S]
        rivals = near or (self._kept if len(self._kept) == _KEPT else [])
        worst = max(rivals, key=lambda each: each.misses, default=None)
        if any(each.misses <= misses for each in near) or (worst is not None and worst.misses <= misses):
            return
        gone = near or ([worst] if worst is not None else [])
        self._kept = [each for each in self._kept if each not in gone]
        self._kept.append(_Candidate(misses, frame, time, make()))

    def best(self, usable: Callable[[int], bool]) -> T | None:
        """The best of the frames that are usable; None if none is."""
        left = [each for each in self._kept if usable(each.frame)]
        return min(left, key=lambda each: each.misses).reference if left else None
