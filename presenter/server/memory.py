"""Gives free memory back to the system, which glibc keeps where it lies between what is in use."""

from __future__ import annotations

import contextlib
import ctypes
import sys


def release_free_memory() -> None:
    """Return what is free to the system, where that can be asked for: glibc, `malloc_trim(3)`; takes milliseconds."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)
