"""A process that serves collects garbage in short pieces."""

from __future__ import annotations

import subprocess
import sys

_LEAVE = """
import asyncio, gc, sys
from collections import deque
import presenter.server.app
from aiortc import RTCPeerConnection
from presenter.server.memory import collect_in_short_pieces

if sys.argv[1] == "serving":
    collect_in_short_pieces()
found = []
gc.callbacks.append(lambda phase, info: phase == "stop" and found.append(info["collected"]))

async def main():
    open = deque()
    for _ in range(200):
        peer = RTCPeerConnection()
        peer.addTransceiver("audio")
        peer.addTransceiver("video")
        open.append(peer)
        if len(open) > 20:
            await open.popleft().close()

asyncio.run(main())
print(max(found))
"""


def test_connections_that_have_ended_are_collected_a_few_at_a_time() -> None:
    largest = {
        how: int(subprocess.run([sys.executable, "-c", _LEAVE, how], capture_output=True, check=True).stdout)
        for how in ("serving", "by default")
    }
    print(largest)
    assert 3 * largest["serving"] < largest["by default"]
