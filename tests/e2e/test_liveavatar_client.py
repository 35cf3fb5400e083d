"""LiveAvatar's official web SDK, unchanged, in a page of another origin: only its `apiUrl` is this server's."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.npm_page import site, unpacked

SDK, EVENTS = "@heygen/liveavatar-web-sdk@0.0.18", "events@3.3.0"
PAGE = """<!doctype html><iframe width="300" height="300" allow="autoplay"></iframe>
<script type="importmap">{"imports": {"events": "./events.js"}}</script>
<script type="module">
import { LiveAvatarSession } from "./index.esm.js";
window.start = async (token, apiUrl) => {
  window.session = new LiveAvatarSession(token, { apiUrl }); // the changed line
  window.events = [];
  for (const event of ["avatar.speak_started", "avatar.speak_ended"]) session.on(event, () => events.push(event));
  session.on("session.disconnected", (reason) => events.push(reason));
  await session.start();
  document.querySelector("iframe").src = `${apiUrl}/embed?session=${session.sessionId}`;
};
window.speak = (seconds) => {
  const pcm = Int16Array.from({ length: seconds * 24000 }, (_, k) => 8000 * Math.sin(k / 9));
  session.repeatAudio(btoa(Array.from(new Uint8Array(pcm.buffer), (byte) => String.fromCharCode(byte)).join("")));
};
</script>"""


@pytest.fixture
def page_url(tmp_path: Path) -> Iterator[str]:
    folder = unpacked(SDK, tmp_path / "sdk") / "dist"
    (folder / "index.html").write_text(PAGE)
    # The SDK leaves this package to the page's bundler, which would wrap it like this.
    events = (unpacked(EVENTS, tmp_path / "events") / "events.js").read_text()
    wrapped = f"const module = {{ exports: {{}} }};\n{events}\nexport {{ EventEmitter }};\n"
    (folder / "events.js").write_text(wrapped)

    with site(folder) as url:
        yield url


def post(url: str, **headers: str) -> dict[str, Any]:
    body = json.dumps({"mode": "LITE", "avatar_id": "default"}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response))


def test_the_official_sdk_speaks_and_interrupts(
    page_url: str, serve: Callable[..., Any], launch: Callable[..., Any]
) -> None:
    with serve("--token", "secret") as server:
        for refused, headers in ((401, {}), (403, {"X-API-KEY": "secret", "Origin": page_url.rstrip("/")})):
            with pytest.raises(urllib.error.HTTPError, match=str(refused)):
                post(f"{server.url}/v1/sessions/token", **headers)
        token = post(f"{server.url}/v1/sessions/token", **{"X-API-KEY": "secret"})["data"]["session_token"]
        page = launch().new_page()
        page.goto(page_url)
        page.wait_for_function("!!window.start")
        page.evaluate("([token, url]) => start(token, url)", [token, server.url])
        assert page.evaluate("[session.state, session.mode]") == ["CONNECTED", "LITE"]
        page.frame_locator("iframe").locator("video").wait_for()
        page.frames[1].wait_for_function("() => document.getElementById('video').videoWidth >= 256")
        page.evaluate("speak(1)")
        page.wait_for_function("() => events.join() === 'avatar.speak_started,avatar.speak_ended'", timeout=20_000)
        page.evaluate("speak(2), speak(2), speak(2), events.length = 0")
        page.wait_for_function("events.length === 1", timeout=20_000)
        page.evaluate("session.interrupt()")
        page.wait_for_function("events.at(-1) === 'avatar.speak_ended'", timeout=2000)
        page.evaluate("session.keepAlive()")
        with page.expect_response("**/v1/sessions/stop"):  # while it is on its way, the token is valid
            page.evaluate("session.stop()")
        page.wait_for_function("events.at(-1) === 'CLIENT_INITIATED'")
        with pytest.raises(Exception, match="status 401"):
            page.evaluate("([token, url]) => start(token, url)", [token, server.url])
