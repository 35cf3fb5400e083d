"""Renders one film of untrusted files: a separate program, which may be killed at any time.

It reads one line of JSON, the arguments of `presenter.api.render`, from standard input, and writes lines of JSON to
standard output: `progress` and `what` while it works, at last `summary`, or `error` with what the user can do.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from typing import Any

from models.errors import ModelError
from presenter.api import render
from presenter.errors import PresenterError
from stream.errors import StreamError

_NICENESS = 10  # live sessions go first
_STEP = 0.005  # of progress; smaller ones are not told


def main() -> int:
    """Render what standard input says."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        os.nice(_NICENESS)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    job = json.loads(sys.stdin.readline())
    told = -1.0

    def progress(share: float, what: str) -> None:
        nonlocal told
        if share - told >= _STEP:
            told = share
            _tell(progress=round(share, 3), what=what)

    try:
        done = render(**job, progress=progress)
    except (PresenterError, StreamError, ModelError) as error:
        _tell(error=" ".join(str(error).split()))
        return 2
    _tell(frames=done.frames, unchanged=done.unchanged)
    return 0


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
