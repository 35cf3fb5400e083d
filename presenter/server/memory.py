"""Memory of a process that serves: garbage is collected in short pieces, and what is free is given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

_PIECE = (700, 10, 1)
"""Thresholds of `gc`: a full collection every second middle one, so that it finds the garbage of about 20 peers instead
of 100 (a closed connection of aiortc is 1,500 objects in cycles): 5 to 10 ms instead of 40 to 65."""


def collect_in_short_pieces() -> None:
    """Let no collection stop the event loop for long; for a process that has loaded what it will keep.

    What exists is never searched for garbage again, which would take 0.2 s now and then.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # only now it counts what exists as none; otherwise it waits for a quarter as much again
    gc.set_threshold(*_PIECE)


def release_free_memory() -> None:
    """Return what is free to the system, where that can be asked for: glibc, `malloc_trim(3)`; takes milliseconds.

    glibc keeps what lies between what is in use.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)
