"""Explicit streaming state: what a causal layer remembers between two steps.

A state is a dataclass of tensors whose first dimension is the batch. It is passed to `step` and changed in
place, so that weights are shared by any number of streams, addresses never change (a captured graph can hold
them) and one row of a batch can be reset while the others continue. `forward` of every module here is `step` over
a fresh state: there is one implementation of each layer, not two.

Source: the idea is kyutai moshi's `modules/streaming.py`; here the state is an argument, not an attribute.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self

from torch import Tensor


class State:
    """Base of streaming states: a dataclass of tensors `[B, ...]`, states and lists of states."""

    def tensors(self) -> Iterator[Tensor]:
        """Yield every tensor of the state, nested states included, in a fixed order."""
        assert is_dataclass(self)
        for field in fields(self):
            yield from _tensors(getattr(self, field.name))

    def holding(self, tensors: Iterable[Tensor]) -> Self:
        """A state of this structure that holds other tensors, in the order of `tensors()`."""
        return _holding(self, iter(tensors))

    def reset(self, mask: Tensor | None = None) -> None:
        """Return rows to the state of a fresh stream.

        Every fresh state is all zeros, so that this needs no copy of it.

        Args:
            mask: bool `[B]`, True for the rows to reset; all rows when None.
        """
        for tensor in self.tensors():
            if mask is None:
                tensor.zero_()
            else:
                tensor.masked_fill_(mask.view(-1, *[1] * (tensor.dim() - 1)), 0)

    def copy_(self, other: Self) -> None:
        """Overwrite this state with another of the same shape, in place."""
        for mine, theirs in zip(self.tensors(), other.tensors(), strict=True):
            mine.copy_(theirs)

    def snapshot(self) -> list[Tensor]:
        """Return copies of the tensors, for `restore`."""
        return [tensor.clone() for tensor in self.tensors()]

    def restore(self, snapshot: list[Tensor]) -> None:
        """Go back to a snapshot, in place."""
        for tensor, saved in zip(self.tensors(), snapshot, strict=True):
            tensor.copy_(saved)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, State):
        yield from value.tensors()
    elif isinstance(value, list):
        for item in value:
            yield from _tensors(item)
    else:
        raise TypeError(f"expected a tensor, a state or a list of them in a state, got {type(value).__name__}")


def _holding(value: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, list):
        return [_holding(item, tensors) for item in value]
    return replace(value, **{field.name: _holding(getattr(value, field.name), tensors) for field in fields(value)})
