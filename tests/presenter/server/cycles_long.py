"""The long form of the cycles: `python -m tests.presenter.server.cycles_long [--cycles N]`.

Each opens a session of `presenter serve`, watches it until a picture is decoded, leaves, and ends the session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.presenter.server import fuzzing
from tests.presenter.server.fuzz_long import memory_mb
from tests.presenter.server.test_release import view

_PARTS = 20


def held(pid: int) -> dict[str, int]:
    """Memory, descriptors and threads of a process."""
    descriptors, threads = (len(os.listdir(f"/proc/{pid}/{what}")) for what in ("fd", "task"))
    return {"memory_mb": memory_mb(pid), "descriptors": descriptors, "threads": threads}


def main() -> None:
    """Print what the server holds after each twentieth of the cycles, and at last how memory grew in each half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=500)
    part = max(1, parser.parse_args().cycles // _PARTS)
    memory = []
    with tempfile.TemporaryDirectory() as folder, fuzzing.serving(Path(folder)) as (base, process):
        for done in range(_PARTS):
            for _ in range(part):
                session = fuzzing.open_session(base)
                asyncio.run(view(base.rstrip("/"), session))
                fuzzing.ask(base, "DELETE", f"/api/sessions/{session}")
            time.sleep(1)  # until the last session's memory has been given back
            figures = held(process.pid)
            memory.append(figures["memory_mb"])
            print(json.dumps({"cycles": (done + 1) * part, **figures}), flush=True)
    halves = {"first": memory[: _PARTS // 2], "second": memory[_PARTS // 2 :]}
    told = {
        name: {
            "mean_mb": round(float(np.mean(half)), 1),
            "mb_per_100_cycles": round(float(np.polyfit(range(len(half)), half, 1)[0]) * 100 / part, 2),
        }
        for name, half in halves.items()
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
