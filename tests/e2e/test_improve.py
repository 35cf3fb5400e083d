"""Making a presenter better on the page: offered where it is possible, shown, stopped, gone on with, and reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presenter.config import load_config
from presenter.enroll.enrolment import enroll_presenter
from presenter.enroll.personal import WorkFolder
from presenter.runtime.identities import IdentityStore
from tests.e2e.conftest import look
from tests.presenter import videos


@pytest.fixture
def filmed(tmp_path: Path) -> IdentityStore:
    """The presenters of a server, one made from a video."""
    video = videos.write(tmp_path / "me.mp4", videos.frames()[:100])
    store = IdentityStore(tmp_path / "presenters")
    enroll_presenter(store, load_config("tiny").engine, video, "Ada", consent_by="Ada L.")
    return store


@pytest.mark.timeout(600)  # it learns with the lowest priority
def test_a_presenter_is_made_better(
    browser: Any, open_page: Callable[..., Any], serve: Callable[..., Any], filmed: IdentityStore
) -> None:
    with serve(settings="engine:\n  personalise_s: 4\n") as server:
        page = open_page(browser, server.url)
        page.click("#manage")
        look(page, "improve_offer")
        page.click("text=Make it better")
        page.wait_for_selector(".improve progress")
        page.click("[aria-label='Stop making Ada better']")
        page.click("[aria-label='Make Ada better']")
        page.wait_for_selector(".improve progress")
        page.reload()  # the server goes on, and the page finds it again
        page.click("#manage")
        page.wait_for_selector("[aria-label='Stop making Ada better']")
        page.wait_for_selector(".improve p:text-matches('^Learning')", timeout=250_000)
        look(page, "improve_progress")
        page.wait_for_selector(".report img", timeout=250_000)
        said = page.text_content(".report p")
        better = filmed.load("Ada").generator is not None
        assert ("is better now" if better else "stays as it was") in said
        assert page.locator(".report tr").count() == 5
        assert page.evaluate("document.querySelector('.report img').naturalWidth") == 768
        for name, width in (("wide", 1280), ("tablet", 768), ("phone", 375)):
            page.set_viewport_size({"width": width, "height": 900})
            look(page, f"improve_report_{name}")
        page.reload()
        page.click("#manage")
        assert page.is_hidden(".improve"), "the same video would teach nothing new"
    assert not WorkFolder.of(filmed, "Ada").path.exists()
