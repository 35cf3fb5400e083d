"""A presenter from a recording that the page makes with the camera; the camera shows the shipped presenter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from presenter.runtime.identities import IdentityStore
from tests.e2e.conftest import ALLOW, FAKE_DEVICE, look
from tests.presenter.videos import QUIET_S, frames

NAME = "Webcam"
SAYS = "(text) => document.getElementById('record-text').textContent.includes(text)"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YUV4MPEG2: eight seconds of quiet, then talk, before a wider wall; a browser repeats it."""
    pictures = frames()
    quiet, talk = pictures[: 25 * QUIET_S], pictures[25 * QUIET_S :]
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W512 H384 F25:1 Ip A1:1 C420jpeg\n")
        for rgb in [*quiet, *quiet[::-1], *quiet[:50], *talk, *talk[::-1]]:
            wide = cv2.resize(cv2.copyMakeBorder(rgb, 0, 0, 86, 85, cv2.BORDER_REPLICATE), (512, 384))
            file.write(b"FRAME\n" + cv2.cvtColor(wide, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


def test_a_recording_becomes_a_presenter(
    launch: Callable[..., Any], open_page: Callable[..., Any], serve: Callable[..., Any], tmp_path: Path, camera: Path
) -> None:
    browser = launch(FAKE_DEVICE, ALLOW, f"--use-file-for-fake-video-capture={camera}")
    with serve() as server:
        page = open_page(browser, server.url)
        page.click("#add")
        page.click("#record")
        page.wait_for_function(SAYS, arg="lips closed")
        page.wait_for_timeout(1500)
        look(page, "recording")
        assert page.is_disabled("#enroll-submit")
        page.wait_for_function(SAYS, arg="talk", timeout=20_000)
        page.wait_for_selector("#record:text('Record with your camera')", timeout=30_000)
        page.wait_for_function("() => document.getElementById('preview-video').src.startsWith('blob:')")
        page.fill("#name", NAME)
        page.check("#consent")
        look(page, "recorded")
        page.click("#enroll-submit")
        page.wait_for_selector("#enroll:not([open]), #enroll-error:not([hidden])", state="attached", timeout=240_000)
        assert page.text_content("#enroll-error") == ""
        stored = IdentityStore(tmp_path / "presenters").load(NAME)
        assert stored.identity.template is not None, "it breathes and blinks as in the recording"
        assert np.std(stored.identity.frame) > 20


def test_the_camera_is_off_once_the_dialog_is_closed(
    launch: Callable[..., Any], open_page: Callable[..., Any], camera: Path
) -> None:
    page = open_page(launch(FAKE_DEVICE, ALLOW, f"--use-file-for-fake-video-capture={camera}"))
    page.click("#add")
    page.click("#record")
    page.wait_for_function("() => document.getElementById('preview-video').srcObject?.active")
    page.evaluate("window.track = document.getElementById('preview-video').srcObject.getVideoTracks()[0]")
    page.click("#enroll-close")
    page.wait_for_function("() => window.track.readyState === 'ended'")
    page.click("#add")
    assert page.is_hidden("#preview-video")
    assert page.is_enabled("#enroll-submit")


def test_a_blocked_camera_is_told(launch: Callable[..., Any], open_page: Callable[..., Any]) -> None:
    page = open_page(launch("--deny-permission-prompts"))
    page.click("#add")
    page.click("#record")
    page.wait_for_selector("#enroll-error:not([hidden])")
    assert "camera" in page.text_content("#enroll-error").lower()
    assert page.is_enabled("#record")
