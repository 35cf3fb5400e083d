"""Personalises a generator: a separate program, so that its threads and its priority are its own.

It is run by its path with one argument, a JSON object: `crops`, `out`, `init`, `sheet` (a picture to write), `threads`,
`seconds`. To standard output it writes lines of JSON: the progress, and at the end the outcome.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_NICE = 10


def main() -> int:
    """Train as the argument says."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # isolated as it runs, it finds nothing by itself
    if hasattr(os, "nice"):
        os.nice(_NICE)
    import cv2

    from models.training.personal import PersonalTraining, personalise

    given = json.loads(sys.argv[1])
    crops, out, init = (Path(given[name]) for name in ("crops", "out", "init"))
    settings = PersonalTraining(crops=crops, out=out, init=init, threads=given["threads"], seconds=given["seconds"])
    done = personalise(settings, lambda share, message: _say({"progress": share, "message": message}))
    Path(given["sheet"]).write_bytes(cv2.imencode(".jpg", cv2.cvtColor(done.sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    generator = None if done.generator is None else str(done.generator)
    _say({"before": done.before._asdict(), "after": done.after._asdict(), "generator": generator, "steps": done.steps})
    return 0


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
