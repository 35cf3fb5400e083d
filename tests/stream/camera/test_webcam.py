"""The newest picture of a camera: at a film's rate, no backlog, over a lost camera, and clear where there is none."""

import logging
import time

import numpy as np
import pytest

from stream.camera import webcam
from stream.camera.webcam import Webcam, WebcamError, list_webcams
from stream.clock import SessionClock
from stream.files.movie import MovieWriter

SIZE = (64, 96)


def picture(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, np.uint8)


@pytest.fixture
def film(tmp_path):
    """25 frames in a second, each brighter than the one before."""
    with MovieWriter(tmp_path / "film.mp4", SIZE) as writer:
        for k in range(25):
            writer.write(picture(8 * k + 20))
    return str(tmp_path / "film.mp4")


class Clock:
    """Time that only a test moves on, in nanoseconds."""

    def __init__(self):
        self.time = 0

    def __call__(self) -> int:
        return self.time


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_film_plays_by_the_clock_and_ends(film):
    hand = Clock()
    with Webcam(film, SessionClock(hand)) as camera:
        first = camera.newest()
        assert first.number == 1
        assert first.rgb.shape == (*SIZE, 3)
        assert camera.newest(after=1, timeout_s=0.1) is None, "its time has not come"
        for k in range(1, 25):
            hand.time = (k * 40 + 1) * 1_000_000
            now = camera.newest(after=k, timeout_s=10)
            assert (now.number, now.time) == (k + 1, k * 640 + 16)
            assert abs(int(now.rgb.mean()) - (8 * k + 20)) < 6
        hand.time = 2_000_000_000
        until(lambda: camera.state == "ended")


def test_pictures_come_in_rgb(tmp_path):
    with MovieWriter(tmp_path / "red.mp4", SIZE) as writer:
        writer.write(np.broadcast_to(np.array([200, 30, 30], np.uint8), (*SIZE, 3)))
    with Webcam(str(tmp_path / "red.mp4"), SessionClock()) as camera:
        red, _, blue = camera.newest().rgb.mean((0, 1))
    assert red > 150 > 80 > blue


def test_a_camera_that_gives_larger_pictures_than_wanted():
    plug = Plug()
    plug.read = lambda: (True, np.zeros((1080, 1920, 3), np.uint8))
    with Webcam(0, SessionClock(), plug) as camera:
        assert camera.newest().rgb.shape == (360, 640, 3)


def test_what_nobody_fetches_is_left_out(film):
    hand = Clock()
    with Webcam(film, SessionClock(hand)) as camera:
        hand.time = 500_000_000  # half a second without a read
        until(lambda: camera._newest.rgb.mean() > 8 * 11 + 20)
        newest = camera.newest(after=1)
        assert newest.number < 6, "what had been late was not even decoded"
        assert newest is camera.newest(), "and there is no second one behind it"


class Plug:
    """A camera that a test connects and disconnects."""

    def __init__(self):
        self.is_in = True
        self.opened = 0

    def __call__(self, source):
        self.opened += 1
        return self

    def isOpened(self):  # noqa: N802
        return self.is_in

    def read(self):
        time.sleep(0.002)
        return (True, picture(99)) if self.is_in else (False, None)

    def release(self):
        pass


def test_a_lost_camera_is_looked_for_until_it_is_back(monkeypatch, caplog):
    monkeypatch.setattr(webcam, "_RETRY_S", 0.02)
    caplog.set_level(logging.WARNING)
    plug = Plug()
    with Webcam(0, SessionClock(), plug) as camera:
        until(lambda: camera.newest().number > 5)
        plug.is_in = False
        until(lambda: camera.state == "lost")
        number = camera.newest().number
        assert camera.newest(after=number, timeout_s=0.05) is None
        until(lambda: plug.opened > 3)
        plug.is_in = True
        assert camera.newest(after=number, timeout_s=10) is not None
        until(lambda: camera.state == "live")
    assert "webcam 0: gives no picture any more" in caplog.text
    assert "is back" in caplog.text
    assert len(caplog.records) == 2, "one message, however many attempts"


def test_closing_wakes_who_waits_and_is_safe_twice(film):
    camera = Webcam(film, SessionClock(Clock()))
    began = time.monotonic()
    camera.close()
    camera.close()
    assert camera.newest(after=1, timeout_s=60) is None
    assert time.monotonic() - began < 30
    assert not camera._thread.is_alive()


@pytest.mark.parametrize("source", [97, "97", "no-such-film.mp4"])
def test_no_camera_says_what_was_expected_and_how_to_list(source, capfd):
    with pytest.raises(WebcamError, match=r"webcam (97|no-such-film\.mp4): .* expected the index of a camera .* list"):
        Webcam(source, SessionClock())
    assert capfd.readouterr().err == "", "said once"


def test_a_file_that_is_no_film_is_an_error(tmp_path):
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(WebcamError, match=r"text\.mp4: gives no picture"):
        Webcam(str(tmp_path / "text.mp4"), SessionClock())


def test_cameras_are_listed_by_the_system_s_names(tmp_path, monkeypatch):
    for number, index, name in ((2, 0, "Camera B"), (3, 1, "Camera B"), (0, 0, "Camera A")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "index").write_text(f"{index}\n")
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")
    monkeypatch.setattr(webcam, "_SYSTEM", tmp_path)
    assert list_webcams() == [(0, "Camera A"), (2, "Camera B")]
