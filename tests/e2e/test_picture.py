"""The picture's shape and background, chosen on the page before and during a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.e2e.conftest import look

OpenPage = Callable[..., Any]

SHOWS = "([width, height]) => video.videoWidth === width && video.videoHeight === height && video.currentTime > 0"
CORNER = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 8, height: 8});
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 8, 8);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def wait_for_corner(page: Any, wanted: tuple[int, int, int]) -> None:
    near = f"(wanted) => ({CORNER})().every((value, k) => Math.abs(value - wanted[k]) < 14)"
    page.wait_for_function(near, arg=list(wanted), timeout=15_000)


def test_shape_and_background_are_chosen_and_change_while_speaking(browser: Any, open_page: OpenPage) -> None:
    page = open_page(browser, viewport={"width": 1280, "height": 800})
    page.wait_for_selector("#presenters .face img", timeout=10_000)
    box = page.locator(".frame").bounding_box()
    assert abs(box["width"] - box["height"]) < 1
    page.select_option("#shape", "720p")
    page.select_option("#background", "#33415c")
    box = page.locator(".frame").bounding_box()
    assert abs(box["width"] / box["height"] - 16 / 9) < 0.02
    look(page, "poster")
    page.click("#toggle")
    page.wait_for_function(SHOWS, arg=[1280, 720], timeout=30_000)
    wait_for_corner(page, (0x33, 0x41, 0x5C))
    look(page, "wide")
    page.select_option("#background", "#00b140")
    wait_for_corner(page, (0x00, 0xB1, 0x40))
    page.select_option("#shape", "portrait-720p")
    page.wait_for_function(SHOWS, arg=[720, 1280], timeout=15_000)
    look(page, "upright")
    page.select_option("#shape", "own")
    page.select_option("#background", "own")
    page.wait_for_function(SHOWS, arg=[512, 512], timeout=15_000)
    page.reload()
    assert page.input_value("#shape") == "own"


def test_the_choice_is_remembered(browser: Any, open_page: OpenPage) -> None:
    page = open_page(browser)
    page.select_option("#shape", "portrait-720p")
    page.select_option("#background", "blur")
    page.reload()
    assert page.input_value("#shape") == "portrait-720p"
    assert page.input_value("#background") == "blur"
    assert page.get_attribute(".frame", "data-shape") == "portrait-720p"
