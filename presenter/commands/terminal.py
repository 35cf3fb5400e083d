"""Questions to whoever sits at the terminal."""

from __future__ import annotations

import sys


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask; the answer is no where nobody can be asked."""
    if not has_terminal():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def confirm_overwrite(problem: str) -> bool:
    """Ask whether a file that exists may be replaced.

    Args:
        problem: The error's text, whose first clause names the file.
    """
    return confirm(f"{problem.partition(';')[0]}. Overwrite it?")
