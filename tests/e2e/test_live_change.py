"""Another face, style and strength in the middle of a call, in a real browser: one connection, whose sound goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.identity import SpeakingStyle
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import save_identity
from presenter.runtime.styles import StyleStore
from tests.e2e.conftest import look

# By how much the middle of the face is redder than blue.
WARMTH = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 8, height: 8});
  const context = canvas.getContext("2d");
  const video = document.querySelector("#video");
  const [w, h] = [video.videoWidth, video.videoHeight];
  context.drawImage(video, 0.42 * w, 0.42 * h, 0.16 * w, 0.1 * h, 0, 0, 8, 8);
  const data = context.getImageData(0, 0, 8, 8).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] - data[i + 2];
  return sum / (data.length / 4);
}"""
HEARD = """async () => [...(await spy.peer.getStats()).values()]
  .find(({type, kind}) => type === "inbound-rtp" && kind === "audio").packetsReceived"""
WATCH_STATES = """() => {
  spy.states = new Set([document.body.dataset.state]);
  new MutationObserver(() => spy.states.add(document.body.dataset.state))
    .observe(document.body, {attributes: true, attributeFilter: ["data-state"]});
}"""


def settled(page: Any, warm: bool) -> float:
    """Wait until the picture has changed."""
    for _ in range(100):
        if (page.evaluate(WARMTH) > 0) == warm:
            break
        page.wait_for_timeout(100)
    return float(page.evaluate(WARMTH))


def test_faces_and_styles_change_without_connecting_again(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    store = IdentityStore(tmp_path / "presenters")
    default = store.load("default")
    blue = replace(default.identity, name="Blue", frame=default.identity.frame[..., ::-1].copy())
    save_identity(store.own / "Blue", blue, default.generator)
    StyleStore(store.own).save("Lively", SpeakingStyle(torch.zeros(35)), "talk.mp4")
    with serve() as server:
        page = open_page(browser, server.url)
        page.wait_for_selector("#presenters [aria-label=Blue] img")
        page.click("#toggle")
        page.wait_for_selector("#stage.playing", timeout=30_000)
        page.wait_for_selector("body[data-state=speaking]", timeout=30_000)
        page.evaluate(WATCH_STATES)
        assert settled(page, warm=True) > 15
        heard = page.evaluate(HEARD)
        page.click("#presenters [aria-label=Blue]")
        assert settled(page, warm=False) < -15
        look(page, "live_blue")
        assert page.text_content("#badge") == "AI-generated video"
        with page.expect_response(lambda response: response.request.method == "PATCH") as changed:
            page.select_option("#style", "Lively")
        assert changed.value.status == 204
        with page.expect_response(lambda response: response.request.method == "PATCH") as changed:
            page.focus("#strength")
            for _ in range(4):
                page.keyboard.press("ArrowLeft")
        strength = float(page.input_value("#strength"))
        assert strength < 1
        assert changed.value.request.post_data_json == {"style": "Lively", "style_strength": strength}, "once"
        page.click("#presenters [aria-label=default]")
        assert settled(page, warm=True) > 15
        page.wait_for_timeout(500)
        assert page.evaluate(HEARD) > heard + 50, "a second of sound has come meanwhile"
        assert page.evaluate("spy.peers") == 1
        assert set(page.evaluate("[...spy.states]")) <= {"speaking", "listening"}

        refused = {"error": {"code": "presenter_damaged", "message": "It is damaged."}}
        page.route("**/api/sessions/*", lambda route: route.fulfill(status=422, json=refused))
        page.click("#presenters [aria-label=Blue]")
        page.wait_for_selector("#notice:not([hidden])")
        page.wait_for_selector("#presenters [aria-label=default][aria-checked=true]")
        page.unroute_all(behavior="ignoreErrors")
