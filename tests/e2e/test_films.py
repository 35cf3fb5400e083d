"""Films and speaking styles on the page, in a real browser."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.identity import SpeakingStyle
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import consent_now, save_identity
from presenter.runtime.styles import StyleStore
from stream.files.movie import MovieWriter
from stream.files.reader import iter_frames
from tests.e2e.conftest import look
from tests.presenter import videos

SPY_ON_FORMS = """() => {
  spy.form = {};
  FormData.prototype.append = new Proxy(FormData.prototype.append, {
    apply(append, form, given) {
      spy.form[given[0]] = given[1] instanceof File ? "a file" : String(given[1]);
      return Reflect.apply(append, form, given);
    },
  });
}"""
LOADED = """() => new Promise((resolve) => {
  const film = document.querySelector("#render-after");
  if (film.readyState >= 2) resolve();
  else film.addEventListener("loadeddata", resolve);
})"""


def recording(folder: Path, seconds: float) -> Path:
    """A tone whose loudness rises and falls four times a second."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    tone = 8_000 * np.sin(2 * np.pi * 180 * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    path = folder / "speech.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(tone.astype("<i2").tobytes())
    return path


def test_a_recording_and_a_video_become_films(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    audio, video = recording(tmp_path, 1.0), tmp_path / "still.mp4"
    still = IdentityStore(tmp_path).load("default").identity.shrunk(512).frame
    with MovieWriter(video, still.shape[:2], 25, preset="ultrafast") as writer:
        for _ in range(25):
            writer.write(still)
    with serve() as server:
        page = open_page(browser, server.url)
        page.click("#open-render")
        page.click("#render-submit")
        assert "Choose a file" in page.text_content("label:has(#render-audio) + .field-error")
        assert page.get_attribute("#render-audio", "aria-invalid") == "true"
        page.set_input_files("#render-audio", audio)
        page.click("#render-submit")
        page.wait_for_selector("#render-result:not([hidden])", timeout=120_000)
        assert page.is_hidden("#render-before")
        with page.expect_download() as download:
            page.click("#render-download")
        download.value.save_as(tmp_path / "film.mp4")
        assert len(list(iter_frames(tmp_path / "film.mp4"))) == 25

        page.set_input_files("#render-video", video)
        page.click("#render-submit")
        assert "has agreed" in page.text_content("label:has(#render-consent) + .field-error")
        page.check("#render-consent")
        page.click("#render-submit")
        page.wait_for_selector("#render-before:not([hidden])", timeout=120_000)
        page.wait_for_function("document.querySelector('#render-after').readyState >= 1")
        assert page.evaluate("document.querySelector('#render-after').duration") > 0.9
        assert list((tmp_path / "presenters" / ".renders").iterdir()) == [], "the server keeps nothing"


def test_a_film_with_another_person_s_motion_style_picture_and_face(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    store = IdentityStore(tmp_path / "presenters")
    default = store.load("default")
    for name, consent in (("Agreed", consent_now("The person")), ("Silent", None)):
        save_identity(store.own / name, replace(default.identity, name=name), default.generator, consent)
    StyleStore(store.own).save("Lively", SpeakingStyle(torch.zeros(35)), "talk.mp4")
    audio, actor = recording(tmp_path, 0.6), videos.write(tmp_path / "actor.mp4", videos.frames()[80:100])
    with serve() as server:
        page = open_page(browser, server.url)
        page.wait_for_selector("#presenters [aria-label=Agreed]")
        page.click("#open-render")
        look(page, "films_folded")
        assert page.is_hidden("#render-driving"), "what is rarely needed is folded"

        def film() -> Any:
            page.evaluate(SPY_ON_FORMS)
            page.click("#render-submit")
            page.wait_for_selector("#render-result:not([hidden])", timeout=150_000)
            with page.expect_download() as download:
                page.click("#render-download")
            download.value.save_as(tmp_path / "film.mp4")
            return list(iter_frames(tmp_path / "film.mp4")), page.evaluate("spy.form")

        page.click("#render-more summary")
        page.set_input_files("#render-audio", audio)
        page.select_option("#render-style", "Lively")
        page.fill("#render-style_strength", "0.5")
        page.select_option("#render-size", "720p")
        page.select_option("#render-framing", "close")
        page.select_option("#render-background", "#33415c")
        for name, width in (("wide", 1280), ("tablet", 768), ("phone", 375)):
            page.set_viewport_size({"width": width, "height": 900})
            look(page, f"films_presenter_{name}")
        frames, asked = film()
        assert (len(frames), frames[0].rgb.shape) == (15, (720, 1280, 3))
        assert np.abs(frames[0].rgb[5, 5].astype(int) - (0x33, 0x41, 0x5C)).max() < 8
        shown = {"size": "720p", "framing": "close", "background": "#33415c"}
        speaks = {"audio": "a file", "presenter": "default", "style": "Lively", "style_strength": "0.5"}
        assert asked == speaks | shown

        page.set_input_files("#render-audio", [])
        page.set_input_files("#render-driving", actor)
        page.check("#render-driving_head")
        page.check("#render-consent")
        frames, asked = film()
        assert len(frames) == 20, "as long as the driver"
        assert asked == {"driving": "a file", "presenter": "default", "driving_parts": "lips,brows,eyes,head"} | shown

        page.set_input_files("#render-driving", [])
        page.set_input_files("#render-video", actor)
        assert page.is_hidden("#render-size")
        page.select_option("#render-face", "Silent")
        page.click("#render-submit")
        assert "owner of the face" in page.text_content("label:has(#render-face-consent) + .field-error")
        page.check("#render-face-consent")
        page.click("#render-submit")
        page.wait_for_selector("label:has(#render-face) + .field-error", timeout=60_000)
        assert "Nobody’s consent" in page.text_content(".field-error")
        look(page, "films_error")
        page.select_option("#render-face", "Agreed")
        frames, asked = film()
        assert len(frames) == 20
        assert asked == {"video": "a file", "face": "Agreed"}
        assert page.is_visible("#render-before")
        page.evaluate(LOADED)
        for name, width in (("wide", 1280), ("tablet", 768), ("phone", 375)):
            page.set_viewport_size({"width": width, "height": 900})
            look(page, f"films_result_{name}")


def test_what_is_no_recording_is_told(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.wav"
    wrong.write_bytes(b"nothing" * 50)
    with serve() as server:
        page = open_page(browser, server.url)
        page.click("#open-render")
        page.set_input_files("#render-audio", wrong)
        page.click("#render-submit")
        page.wait_for_selector("label:has(#render-audio) + .field-error", timeout=60_000)
        assert "expected" in page.text_content(".field-error").lower()
        assert page.is_enabled("#render-submit")
        page.click("#render-close")
        page.click("#open-render")
        page.set_input_files("#render-audio", recording(tmp_path, 60))
        page.click("#render-submit")
        page.wait_for_selector("#render-text:text-matches('film|Waiting|Loading')")
        page.click("#render-stop")
        page.wait_for_selector("#render-progress", state="hidden")
        assert page.is_hidden("#render-error")
        assert page.is_hidden("#render-result")
        page.set_input_files("#render-audio", recording(tmp_path, 0.5))
        page.set_input_files("#render-video", wrong)
        page.check("#render-consent")
        page.click("#render-submit")
        page.wait_for_selector("label:has(#render-video) + .field-error", timeout=60_000)
        assert page.locator(".field-error").count() == 1
        assert list((tmp_path / "presenters" / ".renders").iterdir()) == [], "what was stopped is deleted"


def test_a_style_is_chosen_and_changed_while_it_speaks(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    with serve() as server:
        page = open_page(browser, server.url)
        page.wait_for_selector("#presenters [aria-checked=true]")
        assert page.is_hidden("#style-field"), "there is none yet"
    StyleStore(tmp_path / "presenters").save("Lively", SpeakingStyle(torch.zeros(35)), "talk.mp4")
    with serve() as server:
        page = open_page(browser, server.url)
        page.wait_for_selector("#style-field:not([hidden])")
        page.select_option("#style", "Lively")
        with page.expect_request("**/api/sessions") as opened:
            page.click("#toggle")
        assert opened.value.post_data_json["style"] == "Lively"
        page.wait_for_selector("body[data-state=listening]", timeout=30_000)
        with page.expect_response(lambda response: response.request.method == "PATCH") as changed:
            page.fill("#strength", "0.5")
        assert changed.value.status == 204
        assert changed.value.request.post_data_json == {"style": "Lively", "style_strength": 0.5}


def test_a_presenter_is_enrolled_from_a_video(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path
) -> None:
    video = videos.write(tmp_path / "me.mp4", np.concatenate([videos.frames(), videos.frames()]))
    with serve() as server:
        page = open_page(browser, server.url)
        page.click("#add")
        page.set_input_files("#photo", video)
        page.wait_for_selector("#preview-video:not([hidden])")
        page.wait_for_selector("#personalize-field:not([hidden])")
        page.fill("#name", "Filmed")
        page.check("#consent")
        page.click("#enroll-submit")
        page.wait_for_selector("#enroll", state="hidden", timeout=150_000)
        page.wait_for_selector("#presenters [aria-label*=Filmed][aria-checked=true]")
    assert IdentityStore(tmp_path / "presenters").load("Filmed").identity.template is not None
