"""The embedded presenter in a real browser: a bot speaks, a frame shows it, and is muted on interruption."""

from __future__ import annotations

import functools
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from presenter.server.operations import OPEN, OPERATIONS
from presenter.server.tokens import Scope

OpenPage = Callable[..., Any]

FRAMES = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"

# A bot in a page of the server: the client as bots use it, and a voice of twelve seconds, four syllables a second.
BOT = """
async () => {
  const {Presenter} = await import("/static/client.js");
  window.bot = await Presenter.connect({url: location.origin});
  window.heard = [];
  for (const type of ["speak_started", "playback", "speak_ended", "interrupted", "error"]) {
    bot.on(type, (event) => heard.push({type, ...event}));
  }
  window.babble = (seconds) => Int16Array.from({length: seconds * 24000}, (_, k) => {
    const t = k / 24000;
    const voice = [1, 2, 3, 5, 9].reduce((sum, n) => sum + Math.sin(2 * Math.PI * 120 * n * t) / n, 0);
    return 9000 * voice * (0.6 + 0.4 * Math.sin(2 * Math.PI * 4 * t));
  });
  window.say = (seconds) => {
    window.utterance = bot.speak({sampleRate: 24000});
    window.written = utterance.write(babble(seconds)).then((whole) => { utterance.end(); return whole; });
  };
  return bot.id;
}
"""

# The level of the received voice every few milliseconds, on the wall clock. Tests of the silence look at the track, as
# the sound card of a headless browser can't be heard.
LISTEN = """
async () => {
  const context = new AudioContext({sampleRate: 48000});
  const analyser = new AnalyserNode(context, {fftSize: 512});
  const track = spy.peer.getReceivers().find(({track}) => track.kind === "audio").track;
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  await context.resume();
  const wave = new Float32Array(512);
  spy.levels = [];
  const look = () => {
    analyser.getFloatTimeDomainData(wave);
    spy.levels.push([Date.now(), Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / 512)]);
    setTimeout(look, 4);
  };
  look();
}
"""


# A few seconds after it connects, Chromium can say which moment of the server's clock it plays.
KNOWS_WHAT_PLAYS = """
async () => {
  for (let k = 0; k < 100; k += 1) {
    const entries = [...(await spy.peer.getStats()).values()];
    if (entries.some(({kind, estimatedPlayoutTimestamp}) => kind === "audio" && estimatedPlayoutTimestamp)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}
"""


def watch(page: Any) -> None:
    """Wait for the first picture."""
    page.wait_for_function("() => document.getElementById('video').videoWidth > 0", timeout=20_000)


def wait_until_heard(page: Any) -> None:
    page.wait_for_function("() => spy.levels.slice(-5).some(([, level]) => level > 0.02)", timeout=15_000)


@pytest.fixture
def bot(browser: Any, open_page: OpenPage) -> Iterator[Any]:
    """A page that holds a session as a bot does, with its id in `bot.id`."""
    page = open_page(browser)
    page.evaluate(BOT)
    yield page
    page.evaluate("bot.close()")


@pytest.fixture
def embed(bot: Any, browser: Any, open_page: OpenPage, server: Any) -> Callable[..., Any]:
    """Open the bot's presenter as it is embedded, with these options in its address."""

    def open_one(options: str = "", **settings: Any) -> Any:
        page = open_page(browser, f"{server.url}/embed?session={bot.evaluate('bot.id')}{options}", **settings)
        watch(page)
        return page

    return open_one


def test_moves_speaks_and_says_what_it_is(bot: Any, embed: Callable[..., Any]) -> None:
    page = embed()
    assert page.text_content("#badge") == "AI-generated video"
    assert page.is_visible("#badge")
    before = page.evaluate(FRAMES)
    page.evaluate(LISTEN)
    bot.evaluate("say(2)")
    wait_until_heard(page)
    bot.wait_for_function("() => heard.some(({type}) => type === 'speak_ended')", timeout=15_000)
    assert bot.evaluate("written") is True
    assert page.evaluate(FRAMES) > before + 10
    assert bot.evaluate("heard.filter(({type}) => type === 'error')") == []
    played = bot.evaluate("heard.find(({type}) => type === 'speak_ended').played_ms")
    assert abs(played - 2000) <= 40


def test_fills_its_frame(embed: Callable[..., Any]) -> None:
    page = embed("&badge=0", viewport={"width": 320, "height": 480})
    assert page.is_hidden("#badge")
    assert page.locator("#video").bounding_box() == {"x": 0, "y": 0, "width": 320, "height": 480}
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [320, 480]


def test_falls_silent_at_once_and_speaks_again(bot: Any, embed: Callable[..., Any]) -> None:
    page = embed()
    page.evaluate(LISTEN)
    bot.evaluate("say(12)")
    wait_until_heard(page)
    page.wait_for_timeout(1000)
    called, interrupted = bot.evaluate("(async () => [Date.now(), await bot.interrupt()])()")
    page.wait_for_timeout(800)
    levels = np.array(page.evaluate("spy.levels"))
    since = levels[levels[:, 0] > called]
    silent_ms = since[since[:, 1] > 0.005, 0].max(initial=called) - called
    print(f"\nsilent {silent_ms:.0f} ms after the interrupt; {interrupted['played_ms']} ms were heard")
    assert silent_ms <= 300
    assert 500 < interrupted["played_ms"] < 4000
    bot.evaluate("say(2)")
    wait_until_heard(page)


def test_a_flush_silences_what_is_on_its_way(bot: Any, embed: Callable[..., Any]) -> None:
    page = embed()
    page.evaluate(LISTEN)
    bot.evaluate("say(20)")
    wait_until_heard(page)
    assert page.evaluate(KNOWS_WHAT_PLAYS)
    # Half a second of the voice that still arrives is declared void; the server goes on speaking.
    flushed = page.evaluate("""async () => {
      const pong = new Promise((resolve) => spy.channel.addEventListener("message", ({data}) => {
        const message = JSON.parse(data);
        if (message.type === "pong") resolve(message.server_ms);
      }));
      const untilMs = (await pong) + 500;
      spy.channel.onmessage({data: JSON.stringify({type: "flush", until_ms: untilMs})});
      return Date.now();
    }""")
    page.wait_for_timeout(1500)
    levels = np.array(page.evaluate("spy.levels"))
    after, level = levels[:, 0] - flushed, levels[:, 1]
    silent = after[(after > 0) & (level < 0.002)].min()
    again = after[(after > silent) & (level > 0.02)].min()
    print(f"\nsilent from {silent:.0f} to {again:.0f} ms after the flush")
    assert silent < 150
    assert 500 < again < 1800, "heard again once the moment has passed"


def test_connects_again_when_the_connection_drops(embed: Callable[..., Any]) -> None:
    page = embed()
    assert page.evaluate("spy.peers") == 1
    page.evaluate("spy.channel.close()")
    page.wait_for_function("() => spy.peers === 2 && spy.peer.connectionState === 'connected'", timeout=15_000)
    before = page.evaluate(FRAMES)
    page.wait_for_function(f"before => {FRAMES} > before + 10", arg=before, timeout=15_000)


def test_says_when_it_is_over(bot: Any, embed: Callable[..., Any]) -> None:
    page = embed()
    bot.evaluate("bot.close()")
    page.wait_for_selector("#message:not(:empty)", timeout=15_000)
    assert page.text_content("#message") == "This presentation has ended."
    assert page.is_hidden("#badge")
    bot.evaluate(BOT)  # for the fixture to close


def test_transparent(bot: Any, launch: Callable[..., Any], open_page: OpenPage, server: Any) -> None:
    browser = launch("--enable-unsafe-swiftshader")
    picture = bot.request.get(f"{server.url}/api/presenters/default/thumbnail").body()
    expected = cv2.resize(decode(picture)[..., :3], (512, 512))[240:270, 240:270].mean((0, 1))
    address = f"{server.url}/embed?session={bot.evaluate('bot.id')}&transparent=1&badge=0"
    for size, density in ((512, 1), (256, 2)):
        page = open_page(browser, address, viewport={"width": size, "height": size}, device_scale_factor=density)
        watch(page)
        page.wait_for_timeout(1000)
        seen = decode(page.screenshot(omit_background=True))
        assert seen.shape == (512, 512, 4)
        for corner in (seen[:12, :12], seen[:12, -12:]):
            assert corner[..., 3].max() == 0
        face = seen[240:270, 240:270]
        assert face[..., 3].min() == 255
        assert np.abs(face[..., :3].mean((0, 1)) - expected).max() < 12
    lose = "document.getElementById('canvas').getContext('webgl2').getExtension('WEBGL_lose_context')"
    page.evaluate(f"() => {{ window.context = {lose}; context.loseContext(); }}")
    page.wait_for_timeout(300)
    page.evaluate("context.restoreContext()")
    page.wait_for_timeout(700)
    again = decode(page.screenshot(omit_background=True))
    assert again[5, 5, 3] == 0
    assert again[255, 255, 3] == 255


def decode(png: bytes) -> np.ndarray:
    """A PNG as BGR or BGRA."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Another site, whose files are in `tmp_path`."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()


# A WHEP player as other sites have them: nothing of this project in it.
PLAYER = """
async (endpoint) => {
  const video = document.body.appendChild(document.createElement("video"));
  video.id = "video";
  video.muted = true;
  const peer = window.peer = new RTCPeerConnection();
  peer.ontrack = ({streams, track}) => {
    video.srcObject ??= streams[0] ?? new MediaStream();
    if (!video.srcObject.getTracks().includes(track)) video.srcObject.addTrack(track);
    video.play();
  };
  for (const kind of ["audio", "video"]) peer.addTransceiver(kind, {direction: "recvonly"});
  await peer.setLocalDescription();
  await new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") resolve();
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
  });
  const headers = {"Content-Type": "application/sdp", "Authorization": "Bearer of-a-player"};
  const response = await fetch(endpoint, {method: "POST", headers, body: peer.localDescription.sdp});
  await peer.setRemoteDescription({type: "answer", sdp: await response.text()});
  const [place, link] = ["Location", "Link"].map((name) => response.headers.get(name));
  return {status: response.status, place: new URL(place, endpoint).href, link};
}
"""
ASK = """
async ([method, place]) => {
  const headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"};
  const response = await fetch(place, {method, headers, body: "a=end-of-candidates"});
  return {status: response.status, allow: response.headers.get("Allow"), text: await response.text()};
}
"""


def test_a_player_of_another_site_watches_by_whep(
    browser: Any, open_page: OpenPage, serve: Any, site: str, tmp_path: Path
) -> None:
    config = tmp_path / "ice.yaml"
    config.write_text(f"server:\n  ice_servers: ['stun:127.0.0.1:9']\npresenters: {tmp_path / 'presenters'}\n")
    with serve("--config", str(config)) as server:
        bot, page = open_page(browser, server.url), open_page(browser, site)
        bot.evaluate(BOT)
        watching = page.evaluate(PLAYER, f"{server.url}/whep/{bot.evaluate('bot.id')}")
        assert (watching["status"], watching["link"]) == (201, '<stun:127.0.0.1:9>; rel="ice-server"')
        page.wait_for_function(f"() => {FRAMES} > 10", timeout=20_000)
        refused = page.evaluate(ASK, ["PATCH", watching["place"]])
        assert (refused["status"], refused["allow"]) == (405, "DELETE, OPTIONS")
        assert "all candidates" in refused["text"]
        assert page.evaluate(ASK, ["DELETE", watching["place"]])["status"] == 204
        page.wait_for_function("() => peer.connectionState !== 'connected'", timeout=20_000)
        bot.evaluate("bot.close()")


@pytest.mark.parametrize("options", ["", "data-captions data-no-badge", "data-transparent"])
def test_one_line_puts_it_into_another_site(
    bot: Any, browser: Any, open_page: OpenPage, server: Any, site: str, tmp_path: Path, options: str
) -> None:
    session = bot.evaluate("bot.id")
    tag = f'<script src="{server.url}/static/embed-presenter.js" data-session="{session}" {options} async></script>'
    (tmp_path / "index.html").write_text(f'<!doctype html><div style="width:300px"><p>before</p>{tag}</div>')
    page = open_page(browser, site)
    page.wait_for_selector("script + iframe")
    box = page.locator("iframe").bounding_box()
    assert (box["width"], box["height"]) == (300, 300)
    frame = page.frame(url="**/embed?**")
    assert ("transparent=1" in frame.url) == ("transparent" in options)
    watch(frame)
    before = frame.evaluate(FRAMES)
    frame.wait_for_function(f"before => {FRAMES} > before + 10", arg=before, timeout=10_000)


@pytest.mark.parametrize(
    ("options", "width", "height"),
    [("", 640, 640), ('data-width="320"', 320, 320), ('data-height="240"', 240, 240), ('data-width="50%"', 450, 450)],
)
def test_size_of_the_inserted_frame(
    browser: Any, open_page: OpenPage, server: Any, site: str, tmp_path: Path, options: str, width: int, height: int
) -> None:
    tag = f'<script src="{server.url}/static/embed-presenter.js" data-session="gone" {options} async></script>'
    (tmp_path / "index.html").write_text(f'<!doctype html><div style="width:900px">{tag}</div>')
    page = open_page(browser, site)
    page.wait_for_selector("script + iframe")
    box = page.locator("iframe").bounding_box()
    assert (box["width"], box["height"]) == (width, height)


@pytest.mark.parametrize("option", ["async", "", "defer"])
def test_a_script_in_the_head_shows_it_at_the_end_of_the_body(
    browser: Any, open_page: OpenPage, server: Any, site: str, tmp_path: Path, option: str
) -> None:
    tag = f'<script src="{server.url}/static/embed-presenter.js" data-session="gone" {option}></script>'
    (tmp_path / "index.html").write_text(f"<!doctype html><head>{tag}</head><body><p>before</p></body>")
    page = open_page(browser, site)
    page.wait_for_selector("p + iframe")
    assert page.locator("iframe").bounding_box()["width"] == 640


OWN_TOKEN = "a-token-of-the-servers-owner"
FETCH = """
async ([method, url, token]) => {
  const headers = {Authorization: `Bearer ${token}`};
  const body = ["GET", "DELETE"].includes(method) ? undefined : "{}";
  return fetch(url, {method, headers, body}).then(({status}) => status, () => "unreachable");
}
"""


@pytest.fixture
def guarded(serve: Any, tmp_path: Path) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A server whose viewers need a token: its address, and a function that asks it as its owner."""
    config = tmp_path / "guarded.yaml"
    config.write_text(f"server:\n  watch_needs_token: true\n  max_sessions: 2\npresenters: {tmp_path / 'presenters'}\n")
    with serve("--config", str(config), "--token", OWN_TOKEN) as server:

        def ask(path: str, **body: Any) -> Any:
            headers = {"Authorization": f"Bearer {OWN_TOKEN}"}
            request = urllib.request.Request(server.url + path, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)

        yield server.url, ask


def test_the_script_with_a_token_shows_one_session_and_reaches_nothing_else(
    browser: Any, open_page: OpenPage, guarded: tuple[str, Callable[..., Any]], site: str, tmp_path: Path
) -> None:
    url, ask = guarded
    session = ask("/api/sessions", presenter="default", microphone="off")["id"]
    token = ask("/api/tokens", scope="watch", session=session)["token"]
    spent = ask("/api/tokens", scope="watch", session=session, expires_in=1)["token"]
    spent_at = time.monotonic() + 2

    def embedded(text: str) -> tuple[Any, Any]:
        tag = f'<script src="{url}/static/embed-presenter.js" data-session="{session}" {text} async></script>'
        (tmp_path / "index.html").write_text(f"<!doctype html><body>{tag}</body>")
        page = open_page(browser, site)
        page.wait_for_selector("iframe")
        return page, page.frame(url="**/embed?**")

    page, frame = embedded(f'data-token="{token}"')
    watch(frame)
    before = frame.evaluate(FRAMES)
    frame.wait_for_function(f"before => {FRAMES} > before + 10", arg=before, timeout=10_000)
    for (method, path), operation in OPERATIONS.items():
        if operation.access is not OPEN and Scope.WATCH not in operation.access:
            place = url + re.sub(r"{\w+}", "none", path.replace("{id}", session))
            assert frame.evaluate(FETCH, [method, place, token]) == 403, (method, path)
            assert page.evaluate(FETCH, [method, place, token]) in (403, "unreachable"), (method, path)

    another = ask("/api/sessions", presenter="default", microphone="off")["id"]
    elsewhere = ask("/api/tokens", scope="watch", session=another)["token"]
    speaks = ask("/api/tokens", scope="speak", session=session)["token"]
    time.sleep(max(0.0, spent_at - time.monotonic()))
    for text, said in (
        (f'data-token="{spent}"', "The link to this presentation has expired, or is not complete."),
        ("", "The link to this presentation has expired, or is not complete."),
        ('data-token="nonsense"', "The link to this presentation has expired, or is not complete."),
        (f'data-token="{elsewhere}"', "This link is not for this presentation."),
        (f'data-token="{speaks}"', "This link is not for this presentation."),
    ):
        page, frame = embedded(text)
        frame.wait_for_selector("#message:not(:empty)", timeout=15_000)
        assert frame.text_content("#message") == said, text
        assert frame.is_hidden("#video")
        assert frame.is_hidden("#badge")
