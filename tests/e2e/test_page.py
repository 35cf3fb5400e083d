"""What the page says and does, state by state, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

OpenPage = Callable[..., Any]


def wait_for_state(page: Any, *states: str, timeout: int = 20_000) -> None:
    page.wait_for_function("states => states.includes(document.body.dataset.state)", arg=list(states), timeout=timeout)


def notice(page: Any) -> str:
    page.wait_for_selector("#notice:not([hidden])", timeout=10_000)
    return str(page.text_content("#notice-title") + ": " + page.text_content("#notice-text"))


def wait_for_faces(page: Any) -> None:
    page.wait_for_selector("#presenters .face img", timeout=10_000)


def test_microphone_refused(launch: Callable[..., Any], open_page: OpenPage) -> None:
    page = open_page(launch("--use-fake-device-for-media-stream", "--deny-permission-prompts"))
    wait_for_faces(page)
    page.click("#toggle")
    assert "Microphone blocked" in notice(page)
    assert page.get_attribute("body", "data-state") == "error"
    assert page.text_content("#toggle-text") == "Start talking"


def test_no_microphone(launch: Callable[..., Any], open_page: OpenPage) -> None:
    page = open_page(launch("--use-fake-ui-for-media-stream"))
    wait_for_faces(page)
    page.click("#toggle")
    assert "No microphone found" in notice(page)


def test_server_full_then_free(browser: Any, open_page: OpenPage) -> None:
    first, second = open_page(browser), open_page(browser)
    for page in (first, second):
        wait_for_faces(page)
    first.click("#toggle")
    wait_for_state(first, "listening", "speaking")
    second.click("#toggle")
    assert "All sessions are in use" in notice(second)
    first.click("#toggle")
    wait_for_state(first, "idle")
    second.click("#toggle")
    wait_for_state(second, "listening", "speaking")


def test_closed_tab_frees_its_seat(browser: Any, open_page: OpenPage, server: Any) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    page.click("#toggle")
    wait_for_state(page, "listening", "speaking")
    page.close(run_before_unload=False)
    other = open_page(browser)
    free = f"() => fetch('{server.url}/readyz').then(r => r.json()).then(r => r.sessions.active === 0)"
    other.wait_for_function(free, timeout=10_000)


def test_mute_buttons_and_keys(browser: Any, open_page: OpenPage) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    assert page.is_disabled("#mic")
    page.click("#toggle")
    wait_for_state(page, "listening", "speaking")
    page.click("#hear")
    assert page.evaluate("document.getElementById('video').muted")
    page.keyboard.press("h")
    assert not page.evaluate("document.getElementById('video').muted")
    page.click("#mic")
    page.wait_for_function("() => document.getElementById('status-text').textContent === 'Microphone off'")
    page.wait_for_timeout(1500)
    shown = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
    before = page.evaluate(shown)
    page.wait_for_function(f"() => {shown} > {before} + 10")  # the session continues while the microphone is off
    assert page.evaluate("spy.stats.at(-1).speaking") is False


def test_interrupts_and_nonsense_leave_the_presenter_alive(browser: Any, open_page: OpenPage) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    page.click("#toggle")
    wait_for_state(page, "speaking")
    page.evaluate("""() => {
      const nonsense = ["nonsense", "[1]", "{}", '{"type": 7}', '{"type": "ping"}', "x".repeat(40000)];
      for (const text of nonsense) spy.channel.send(text);
      spy.channel.send(new Uint8Array(1000));
      for (let k = 0; k < 20; k += 1) spy.channel.send('{"type": "interrupt"}');
    }""")
    before = page.evaluate("spy.stats.at(-1).frames")
    page.wait_for_function(f"() => spy.stats.at(-1).frames > {before} + 10")
    assert page.get_attribute("body", "data-state") in ("listening", "speaking")


def test_connection_lost(browser: Any, open_page: OpenPage, serve: Callable[..., Any]) -> None:
    with serve() as own:
        page = open_page(browser, own.url)
        wait_for_faces(page)
        page.click("#toggle")
        wait_for_state(page, "listening", "speaking")
        page.wait_for_function("() => spy.stats.length")
        own.process.terminate()
        assert "shutting down" in notice(page)
        page.click("#toggle")
        page.wait_for_function("() => document.getElementById('notice-title').textContent === 'Server not reachable'")


def test_server_dies(browser: Any, open_page: OpenPage, serve: Callable[..., Any]) -> None:
    with serve() as own:
        page = open_page(browser, own.url)
        wait_for_faces(page)
        page.click("#toggle")
        wait_for_state(page, "listening", "speaking")
        own.process.kill()
        page.wait_for_function("() => document.body.dataset.state === 'error'", timeout=60_000)
        assert "Connection lost" in notice(page)


def test_token(browser: Any, open_page: OpenPage, serve: Callable[..., Any]) -> None:
    with serve("--token", "secret") as own:
        page = open_page(browser, f"{own.url}/?token=wrong")
        assert "Access token needed" in notice(page)
        assert "token" not in page.url
        page.fill("#token-input", "secret")
        page.keyboard.press("Enter")
        wait_for_faces(page)
        page.click("#toggle")
        wait_for_state(page, "listening", "speaking")


def test_insecure_page_says_so(launch: Callable[..., Any], open_page: OpenPage, serve: Callable[..., Any]) -> None:
    browser = launch("--host-resolver-rules=MAP presenter.test 127.0.0.1")
    with serve("--token", "secret") as own:
        page = open_page(browser, own.url.replace("localhost", "presenter.test") + "/?token=secret")
        assert "not secure" in notice(page)


def test_photo_becomes_presenter(browser: Any, open_page: OpenPage, server: Any, tmp_path: Path) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    photo, text = tmp_path / "photo.png", tmp_path / "text.png"
    photo.write_bytes(page.request.get(f"{server.url}/api/presenters/default/thumbnail").body())
    text.write_text("no picture")
    page.click("#add")
    page.set_input_files("#photo", text)
    page.fill("#name", "Twin")
    page.click("#enroll-submit")
    assert "agreed" in page.text_content("#enroll-error")
    page.check("#consent")
    page.click("#enroll-submit")
    page.wait_for_selector("#enroll-error:not([hidden])", timeout=20_000)
    page.wait_for_selector("#enroll-submit:not([disabled])")
    page.set_input_files("#photo", photo)
    page.click("#enroll-submit")
    page.wait_for_selector('.face[aria-checked="true"][aria-label="Twin"]', timeout=60_000)
    page.click("#toggle")
    wait_for_state(page, "listening", "speaking")
    page.wait_for_selector("#stage.playing")
    with page.expect_response(lambda response: response.request.method == "PATCH") as changed:
        page.click('.face[aria-label="default"]')  # another face, in the same session
    assert (changed.value.status, changed.value.request.post_data_json) == (204, {"presenter": "default"})
    page.wait_for_selector('.face[aria-checked="true"][aria-label="default"]')
    wait_for_state(page, "listening", "speaking")
    assert page.evaluate("spy.peers") == 1


def test_doubts_about_a_photo_are_shown(browser: Any, open_page: OpenPage, server: Any, tmp_path: Path) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    face = cv2.imdecode(
        np.frombuffer(page.request.get(f"{server.url}/api/presenters/default/thumbnail").body(), np.uint8), 1
    )
    cv2.imwrite(str(tmp_path / "crowd.png"), np.rot90(np.hstack([face, face]), 2))
    page.click("#add")
    page.set_input_files("#photo", tmp_path / "crowd.png")
    page.fill("#name", "Second")
    page.check("#consent")
    page.click("#enroll-submit")
    page.wait_for_selector("#enroll-error:not([hidden])", timeout=60_000)
    assert "found 2" in page.text_content("#enroll-error")
    page.fill("#face", "2")
    page.click("#enroll-submit")
    page.wait_for_selector('.face[aria-checked="true"][aria-label="Second"]', timeout=60_000)
    assert "upside down" in notice(page)


@pytest.fixture
def two_faces(open_page: OpenPage, browser: Any, server: Any) -> Iterator[Any]:
    """A page that is told of a second presenter, "Twin", whose pictures load late; the server has one."""
    page = open_page(browser, "about:blank")
    picture = page.request.get(f"{server.url}/api/presenters/default/thumbnail").body()
    faces = [
        {"name": name, "thumbnail": f"/api/presenters/{name}/thumbnail", "own": name == "Twin"}
        for name in ("default", "Twin")
    ]

    def late(route: Any) -> None:
        page.wait_for_timeout(500)
        route.fulfill(body=picture, content_type="image/png")

    page.route("**/api/presenters", lambda route: route.fulfill(json={"presenters": faces}))
    page.route("**/api/presenters/Twin/thumbnail", late)
    page.route("**/api/sessions", lambda route: route.continue_(post_data='{"presenter": "default"}'))
    page.goto(server.url)
    yield page
    page.unroute_all(behavior="ignoreErrors")  # a late picture may still be on its way


def test_only_the_presenters_that_ship_are_called_synthetic(two_faces: Any) -> None:
    page = two_faces
    said = "() => [document.getElementById('badge').textContent, document.getElementById('poster').alt]"
    page.wait_for_selector('.face[aria-label="Twin"]')
    assert page.evaluate(said) == ["Synthetic presenter", "Synthetic presenter"]
    page.click('.face[aria-label="Twin"]')
    assert page.evaluate(said) == ["AI-generated video", "Presenter Twin"]


def test_a_late_picture_does_not_replace_the_chosen_one(two_faces: Any) -> None:
    page = two_faces
    page.wait_for_selector('.face[aria-label="default"] img')
    mine = page.get_attribute("#poster", "src")
    page.click('.face[aria-label="Twin"]')
    page.click('.face[aria-label="default"]')
    page.wait_for_selector('.face[aria-label="Twin"] img')
    page.wait_for_timeout(200)
    assert page.get_attribute("#poster", "src") == mine


def test_start_pressed_while_another_face_starts_opens_one_session(two_faces: Any) -> None:
    page = two_faces
    wait_for_faces(page)
    page.evaluate("""() => {
      document.getElementById("toggle").click();
      document.querySelector('.face[aria-label="Twin"]').click();
      document.getElementById("toggle").click();
    }""")
    page.wait_for_timeout(1000)
    assert page.evaluate("spy.peers") == 2, "one for each face"
    page.evaluate("document.getElementById('toggle').click()")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (360, 640)])
def test_fits_the_window(browser: Any, open_page: OpenPage, size: tuple[int, int]) -> None:
    page = open_page(browser, viewport={"width": size[0], "height": size[1]})
    wait_for_faces(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    box = page.locator("#toggle").bounding_box()
    assert box["y"] + box["height"] <= size[1], "the start button is in view"
