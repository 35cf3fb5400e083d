"""Renders one film of untrusted files: a separate program, which may be killed at any time.

It reads one line of JSON, the arguments of `presenter.api.render`, from standard input, and writes lines of JSON to
standard output: `progress` and `what` while it works, at last `frames` and `unchanged`, or `code` and `error`: what the
user can do.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from models.errors import ModelError
from presenter.api import render
from presenter.config import load_config
from presenter.errors import ConsentError, PresenterError
from presenter.server.bodies import RENDER_FILES
from stream.errors import StreamError
from stream.files.reader import media_length_s

_NICENESS = 10  # live sessions go first
_MEMORY_BYTES = 6 << 30  # of what it may write to; not limited on a GPU, whose drivers reserve far more than they use
_FILM_BYTES = 4 << 30
MAX_LENGTH_S = 2 * 3600
"""A file that says it is longer is refused: a few bytes may claim silence, or a still picture, of months."""
_STEP = 0.005  # of progress; smaller ones are not told


def main() -> int:
    """Render what standard input says."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        os.nice(_NICENESS)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    job = json.loads(sys.stdin.readline())
    limit(load_config(job["config"]).engine.device)
    told = -1.0

    def progress(share: float, what: str) -> None:
        nonlocal told
        if share - told >= _STEP:
            told = share
            _tell(progress=round(share, 3), what=what)

    try:
        for name in RENDER_FILES:
            if job.get(name) is not None:
                _check_length(Path(job[name]))
        done = render(**job, progress=progress)
    except (PresenterError, StreamError, ModelError) as error:
        code = "no_consent" if isinstance(error, ConsentError) else "render_failed"
        _tell(error=" ".join(str(error).split()), code=code)
        return 2
    except MemoryError:
        _tell(error="needs too much memory to be rendered; make the video smaller", code="render_failed")
        return 2
    _tell(frames=done.frames, unchanged=done.unchanged)
    return 0


def limit(device: str) -> None:
    """Bound what this process may use, where the system can.

    Args:
        device: `cpu` or `cuda`.
    """
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        most = {resource.RLIMIT_FSIZE: _FILM_BYTES, resource.RLIMIT_CORE: 0}
        if device == "cpu":
            most[resource.RLIMIT_DATA] = _MEMORY_BYTES
        for what, size in most.items():
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (size, size))


def _check_length(path: Path) -> None:
    length = media_length_s(path)
    if length is not None and length > MAX_LENGTH_S:
        raise PresenterError(f"{path}: expected at most {MAX_LENGTH_S // 3600} hours, got {length / 3600:.1f}; cut it")


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
