"""A server in a separate process, a headless Chromium, and a microphone that plays a WAV."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from presenter.bench.browser import FLAGS, chromium

playwright = pytest.importorskip("playwright.sync_api")

TEXT = (
    "Good morning, and welcome. My mother bought a big blue boat, and five people helped to move it."
    " Please watch my lips while I speak."
)
FAKE_DEVICE = "--use-fake-device-for-media-stream"
ALLOW = "--use-fake-ui-for-media-stream"

# Tests look at the page's peer connection and at the server's messages; the page itself keeps both to itself. The fake
# microphone is clean, and the browser's processing of it would only add something of its own to what is measured.
SPY = """
window.spy = {stats: [], peers: 0};
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); spy.peer = this; spy.peers += 1; }
  createDataChannel(...args) {
    const channel = spy.channel = super.createDataChannel(...args);
    channel.addEventListener("message", ({data}) => {
      const message = JSON.parse(data);
      if (message.type === "stats") spy.stats.push(message);
    });
    return channel;
  }
};
if (navigator.mediaDevices) {
  const plain = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = ({audio, ...others}) =>
    open({...others, audio: audio && {...audio, ...plain}});
}
"""


@dataclass(frozen=True)
class Server:
    """A running `presenter serve`."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def running_server(folder: Path, *options: str, settings: str = "") -> Iterator[Server]:
    """Start `presenter serve` on a free port, with presenters kept in `folder` and more `settings`, lines of YAML."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yaml"
    config.write_text(f"server:\n  max_sessions: 1\npresenters: {folder / 'presenters'}\n{settings}")
    command = [sys.executable, "-m", "presenter", "--config", str(config), "serve", "--port", str(port), *options]
    log = (folder / "server.log").open("w+")
    process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    try:
        wait_until_ready(f"http://localhost:{port}/readyz", process, log.name)
        yield Server(f"http://localhost:{port}", process)
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def wait_until_ready(url: str, process: subprocess.Popen[str], log: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{Path(log).read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """Start a server of the test's own, with options of `presenter serve`."""
    return partial(running_server, tmp_path)


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV of three seconds of silence, speech, and two more seconds of silence; the fake microphone repeats it."""
    folder = tmp_path_factory.mktemp("speech")
    voice = spoken(folder) if shutil.which("espeak-ng") else babble()
    padded = np.concatenate([np.zeros(3 * 48_000), voice, np.zeros(2 * 48_000)])
    path = folder / "microphone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes((padded * 32767).astype(np.int16).tobytes())
    return path


def spoken(folder: Path) -> np.ndarray:
    """`TEXT` in espeak-ng's voice, float at 48 kHz."""
    raw = folder / "raw.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", str(raw), TEXT], check=True)
    with wave.open(str(raw)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    at = np.arange(int(len(samples) * 48_000 / rate)) * rate / 48_000
    return 0.7 * np.interp(at, np.arange(len(samples)), samples)


def babble(seconds: float = 6.0) -> np.ndarray:
    """Syllables without words: a pulse train through the formants of changing vowels, four a second."""
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
    rate, length = 48_000, 12_000
    t = np.arange(length) / rate
    out = []
    for k in range(int(seconds * rate / length)):
        formants = vowels[k % len(vowels)]
        ring = sum(np.exp(-t * 80) * np.sin(2 * np.pi * f * t) / (n + 1) for n, f in enumerate(formants))
        pulses = np.zeros(length)
        pulses[:: rate // (110 + 5 * (k % 5))] = 1
        out.append(np.convolve(pulses, ring)[:length] * np.sin(np.pi * t * rate / length) ** 2)
    whole = np.concatenate(out)
    return 0.5 * whole / np.abs(whole).max()


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Start a headless Chromium with extra flags; it ends with the module.

    Not with the session: while Playwright runs, its event loop counts as running, and later tests start their own.
    """
    path = chromium()
    if path is None:
        pytest.skip("no Chromium found (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browsers: list[Any] = []

        def start(*flags: str) -> Any:
            browsers.append(driver.chromium.launch(executable_path=path, args=[*FLAGS, *flags]))
            return browsers[-1]

        yield start
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Any], speech: Path) -> Any:
    """A browser whose microphone is allowed and plays `speech`."""
    return launch(FAKE_DEVICE, ALLOW, f"--use-file-for-fake-audio-capture={speech}")


@pytest.fixture
def open_page(server: Server) -> Iterator[Callable[..., Any]]:
    """Open the page of `server` (or another address) and fail on any error in it; leave a free host behind."""
    contexts: list[Any] = []
    errors: list[str] = []

    def open_one(browser: Any, url: str = server.url, **options: Any) -> Any:
        context = browser.new_context(bypass_csp=options.pop("bypass_csp", False), **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(SPY)
        page.goto(url)
        return page

    yield open_one
    for context in contexts:
        for page in context.pages:
            page.goto("about:blank")  # a page reports that it is left; a closed browser may not
        context.close()
    wait_until_free(server.url)
    assert not errors


def look(page: Any, name: str) -> None:
    """Keep a screenshot for people to look at, where a folder is given."""
    if folder := os.environ.get("PRESENTER_SCREENSHOTS"):
        page.wait_for_timeout(800)  # until it has faded in
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def wait_until_free(url: str) -> None:
    """Wait until no session is active: the server has one host, and takes 20 s to notice a page that vanished."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            if not json.load(response)["sessions"]["active"]:
                return
        time.sleep(0.05)
    raise AssertionError("a session outlived the pages of its test")
