"""The page in Firefox: sees, hears and is heard; under trouble; its accessibility."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bidi import FirefoxPage, running_firefox
from tests.e2e.conftest import SPY, wait_until_free
from tests.e2e.test_page_trouble import BLOCKED, CONTROLS, RULES, axe
from tests.e2e.test_talk import INBOUND, MOUTH, WATCH_MOUTH, motion

__all__ = ["axe"]  # a fixture

TEXT = "Good morning, and welcome. My mother bought a big blue boat."
STATUS = "document.getElementById('status-text').textContent"
PLAYING = "!!document.querySelector('#stage.playing')"
COUNT = """
(() => {
  const video = document.getElementById("video");
  const count = () => { spy.shown += 1; video.requestVideoFrameCallback(count); };
  spy.shown = 0;
  video.requestVideoFrameCallback(count);
})()
"""
SKEW = "parseFloat(document.getElementById('f-skew').textContent.replace('−', '-'))"
INSIDE = """
(() => {
  const boxes = %s.map((name) => document.querySelector(name).getBoundingClientRect());
  return boxes.map(({left, top, right, bottom}) => [left, top, innerWidth - right, innerHeight - bottom]);
})()
"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirefoxPage]:
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("no Firefox found (apt-get install firefox-esr)")
    with running_firefox(program, tmp_path_factory.mktemp("firefox")) as page:
        page.before_load(SPY)
        yield page


@pytest.fixture
def page(firefox: FirefoxPage, server: Any) -> Iterator[FirefoxPage]:
    """The page of `server`, with its presenters; an error or a warning in its console fails the test."""
    firefox.size(1280, 800)
    open_page(firefox, server.url)
    yield firefox
    firefox.goto("about:blank")
    wait_until_free(server.url)
    assert not firefox.errors


def open_page(page: FirefoxPage, url: str) -> None:
    page.goto(url)
    page.wait("!!document.querySelector('#presenters .face img')")


def violations(page: FirefoxPage, source: str) -> list[str]:
    page.evaluate("new Promise((done) => setTimeout(done, 700))")  # transitions of colours
    page.evaluate(f"(() => {{ {source}\n }})()")
    texts = "violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join())"
    found: list[str] = page.evaluate(f"axe.run({{runOnly: {json.dumps(RULES)}}}).then(({{violations}}) => {texts})")
    return found


def test_shows_and_repeats_the_microphone(page: FirefoxPage, tmp_path: Path) -> None:
    page.press("#toggle")
    page.wait(PLAYING)
    page.evaluate(COUNT)
    page.wait("spy.shown > 40")
    level = "spy.peer.getReceivers()[0].getSynchronizationSources()[0]?.audioLevel > 0.02"
    page.wait(level)  # the tone of the microphone, as the presenter's voice
    page.wait("/[0-9]+ ms/.test(document.getElementById('f-skew').textContent)")
    inbound = page.evaluate(f"({INBOUND})()")
    assert inbound["video"]["framesDecoded"] > 40
    assert min(inbound["video"]["frameWidth"], inbound["video"]["frameHeight"]) >= 256
    assert inbound["audio"]["packetsReceived"] > 50
    skew = page.evaluate(SKEW)
    print(f"skew {skew:+.0f} ms, {page.evaluate('spy.stats.at(-1)')}")
    assert -100 <= skew <= 150
    page.press("#mic")
    page.wait(f"{STATUS} === 'Microphone off'")
    page.screenshot(tmp_path / "shown.png")
    page.press("#toggle")
    page.wait("document.body.dataset.state === 'idle'")


def test_typed_text_moves_the_mouth(page: FirefoxPage) -> None:
    voice = page.evaluate("fetch('/api/voice').then((response) => response.json())")
    if not voice["available"]:
        pytest.skip(voice["message"])
    page.press("#say-text")
    page.type(TEXT + "\n")
    page.wait(PLAYING)
    page.evaluate(f"({WATCH_MOUTH})({json.dumps(MOUTH)})")
    page.wait(f"{STATUS} === 'Speaking'", within_s=60)  # the voice is loaded first
    page.wait("document.getElementById('caption').textContent.length > 10")
    page.wait(f"{STATUS} === 'Ready'")
    page.evaluate("new Promise((done) => setTimeout(done, 1500))")
    change, level = motion(page.evaluate("spy.frames"))
    loud = level > 0.02
    near = [loud[max(0, k - 10) : k + 6].any() for k in range(len(loud))]
    resting = [c for c, is_near in zip(change, near, strict=True) if not is_near]
    speaking = change[loud]
    print(f"skew {page.evaluate(SKEW)} ms")
    print(f"mouth moves {speaking.mean():.2f} grey values in speech, {sum(resting) / len(resting):.2f} in silence")
    assert len(speaking) > 12
    assert speaking.mean() > 2 * sum(resting) / len(resting)


def test_embedded_presenter_and_its_end(firefox: FirefoxPage, server: Any) -> None:
    body, headers = b'{"presenter": "default", "microphone": "off"}', {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/sessions", body, headers)) as response:
        session = json.load(response)["id"]
    firefox.goto(f"{server.url}/embed?session={session}")
    firefox.wait("document.getElementById('video').videoWidth >= 256")
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/api/sessions/{session}", method="DELETE"))
    firefox.wait("document.getElementById('message').textContent.includes('has ended')")
    firefox.goto("about:blank")
    firefox.errors.clear()  # Firefox's console reports the answer 404, by which the page knows of the end
    wait_until_free(server.url)


def test_no_webrtc_and_accessible(page: FirefoxPage, axe: str) -> None:
    assert violations(page, axe) == []
    page.evaluate("delete window.RTCPeerConnection")
    page.press("#toggle")
    page.wait("!document.getElementById('notice').hidden")
    assert "No WebRTC" in page.evaluate("document.getElementById('notice-title').textContent")
    assert page.evaluate("document.body.dataset.state") == "error"
    assert violations(page, axe) == []


def test_storage_blocked(page: FirefoxPage, server: Any) -> None:
    blocking = page.before_load(BLOCKED)
    open_page(page, server.url)
    page.press("#toggle")
    page.wait(PLAYING)
    page.call("script.removePreloadScript", script=blocking)


@pytest.mark.parametrize("size", [(812, 375), (667, 375), (375, 667)])
def test_controls_fit_on_phones(page: FirefoxPage, size: tuple[int, int]) -> None:
    page.size(*size)
    boxes = dict(zip(CONTROLS, page.evaluate(INSIDE % json.dumps(CONTROLS)), strict=True))
    for name, (left, _, right, bottom) in boxes.items():
        assert left >= 0, f"{name} is cut off"
        assert right >= 0, f"{name} is cut off"
        assert bottom >= 0 or name in ("#microphone", "#add"), f"{name} is below the fold"
