"""Viewers that share no code with this side: werift in TypeScript, GStreamer in C, libwebrtc in C++ (@roamhq/wrtc)."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, VideoFrame, silence
from stream.playout.playout import Playout
from stream.playout.pump import PlayoutPump
from stream.rtc.hub import EncoderHub
from stream.rtc.peer import Peer

INTEROP = Path(__file__).parents[2] / "interop"
SECONDS = 4


@pytest.fixture(scope="module")
def node_viewers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Node's viewers, with what they need beside them."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("interop")
    for file in INTEROP.glob("*.*"):
        shutil.copy(file, folder)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=240)
    return folder


async def act(hub: EncoderHub) -> None:
    rng = np.random.default_rng(0)
    for k in itertools.count():
        rgb = rng.integers(0, 40, (128, 128, 3)).astype(np.uint8)
        await hub.pump.put(silence(k * CHUNK_SAMPLES), VideoFrame(rgb, k * CHUNK_SAMPLES))


async def watch_by_whep(codec: str, *program: str) -> tuple[list[dict[str, Any]], bool]:
    hub = EncoderHub(PlayoutPump(Playout(), SessionClock()))
    peers: list[Peer] = []

    async def join(request: web.Request) -> web.Response:
        peers.append(Peer(hub))
        answer = await peers[-1].answer(await request.text())
        headers = {"Location": "/whep/show/viewer"}
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=headers)

    async def leave(_: web.Request) -> web.Response:
        await peers[-1].close()
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/whep/show", join), web.delete("/whep/show/viewer", leave)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    tasks = [asyncio.create_task(hub.pump.run()), asyncio.create_task(act(hub))]
    try:
        command = (*program, f"http://127.0.0.1:{port}/whep/show", codec, str(SECONDS))
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return [json.loads(line) for line in out.splitlines()], peers[0].closed.is_set()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(peer.close() for peer in peers), return_exceptions=True)
        await runner.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_werift_watches_by_whep(node_viewers: Path, run: Callable, codec: str) -> None:
    reports, left = run(watch_by_whep(codec, "node", str(node_viewers / "watch.mjs")))
    last = reports[-1]
    print(last)
    assert "connected" in {report["state"] for report in reports}
    assert last["codec"].lower() == f"video/{codec}".lower()
    assert last["begins_with_keyframe"] is True
    assert last["video"] > 25
    assert last["audio"] > 50
    assert last["keyframes"] >= 2, "a picture loss that werift reports brings a keyframe"
    assert left, "its DELETE ended the peer"


@pytest.mark.slow
def test_libwebrtc_in_node_watches_by_whep(node_viewers: Path, run: Callable) -> None:
    if not list((node_viewers / "node_modules" / "@roamhq").glob("wrtc-*")):
        pytest.skip("@roamhq/wrtc has no binary for this platform")
    reports, left = run(watch_by_whep("VP8", "node", str(node_viewers / "watch_wrtc.mjs")))
    last = reports[-1]
    print(last)
    assert "connected" in {report["state"] for report in reports}
    assert last["codec"] == "VP8"
    assert last["video"] > 25, "decoded"
    assert last["width"] == 128
    assert last["audio"] > 100, "ticks of 10 ms"
    assert left, "its DELETE ended the peer"


@pytest.fixture(scope="module")
def debian_python() -> str:
    """The interpreter that has GStreamer's bindings, with the plugins that a viewer needs."""
    python = "/usr/bin/python3"
    check = """if True:
        import gi
        for name in ("Gst", "GstWebRTC", "GstSdp"):
            gi.require_version(name, "1.0")
        from gi.repository import Gst
        Gst.init(None)
        wanted = ("webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "rtpvp8depay", "rtph264depay", "rtpopusdepay")
        missing = [name for name in wanted if Gst.ElementFactory.find(name) is None]
        raise SystemExit(f"no {missing}" if missing else 0)
    """
    if not Path(python).exists():
        pytest.skip(f"{python} does not exist")
    found = subprocess.run([python, "-c", check], capture_output=True, text=True, timeout=60, check=False)
    if found.returncode:
        pytest.skip("GStreamer's Python bindings or plugins are not installed: " + found.stderr.strip()[-200:])
    return python


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_gstreamer_watches_by_whep(debian_python: str, run: Callable, codec: str) -> None:
    """Its certificate is RSA, its offer leaves the DTLS role to the answer and says nothing about H.264."""
    reports, left = run(watch_by_whep(codec, debian_python, str(INTEROP / "watch_gstreamer.py")))
    last = reports[-1]
    offer = last.pop("offer")
    print(last)
    assert "a=setup:actpass" in offer
    assert "packetization-mode" not in offer
    assert "connected" in {report.get("state") for report in reports}
    assert last["video"] > 25
    assert last["audio"] > 50
    assert last["keyframes"] >= 1
    assert left, "its DELETE ended the peer"
