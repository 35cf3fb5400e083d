"""The long form of the fuzz: `python -m tests.presenter.server.fuzz_long [--messages N] [--offers N] [--uploads N]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.presenter.server import fuzzing
from tests.presenter.server.offers import mutated, real_offer


def send_offers(base: str, count: int) -> Counter[str]:
    """Send so many mutated offers by WHEP; returns the statuses, each checked to be an answer or a refusal."""
    sdp, seen, session = asyncio.run(real_offer()), Counter[str](), fuzzing.open_session(base)
    for seed in range(count):
        data = mutated(sdp, random.Random(seed)).encode()
        status, body, headers = fuzzing.ask(base, "POST", f"/whep/{session}", data, Content_Type="application/sdp")
        assert status in (201, 400, 413), (seed, status, body)
        seen[str(status)] += 1
        if place := headers["Location"]:
            fuzzing.ask(base, "DELETE", place)
    fuzzing.ask(base, "DELETE", f"/api/sessions/{session}")
    return seen


def memory_mb(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) >> 10


def main() -> None:
    """Run the parts one after another against one server, and print a line of figures for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--offers", type=int, default=5_000)
    parser.add_argument("--uploads", type=int, default=2_000)
    wanted = parser.parse_args()
    parts: list[tuple[str, Callable[[str, int], Counter[str]], int]] = [
        ("messages", fuzzing.send_messages, wanted.messages),
        ("offers", send_offers, wanted.offers),
        ("uploads", fuzzing.upload, wanted.uploads),
    ]
    with tempfile.TemporaryDirectory() as folder, fuzzing.serving(Path(folder)) as (base, process):
        for name, send, count in parts:
            for part in range(0, count, 1 + count // 5):  # in fifths, to see whether anything grows
                begun = time.monotonic()
                with fuzzing.Health(base, process.pid) as health:
                    seen = send(base, min(1 + count // 5, count - part))
                figures = {"part": name, "seconds": round(time.monotonic() - begun), **seen, **health.figures()}
                print(json.dumps({**figures, "memory_mb": memory_mb(process.pid)}), flush=True)


if __name__ == "__main__":
    main()
