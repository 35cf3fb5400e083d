"""The status line: what it says, at every width, and without a terminal."""

import io
import logging
import math
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from presenter.meeting.level_meter import FLOOR_DBFS, LevelMeter
from presenter.meeting.status import Shows, Status, Webcam, plain
from presenter.meeting.status_line import StatusLine

FULL = Status(
    presenter="Ada",
    speaking=True,
    level_dbfs=-14.2,
    delay_ms=231.4,
    fps=25.0,
    dropped=7,
    skew_ms=3.2,
    drift_ppm=-12.0,
    webcam=Webcam.FOLLOWING,
)
KEYS = [("m", "mute"), ("space", "mute while held"), ("q", "quit")]
PARTS = ["LIVE", "delay", "fps", "A/V", "dropped", "following you", "Ada", "dB", "ppm", "keys"]  # by importance
STATES = {
    "MUTED": replace(FULL, muted=True),
    "MUTED  STILL": replace(FULL, muted=True, shows=Shows.STILL),
    "IDLE": replace(FULL, shows=Shows.IDLE),
    "STILL": replace(FULL, shows=Shows.STILL),
    "LIVE   ●": FULL,
    "LIVE    ": replace(FULL, speaking=False),
    "microphone is gone": replace(FULL, level_dbfs=None),
    "CLIP": replace(FULL, level_dbfs=0.0, clipped=True),
    "-inf dB": replace(FULL, level_dbfs=-math.inf),
    "-14 dB": FULL,
    "delay  231 ms": FULL,
    "delay    - ms": replace(FULL, delay_ms=None),
    "25.0 fps": FULL,
    " 9.5 fps": replace(FULL, fps=9.53),
    "   - fps": replace(FULL, fps=None),
    "   7 dropped": FULL,
    "A/V   +3 ms": FULL,
    "A/V  -21 ms": replace(FULL, skew_ms=-21.0),
    " -12 ppm": FULL,
    "following you": FULL,
    "you are away": replace(FULL, webcam=Webcam.AWAY),
    "A very long nam…": replace(FULL, presenter="A very long name of a presenter"),
    "愛子": replace(FULL, presenter="愛子"),
}


def draw(status, width=160, *, helps=False, colour=None, encoding="utf-8", before=()):
    """The line as it is drawn, with its colours as escapes if there are any."""
    file = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    environment = {"NO_COLOR": "1"} if colour is False else {}
    system = "truecolor" if colour is not None else None
    console = Console(width=width, force_terminal=True, color_system=system, file=file, _environ=environment)
    line = StatusLine(KEYS, console)
    for now, earlier in enumerate((*before, status)):
        line.update(earlier, float(now))
    if helps:
        line.toggle_help()
    console.print(line._render())
    file.flush()
    return file.buffer.getvalue().decode(encoding).rstrip("\n")


@pytest.mark.parametrize("words", STATES)
def test_every_state_is_told(words):
    assert words in draw(STATES[words])


def test_every_figure_keeps_its_place():
    places = set()
    for status in STATES.values():
        if not (status.muted and status.shows is not Shows.LIVE):
            places.add(tuple(draw(status).index(word) for word in ("delay", "fps", "dropped", "A/V", "ppm")))
    assert len(places) == 1


@pytest.mark.parametrize("status", STATES.values(), ids=list(STATES))
def test_the_least_important_goes_first_where_there_is_no_room(status):
    kept = set()
    for width in range(40, 161):
        text = draw(status, width)
        assert "\n" not in text
        assert Console(width=width).measure(text.rstrip()).maximum <= width
        shown = {part for part in PARTS if part in text}
        assert kept <= shown, width
        kept = shown
    if status is FULL:
        assert kept == set(PARTS)


def test_parts_are_left_out_in_the_order_of_their_importance():
    counts = set()
    for width in range(40, 161):
        text = draw(FULL, width)
        shown = [part in text for part in PARTS]
        assert shown == sorted(shown, reverse=True), width
        counts.add(sum(shown))
    assert counts == set(range(2, len(PARTS) + 1))


@pytest.mark.parametrize("width", [1, 8, 20, 30])
def test_a_very_narrow_terminal_still_gets_one_line(width):
    text = draw(replace(FULL, muted=True), width)
    assert len(text) <= width
    assert text.strip().startswith("MUTED"[: width - 1])


def test_figures_beyond_their_limits_are_yellow_and_clipping_is_red():
    assert "\x1b[33m" not in draw(replace(FULL, level_dbfs=-40.0), colour=True)
    assert "\x1b[33m 251\x1b[0m" in draw(replace(FULL, delay_ms=251.0), colour=True)
    assert "\x1b[33m -21\x1b[0m" in draw(replace(FULL, skew_ms=-21.0), colour=True)
    assert "\x1b[1;7;31m CLIP  \x1b[0m" in draw(replace(FULL, level_dbfs=0.0, clipped=True), colour=True)
    assert "\x1b[1;31mmicrophone is gone" in draw(replace(FULL, level_dbfs=None), colour=True)


@pytest.mark.parametrize("status", STATES.values(), ids=list(STATES))
def test_there_is_no_colour_where_none_is_wanted(status):
    colour = re.compile(r"\x1b\[(\d+;)*[349][0-7][;m]")
    assert colour.search(draw(status, colour=True))
    assert not colour.search(draw(status, colour=False))
    assert "\x1b" not in draw(status)


def test_a_terminal_without_unicode_gets_ascii():
    text = draw(FULL, encoding="ascii")
    assert re.search(r"LIVE   \*  =+-?\.*\|\.* ", text)


def test_the_help_is_above_the_line_where_it_is_asked_for():
    above, line = draw(FULL, helps=True).split("\n")
    assert above.split("   ")[:3] == ["m mute", "space mute while held", "q quit"]
    assert "LIVE" in line
    narrow = draw(FULL, 30, helps=True).split("\n")
    assert len(narrow) > 2
    assert all(key in "".join(narrow[:-1]) for key, _ in KEYS)


@pytest.mark.parametrize(("dbfs", "halves"), [(-60, 0), (-90, 0), (-45, 10), (-30, 20), (-28, 21), (0, 40), (3, 40)])
def test_the_bar_is_as_long_as_it_is_loud(dbfs, halves):
    bar = LevelMeter().update(dbfs, False, 0.0).bar(20, muted=False, ascii_only=True).plain
    assert len(bar) == 20
    drawn = bar.replace("|", "-" if halves % 2 else "=")  # the peak is at the bar's end
    assert 2 * drawn.count("=") + drawn.count("-") == halves


def test_a_peak_is_held_and_then_falls():
    meter = LevelMeter()
    assert meter.update(-10.0, False, 0.0).peak_dbfs == -10.0
    assert meter.update(-50.0, False, 1.4).peak_dbfs == -10.0
    assert meter.update(-50.0, False, 2.0).peak_dbfs == pytest.approx(-20.0)
    assert meter.update(-18.0, False, 2.1).peak_dbfs == -18.0
    assert meter.update(-50.0, False, 3.5).peak_dbfs == -18.0
    assert meter.update(-math.inf, False, 99.0).peak_dbfs == FLOOR_DBFS


def test_a_clipped_sample_is_seen_for_a_while_also_where_only_the_bar_fits():
    meter = LevelMeter()
    assert meter.update(0.0, True, 0.0).clipped
    assert meter.update(-30.0, False, 1.4).clipped
    assert not meter.update(-30.0, False, 1.5).clipped
    assert "█" in draw(FULL, 40, before=[replace(FULL, clipped=True)])


def test_a_pipe_gets_a_plain_line_every_ten_seconds():
    file = io.StringIO()
    console = Console(file=file, width=40)
    with StatusLine(KEYS, console) as line:
        assert not line.is_live
        assert not console._live_stack
        for tick in range(8 * 25):
            line.update(replace(FULL, dropped=tick), tick / 8)
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1] == (
        "Ada, LIVE, speaking, microphone -14 dBFS, delay 231 ms, 25.0 fps, 80 dropped, A/V +3 ms, drift -12 ppm,"
        " following you"
    )


def test_plain_words_tell_what_is_muted_and_gone_and_leave_out_the_unknown():
    assert plain(Status("Ada", muted=True)) == "Ada, MUTED, microphone is gone, 0 dropped"
    status = Status("Ada", Shows.IDLE, muted=True, level_dbfs=0.0, clipped=True)
    assert plain(status) == "Ada, MUTED, IDLE, microphone 0 dBFS CLIPPED, 0 dropped"


def test_a_dumb_terminal_gets_no_escapes():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, _environ={"TERM": "dumb"})
    with StatusLine(KEYS, console) as line:
        line.update(FULL, 0.0)
        line.toggle_help()
    assert "\x1b" not in file.getvalue()
    assert "LIVE" in file.getvalue()


def test_handlers_and_streams_are_given_back(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    handler = logging.StreamHandler()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        with StatusLine(KEYS, Console(stderr=True, force_terminal=True)) as line:
            line.start()
            assert handler.stream is sys.stderr is not stream
    finally:
        root.removeHandler(handler)
    assert handler.stream is sys.stderr is stream
