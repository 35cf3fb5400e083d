"""The page where the browser lacks something, on small screens, and its accessibility."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_page import notice, wait_for_faces, wait_for_state

OpenPage = Callable[..., Any]
AXE = Path(__file__).parent / "axe"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
BLOCKED = """
for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, {get() { throw new DOMException("blocked", "SecurityError"); }});
"""
CONTROLS = ("#toggle", "#mic", "#hear", "#microphone", "#add", "#stage")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    for file in AXE.glob("*.json"):
        shutil.copy(file, folder)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=240)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


def violations(page: Any, axe: str) -> list[str]:
    page.wait_for_timeout(700)  # transitions of colours
    page.evaluate(axe)
    texts = "violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join())"
    run = f"rules => axe.run({{runOnly: rules}}).then(({{violations}}) => {texts})"
    found: list[str] = page.evaluate(run, RULES)
    return found


@pytest.mark.parametrize(
    "removal",
    ["delete window.RTCPeerConnection", "() => { window.RTCPeerConnection = class { constructor() { throw 1; } }; }"],
)
def test_no_webrtc(browser: Any, open_page: OpenPage, removal: str) -> None:
    page = open_page(browser)
    wait_for_faces(page)
    page.evaluate(removal)
    page.click("#toggle")
    assert "No WebRTC" in notice(page)
    assert page.get_attribute("body", "data-state") == "error"


def test_storage_blocked(browser: Any, open_page: OpenPage, server: Any) -> None:
    page = open_page(browser, "about:blank")
    page.add_init_script(BLOCKED)
    page.goto(server.url)
    wait_for_faces(page)
    page.click("#toggle")
    wait_for_state(page, "listening", "speaking")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_accessible(browser: Any, open_page: OpenPage, axe: str, scheme: str) -> None:
    page = open_page(browser, color_scheme=scheme, bypass_csp=True)
    wait_for_faces(page)
    assert violations(page, axe) == []
    page.click("#toggle")
    wait_for_state(page, "listening", "speaking")
    assert violations(page, axe) == []
    page.click("#toggle")
    wait_for_state(page, "idle")
    page.click("#add")
    assert violations(page, axe) == []
    page.click("#enroll-close")
    page.click("#open-render")
    page.click("#render-more summary")
    page.click("#render-submit")
    page.wait_for_selector(".field-error")
    assert violations(page, axe) == []
    page.click("#render-close")
    page.evaluate("delete window.RTCPeerConnection")
    page.click("#toggle")
    notice(page)
    assert violations(page, axe) == []


def test_ended_embed_says_so_and_is_accessible(browser: Any, open_page: OpenPage, server: Any, axe: str) -> None:
    page = open_page(browser, f"{server.url}/embed?session=gone", bypass_csp=True)
    page.wait_for_function("() => document.getElementById('message').textContent.includes('has ended')", timeout=15_000)
    assert violations(page, axe) == []


@pytest.mark.parametrize("size", [(812, 375), (667, 375), (375, 667), (320, 568)])
def test_controls_fit_on_phones(browser: Any, open_page: OpenPage, size: tuple[int, int]) -> None:
    page = open_page(browser, viewport={"width": size[0], "height": size[1]})
    wait_for_faces(page)
    boxes = {name: page.locator(name).bounding_box() for name in CONTROLS}
    for name in ("#toggle", "#mic", "#hear", "#stage"):
        assert boxes[name]["y"] + boxes[name]["height"] <= size[1], f"{name} is below the fold"
    for name, box in boxes.items():
        assert 0 <= box["x"] <= size[0] - box["width"], f"{name} is cut off"
        for other, against in boxes.items():
            apart_x = box["x"] + box["width"] <= against["x"] or against["x"] + against["width"] <= box["x"]
            apart_y = box["y"] + box["height"] <= against["y"] or against["y"] + against["height"] <= box["y"]
            assert name == other or apart_x or apart_y, f"{name} overlaps {other}"
