"""Benchmark in a real browser: how far audio and video are apart at playback.

Measured twice, independently: from Chromium's report of its playout (`estimatedPlayoutTimestamp` of both streams), and
from a test renderer whose flash is found in the frames that are shown and whose beep in the sound that is played.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from presenter.bench.beeps import beeps
from presenter.bench.servers import running_sync_test
from presenter.client.client import PresenterClient, connect
from presenter.errors import PresenterError
from stream.media import PLAYOUT_RATE

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")

_SETTLE_S = 15.0  # browsers need this long to bring two streams in step
_SAME_MS = 400.0  # a flash and a beep further apart than this are not of one beep

# The page's peer connection, and two detectors: flashes by the time their frame is due on the screen, beeps by the
# time their sample leaves the audio context.
SPY = """
window.spy = {flashes: [], beeps: [], skews: []};
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); spy.peer = this; }
};
"""
WATCH = """
async () => {
  const video = document.getElementById("video");
  const canvas = new OffscreenCanvas(8, 8);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  let bright = false;
  const look = (now, {expectedDisplayTime}) => {
    context.drawImage(video, 0, 0, 8, 8);
    const white = context.getImageData(4, 4, 1, 1).data[0] > 140;
    if (white && !bright) spy.flashes.push(expectedDisplayTime);
    bright = white;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);

  const audio = new AudioContext({sampleRate: 48000, latencyHint: 0});
  const code = `registerProcessor("beeps", class extends AudioWorkletProcessor {
    quiet = 0;
    process([[channel]]) {
      for (let k = 0; k < (channel?.length ?? 0); k += 1) {
        if (Math.abs(channel[k]) < 0.15) { this.quiet += 1; continue; }
        if (this.quiet > 9600) this.port.postMessage((currentFrame + k) / sampleRate);
        this.quiet = 0;
      }
      return true;
    }
  });`;
  await audio.audioWorklet.addModule(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  const node = new AudioWorkletNode(audio, "beeps", {numberOfOutputs: 0});
  const track = spy.peer.getReceivers().find(({track}) => track.kind === "audio").track;
  audio.createMediaStreamSource(new MediaStream([track])).connect(node);
  node.port.onmessage = ({data}) => {
    const {contextTime, performanceTime} = audio.getOutputTimestamp();
    spy.beeps.push(performanceTime + (data - contextTime) * 1000);
  };
  await audio.resume();
  const toUnix = (ntp) => ntp > 3e12 ? ntp - 2208988800000 : ntp;
  setInterval(async () => {
    const inbound = Object.fromEntries([...(await spy.peer.getStats()).values()]
      .filter(({type}) => type === "inbound-rtp").map((entry) => [entry.kind, entry]));
    const [sound, picture] = ["audio", "video"].map((kind) => inbound[kind]?.estimatedPlayoutTimestamp);
    if (sound && picture) spy.skews.push([performance.now(), toUnix(picture) - toUnix(sound)]);
  }, 250);
}
"""


def chromium() -> str | None:
    """Where a Chromium is, or None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)


async def measure_browser(seconds: float) -> dict[str, Any]:
    """Measure for so long, after the browser has settled.

    Returns:
        `skew_ms` (positive: the sound is later than its frame) by statistics and by beep, its drift over the
        time, and how many beeps that rests on.

    Raises:
        PresenterError: if there is no Chromium or no Playwright.
    """
    async with _page() as page, _bot() as (base, presenter):
        talking = asyncio.create_task(_beep(presenter, _SETTLE_S + seconds + 5))
        try:
            await page.goto(f"{base}/embed?session={presenter.session}")
            await page.wait_for_function("document.getElementById('video').videoWidth > 0", timeout=20_000)
            await page.evaluate(WATCH)
            await asyncio.sleep(_SETTLE_S)
            await page.evaluate("() => { spy.flashes = []; spy.beeps = []; spy.skews = []; }")
            await asyncio.sleep(seconds)
            found = await page.evaluate("({flashes: spy.flashes, beeps: spy.beeps, skews: spy.skews})")
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
    return _report(found)


@asynccontextmanager
async def _page() -> AsyncIterator[Any]:
    path = chromium()
    if path is None:
        raise PresenterError("no Chromium found; Debian: apt install chromium, or set CHROMIUM to its path")
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError as error:
        raise PresenterError("the browser is driven by Playwright: pip install 'presenter[dev]'") from error
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            context = await browser.new_context(bypass_csp=True)  # the detector's worklet comes from a blob
            page = await context.new_page()
            await page.add_init_script(SPY)
            yield page
        finally:
            await browser.close()


@asynccontextmanager
async def _bot() -> AsyncIterator[tuple[str, PresenterClient]]:
    with tempfile.TemporaryDirectory() as folder, running_sync_test(folder) as server:
        async with connect(server.url) as presenter:
            yield server.url, presenter


async def _beep(presenter: PresenterClient, seconds: float) -> None:
    """Send a beep once a second, as one long utterance."""
    minute = beeps(60).astype("<i2").tobytes()
    pieces = (
        minute[at : at + 2 * PLAYOUT_RATE]
        for _ in range(int(seconds / 60) + 1)
        for at in range(0, len(minute), 2 * PLAYOUT_RATE)
    )
    await presenter.speak(pieces, PLAYOUT_RATE)


def _report(found: dict[str, Any]) -> dict[str, Any]:
    flashes = np.array(found["flashes"])
    pairs = []
    for beep in found["beeps"]:
        if len(flashes) and abs(gap := float(beep - flashes[np.abs(flashes - beep).argmin()])) < _SAME_MS:
            pairs.append((beep, gap))
    return {
        "skew_ms": {
            "by_statistics": _figures(np.array(found["skews"], float).reshape(-1, 2)),
            "by_beep": _figures(np.array(pairs, float).reshape(-1, 2)),
        },
        "beeps": len(pairs),
    }


def _figures(rows: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float | None]:
    """Summarise (time, value): the middle, the far end, and how the last fifth differs from the first."""
    if not len(rows):
        return {"p50": None, "p95_of_size": None, "drift": None}
    values = rows[:, 1]
    fifth = max(1, len(values) // 5)
    return {
        "p50": float(np.median(values)),
        "p95_of_size": float(np.percentile(np.abs(values), 95)),
        "drift": float(np.median(values[-fifth:]) - np.median(values[:fifth])),
    }
