"""How many of one kind may be connected at a time."""

import contextlib
from collections.abc import Iterator

from presenter.errors import CapacityError


class Places:
    """Places of one kind in one session."""

    def __init__(self, limit: int, kind: str) -> None:
        """All places are free.

        Args:
            limit: how many there are.
            kind: what is counted, in the plural and with what sets the limit; for the error message.
        """
        self.taken = 0
        self._limit = limit
        self._kind = kind

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            CapacityError: if none is free.
        """
        if self.taken >= self._limit:
            raise CapacityError(f"This session has {self._limit} {self._kind} already.")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
