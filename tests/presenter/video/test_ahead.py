"""Frames made ahead: the same, in their order, with their errors, by a thread that ends."""

import threading
import time

import pytest

from presenter.video.ahead import ahead


def running():
    return [thread for thread in threading.enumerate() if thread.name == "frames ahead"]


def test_items_come_in_their_order_from_another_thread():
    makers = set()

    def items():
        for k in range(50):
            makers.add(threading.current_thread().name)
            yield k

    assert list(ahead(items())) == list(range(50))
    assert makers == {"frames ahead"}
    assert not running()


def test_both_stages_take_the_time_of_one():
    def items():
        for k in range(20):
            time.sleep(0.02)
            yield k

    began = time.monotonic()
    for _ in ahead(items()):
        time.sleep(0.02)
    assert time.monotonic() - began < 0.02 * 20 * 1.7


def test_no_more_are_made_than_are_held():
    made = []

    def items():
        for k in range(100):
            made.append(k)
            yield k

    frames = ahead(items(), held=3)
    assert next(frames) == 0
    time.sleep(0.3)
    assert len(made) <= 1 + 3 + 1
    frames.close()


def test_an_error_is_raised_in_its_place():
    def items():
        yield 1
        raise ValueError("broken")

    frames = ahead(items())
    assert next(frames) == 1
    with pytest.raises(ValueError, match="broken"):
        next(frames)
    assert not running()


def test_closing_early_closes_the_source():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    frames = ahead(items())
    next(frames)
    frames.close()
    assert closed.is_set()
    assert not running()
