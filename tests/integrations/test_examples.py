"""The example bots, run as a user runs them: with the shipped presenter, without any server elsewhere."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import wave
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 1.5


@pytest.fixture
def recording(tmp_path, speech):
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(speech(SECONDS, 24_000).tobytes())
    return path


def command(name, *arguments):
    return [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_livekit_bot_speaks_in_a_room_of_its_own(recording):
    pytest.importorskip("livekit.agents", reason="livekit-agents is not installed: pip install -e '.[livekit]'")
    run = subprocess.run(
        command("livekit_bot.py", recording, "--dry-run"), capture_output=True, text=True, timeout=200, env=ENVIRONMENT
    )
    found = re.search(r"(\d+) pictures of 512 x 512, ([\d.]+) s of sound", run.stdout)
    assert found, run.stdout + run.stderr
    assert int(found[1]) >= 0.9 * SECONDS * 25, "the last ones may be on their way when the room is left"
    assert float(found[2]) == pytest.approx(SECONDS, abs=0.15)  # the rest is in the stream when the room is left


@pytest.mark.slow
def test_livekit_bot_says_what_a_real_room_needs(recording):
    pytest.importorskip("livekit.agents", reason="livekit-agents is not installed: pip install -e '.[livekit]'")
    bare = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("LIVEKIT_")}
    run = subprocess.run(command("livekit_bot.py", recording), capture_output=True, text=True, timeout=100, env=bare)
    assert run.returncode == 1
    assert "expected LIVEKIT_URL and LIVEKIT_TOKEN in the environment" in run.stderr


async def call(port):
    """Connect as the example's page does; return the loud part of what was heard, in s, and the pictures' sizes."""
    peer = RTCPeerConnection()
    heard, sizes, tasks = [], set(), []

    @peer.on("track")
    def take(track):
        tasks.append(asyncio.create_task(listen(track) if track.kind == "audio" else look(track)))

    async def listen(track):
        while True:
            frame = await track.recv()
            pcm = frame.to_ndarray().reshape(-1, 2)[:, 0]
            heard.append(len(pcm) / frame.sample_rate if np.abs(pcm).max() > 300 else 0.0)

    async def look(track):
        while True:
            frame = await track.recv()
            sizes.add((frame.width, frame.height))

    peer.addTransceiver("audio")
    peer.addTransceiver("video")
    await peer.setLocalDescription(await peer.createOffer())
    # Firefox hides its addresses from pages without a microphone, and says that there are no others.
    hidden = re.sub(r"a=candidate:.*\r\n", "", peer.localDescription.sdp)
    assert "a=end-of-candidates" in hidden
    offer = {"sdp": hidden, "type": peer.localDescription.type}
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"http://localhost:{port}/offer", json=offer) as reply:
                    answer = await reply.json()
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.2)
    await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    while sum(heard) < SECONDS - 0.2 or not sizes:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await peer.close()
    return sum(heard), sizes


@pytest.mark.slow
def test_pipecat_bot_is_seen_and_heard(recording):
    pytest.importorskip("pipecat.pipeline", reason="pipecat-ai is not installed: pip install -e '.[pipecat]'")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(command("pipecat_bot.py", recording, "--port", port), env=ENVIRONMENT)
    try:
        heard_s, sizes = asyncio.run(asyncio.wait_for(call(port), 200))
        assert heard_s == pytest.approx(SECONDS, abs=0.25)
        assert (512, 512) in sizes
    finally:
        server.kill()
        server.wait()
