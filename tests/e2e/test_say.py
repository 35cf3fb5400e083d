"""Typed text and captions on the page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

OpenPage = Callable[..., Any]

TEXT = "Good morning, and welcome. My mother bought a big blue boat."

# Lets the page receive a message as if the server had sent it: `now` in it stands for the next moment to be played.
RECEIVE = """
(message) => new Promise((resolve) => {
  const take = ({data}) => {
    const {type, server_ms: now} = JSON.parse(data);
    if (type !== "pong") return;
    spy.channel.removeEventListener("message", take);
    spy.channel.onmessage({data: JSON.stringify(message, (key, value) => key.endsWith("_ms") ? now + value : value)});
    resolve();
  };
  spy.channel.addEventListener("message", take);
})
"""


def pretend_voice(page: Any, available: bool, message: str = "") -> None:
    """Report to the page that the server can speak typed text, or can't."""
    body = {"available": available, "message": message}
    page.route("**/api/voice", lambda route: route.fulfill(json=body))


def wait_for_faces(page: Any) -> None:
    page.wait_for_selector("#presenters .face img", timeout=10_000)


def wait_for_status(page: Any, text: str) -> None:
    said = "text => document.getElementById('status-text').textContent === text"
    page.wait_for_function(said, arg=text, timeout=60_000)  # the voice is loaded first


@pytest.fixture
def page(browser: Any, open_page: OpenPage, server: Any) -> Any:
    """A page that is told of a voice before it has loaded."""
    page = open_page(browser, "about:blank")
    pretend_voice(page, True)
    page.goto(server.url)
    wait_for_faces(page)
    return page


def test_speaks_what_is_typed_without_a_microphone(launch: Callable[..., Any], open_page: OpenPage) -> None:
    page = open_page(launch("--deny-permission-prompts"))
    wait_for_faces(page)
    voice = page.evaluate("fetch('/api/voice').then((response) => response.json())")
    if not voice["available"]:
        pytest.skip(voice["message"])
    assert page.is_disabled("#say-button")
    page.fill("#say-text", TEXT)
    page.keyboard.press("Enter")
    wait_for_status(page, "Speaking")
    assert page.input_value("#say-text") == ""
    assert page.is_disabled("#mic")
    page.wait_for_selector("#caption:not(:empty)", timeout=10_000)
    assert TEXT.startswith(page.text_content("#caption"))
    page.wait_for_selector("#say.speaking")
    assert page.get_attribute("#say-button", "aria-label") == "Stop speaking"
    page.keyboard.press("Escape")
    page.wait_for_selector("#say:not(.speaking)")
    wait_for_status(page, "Ready")
    page.wait_for_selector("#caption:empty", state="attached")
    page.fill("#say-text", "Once more.")
    page.click("#say-button")
    wait_for_status(page, "Speaking")
    page.click("#toggle")
    wait_for_status(page, "Ready")
    assert page.text_content("#toggle-text") == "Start talking"


def test_text_goes_to_the_running_call(page: Any) -> None:
    said: list[str] = []

    def hear(route: Any) -> None:
        said.append(json.loads(route.request.post_data)["text"])
        route.fulfill(json={"utterance": "u"})

    page.route("**/api/sessions/*/say", hear)
    page.click("#toggle")
    page.wait_for_selector("#stage.playing", timeout=20_000)
    for text in ("One.", "Two."):
        page.fill("#say-text", text)
        page.click("#say-button")
    page.wait_for_function("() => spy.peers === 1")
    page.wait_for_timeout(500)
    assert said == ["One.", "Two."]
    assert not page.is_disabled("#mic")
    page.evaluate(RECEIVE, {"type": "state", "state": "speaking"})
    page.wait_for_selector("#say.speaking")
    page.fill("#say-text", "Three.")
    assert page.get_attribute("#say-button", "aria-label") == "Say", "what is typed goes before stopping"


def test_text_that_cannot_be_said_is_given_back(page: Any) -> None:
    refusal = {"error": {"code": "no_voice", "message": "Install the voice."}}
    page.route("**/api/sessions/*/say", lambda route: route.fulfill(status=501, json=refusal))
    page.fill("#say-text", TEXT)
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice:not([hidden])", timeout=20_000)
    assert page.text_content("#notice-title") == "No voice for typed text"
    assert page.input_value("#say-text") == TEXT
    wait_for_status(page, "Ready")
    page.click("#toggle")


def test_no_session_no_text_lost(page: Any) -> None:
    refusal = {"error": {"code": "capacity", "message": "Every seat is taken."}}
    page.route("**/api/sessions", lambda route: route.fulfill(status=503, json=refusal))
    page.fill("#say-text", TEXT)
    page.keyboard.press("Enter")
    page.wait_for_selector("#notice:not([hidden])")
    assert page.text_content("#notice-title") == "All sessions are in use"
    assert page.input_value("#say-text") == TEXT


def test_without_a_voice_a_line_says_how_to_get_one(browser: Any, open_page: OpenPage, server: Any) -> None:
    page = open_page(browser, "about:blank")
    pretend_voice(page, False, "To type instead of speaking, install the voice.")
    page.goto(server.url)
    page.wait_for_selector("#say-hint:not([hidden])")
    assert page.text_content("#say-hint") == "To type instead of speaking, install the voice."
    assert page.is_hidden("#say")


def test_captions_can_be_switched_off_and_stay_so(page: Any) -> None:
    page.click("#toggle")
    page.wait_for_selector("#stage.playing", timeout=20_000)
    assert page.is_hidden("#captions")
    page.evaluate(RECEIVE, {"type": "caption", "text": "Hello", "start_ms": -1000, "end_ms": 9000})
    page.evaluate(RECEIVE, {"type": "caption", "text": "later", "start_ms": 60_000, "end_ms": 61_000})
    page.wait_for_selector("#caption:not(:empty)")
    assert page.text_content("#caption") == "Hello"
    page.click("#captions")
    assert page.is_hidden("#caption")
    page.reload()
    wait_for_faces(page)
    page.click("#toggle")
    page.wait_for_selector("#stage.playing", timeout=20_000)
    page.evaluate(RECEIVE, {"type": "caption", "text": "Hello", "start_ms": -1000, "end_ms": 9000})
    page.wait_for_selector("#caption:not(:empty)", state="attached")
    assert page.is_hidden("#caption")
    page.click("#captions")
    assert page.is_visible("#caption")
    page.evaluate(RECEIVE, {"type": "flush", "until_ms": 0})
    page.wait_for_selector("#caption:empty", state="attached")


@pytest.mark.parametrize("size", [(1280, 900), (1280, 720), (390, 844), (360, 640)])
def test_fits_the_window(page: Any, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for name in ("#toggle", "#say"):
        box = page.locator(name).bounding_box()
        assert box["y"] + box["height"] <= size[1], f"{name} is in view"
    if size[0] > 1000:
        assert page.evaluate("document.documentElement.scrollHeight") <= size[1]
