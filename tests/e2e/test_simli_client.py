"""Simli's official client for browsers, unchanged, in a page of another origin: only its base URL is this server's."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.npm_page import site, unpacked

VERSION = "3.0.2"

# The package is made for bundlers; this loads its files as one would. LiveKit's client is for its other transport.
PAGE = """<!doctype html><video autoplay playsinline muted></video><audio autoplay></audio><script>
const loaded = {};
async function load(path) {
  if (loaded[path]) return loaded[path].exports;
  const source = await (await fetch(path + ".js")).text();
  const names = [...source.matchAll(/require\\("(\\..*?)"\\)/g)].map((match) => match[1]);
  const at = (name) => new URL(name, new URL(path, "http://x")).pathname;
  for (const name of names) await load(at(name));
  const made = (loaded[path] = { exports: {} });
  new Function("exports", "require", source)(made.exports, (name) => (name[0] === "." ? loaded[at(name)].exports : {}));
  return made.exports;
}
async function start(token, url) {
  const { SimliClient, LogLevel } = await load("/client");
  const [video, audio] = [document.querySelector("video"), document.querySelector("audio")];
  const ice = [{ urls: ["stun:127.0.0.1:9"] }];
  // The changed line: its last argument.
  window.client = new SimliClient(token, video, audio, ice, LogLevel?.ERROR, "p2p", "websockets", url);
  window.events = [];
  for (const event of ["speaking", "silent", "error"]) client.on(event, () => events.push(event));
  await client.start();
}
function speak() {
  const pcm = Int16Array.from({ length: 8000 }, (_, k) => 8000 * Math.sin(k / 6));
  client.sendAudioData(new Uint8Array(pcm.buffer));
}
</script>"""


@pytest.fixture
def page_url(tmp_path: Path) -> Iterator[str]:
    folder = unpacked(f"simli-client@{VERSION}", tmp_path / "client") / "dist"
    (folder / "index.html").write_text(PAGE)

    with site(folder) as url:
        yield url


def test_the_official_client_shows_and_speaks(
    page_url: str, serve: Callable[..., Any], launch: Callable[..., Any]
) -> None:
    with serve() as server:
        body, headers = json.dumps({"faceId": "default"}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.url}/compose/token", body, headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            token = json.loads(response.read())["session_token"]
        page = launch().new_page()
        page.goto(page_url)
        page.evaluate("([token, url]) => start(token, url)", [token, server.url.replace("http", "ws")])
        assert page.evaluate("document.querySelector('video').videoWidth") >= 256
        page.evaluate("speak()")
        page.wait_for_function("events.join() === 'speaking,silent'", timeout=20_000)
        page.evaluate("client.stop()")
