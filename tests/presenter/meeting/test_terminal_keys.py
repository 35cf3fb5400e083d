"""Keys from real terminals: pseudoterminals with a program, and with a shell, on the other side."""

import asyncio
import os
import pty
import shlex
import signal
import sys
import termios

import pytest

from presenter.meeting.key_events import HeldKey, KeyDecoder
from presenter.meeting.terminal_keys import TerminalKeys

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudoterminals")

PROGRAM = """
import asyncio, sys
from presenter.meeting.terminal_keys import TerminalKeys

async def main():
    with TerminalKeys(on_foreground=lambda front: print("front", front, flush=True)) as keys:
        print("ready", keys.available, flush=True)
        async for key in keys:
            print(f"<{key}>", flush=True)
            if key == "q":
                return
            if key == "x":
                raise ValueError("x was pressed")

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
print("done")
"""
KEYS = [
    (b"m", ["m"]),
    (b" ?", [" ", "?"]),
    (b"\r\n\t\x7f\x08", ["enter", "enter", "tab", "backspace", "backspace"]),
    ("é語🙂".encode(), ["é", "語", "🙂"]),
    (b"\x1b[Aa", ["a"]),  # an arrow
    (b"\x1bOBb", ["b"]),  # in application mode
    (b"\x1b[1;5Cc", ["c"]),  # with Ctrl
    (b"\x1b\x1b[Dd", ["d"]),  # with Alt
    (b"\x1b[15~\x1b[[Be", ["e"]),  # F5, and F2 of Linux's console
    (b"\x1bmf", ["f"]),  # Alt with m
    (b"\x1b]11;rgb:0000/0000/0000\x1b\\g", ["g"]),  # a reply
    (b"\x1b]0;title\x07h", ["h"]),
    (b"\x1b[200~quit \x1b[A m\r\x1b[201~i", ["i"]),  # a paste
    (b"\x1b[1\xc3\xa9j", ["é", "j"]),  # a broken sequence
    (b"\x01\x04\x00k", ["k"]),
    (b"\xff\xfel", ["l"]),  # not UTF-8
]


@pytest.fixture
def start(terminal):
    """Run `PROGRAM` in a terminal."""
    return lambda: terminal(sys.executable, "-c", PROGRAM)


@pytest.fixture
def command(tmp_path):
    """What runs `PROGRAM` in a shell."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return shlex.join([sys.executable, str(path)])


@pytest.mark.parametrize(("data", "keys"), KEYS)
def test_bytes_become_keys_however_they_are_cut(data, keys):
    assert KeyDecoder().feed(data) == keys
    decoder = KeyDecoder()
    assert [key for byte in data for key in decoder.feed(bytes([byte]))] == keys
    assert not decoder.pending


def test_a_flush_ends_escape_and_half_sequences():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.pending
    assert decoder.flush() == ["escape"]
    assert decoder.feed(b"\x1b[1;") == []
    assert decoder.flush() == []
    assert decoder.feed(b"a") == ["a"]
    assert decoder.feed(b"\x1b[200~ab") == []
    assert not decoder.pending  # a paste may take its time
    assert decoder.flush() == []
    assert decoder.feed(b"c\x1b[201~d") == ["d"]


def test_a_tap_holds_a_key_for_the_delay_before_repeats():
    key = HeldKey()
    assert key.poll(0.0) is None
    assert key.press(1.0) == "press"
    assert key.until == pytest.approx(1.7)
    assert key.poll(1.69) is None
    assert key.poll(1.7) == "release"
    assert key.until is None
    assert key.poll(1.8) is None
    assert key.press(2.0) == "press"


@pytest.mark.parametrize(("delay", "gap"), [(0.25, 0.025), (0.66, 0.04), (0.5, 0.09)])
def test_repeats_hold_a_key_until_it_is_let_go(delay, gap):
    key = HeldKey()
    presses = [0.0, *(delay + gap * i for i in range(50))]
    events = []
    for i in range(round(1000 * (presses[-1] + 1))):
        now = i / 1000
        while presses and presses[0] <= now:
            last = presses.pop(0)
            events.append((key.press(now), now))
        events.append((key.poll(now), now))
    heard = [(event, now) for event, now in events if event]
    assert [event for event, _ in heard] == ["press", "release"]
    assert heard[1][1] == pytest.approx(last + 0.2, abs=0.002)


def test_a_tap_and_then_a_hold_has_no_hole():
    key = HeldKey()
    key.press(0.0)
    assert key.press(0.3) is None
    assert key.poll(0.3 + 0.66) is None  # its first repeat comes here
    assert key.press(0.3 + 0.66) is None


def test_a_press_after_a_late_look_goes_on():
    key = HeldKey()
    key.press(0.0)
    assert key.press(5.0) is None  # no release was reported, so no press is
    assert key.poll(5.69) is None
    assert key.poll(5.7) == "release"


def test_keys_come_one_by_one_and_the_terminal_is_given_back(start):
    with start() as screen:
        cooked = screen.attributes()
        screen.wait_for("ready True")
        assert screen.attributes() != cooked
        screen.type("m")
        assert "\x1b[?2004h" in screen.seen
        assert "m<m>" not in screen.wait_for("<m>")  # not echoed
        screen.type(b"\x1b[A\xc3\xa9")
        assert "<[>" not in screen.wait_for("<é>")
        screen.type(b"\x1b")
        screen.wait_for("<escape>")
        screen.type("\x13n")  # Ctrl+S stops nothing
        screen.wait_for("<n>")
        screen.type("q")
        assert "\x1b[?2004l" in screen.wait_for("done")
        assert screen.process.wait(60) == 0
        assert screen.attributes() == cooked


@pytest.mark.parametrize(("key", "end"), [("x", "ValueError: x was pressed"), ("\x03", "interrupted")])
def test_the_terminal_is_given_back_after_errors_and_ctrl_c(start, key, end):
    with start() as screen:
        cooked = screen.attributes()
        screen.wait_for("ready True")
        screen.type(key)
        screen.wait_for(end)
        screen.process.wait(60)
        assert screen.attributes() == cooked


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_back(terminal, command):
    with terminal("/bin/bash", "--norc", "--noediting", "-i") as screen:
        screen.wait_for("shell> ")
        cooked = screen.attributes()
        screen.type(f"{command}\n")
        screen.wait_for("ready True")
        ours = screen.attributes()
        assert ours != cooked
        screen.type("\x1a")
        assert "front False" in screen.wait_for("Stopped.*\r\nshell> ")
        assert screen.attributes() == cooked
        screen.type("bg\n")  # in the background it must not touch the terminal, or it is stopped again
        screen.wait_for("shell> ")
        screen.type("sleep 1.5; jobs\n")
        assert "Running" in screen.wait_for("(Running|Stopped).*\r\nshell> ")
        assert screen.attributes() == cooked
        screen.type("fg\n")
        screen.wait_for("front True")
        assert screen.attributes() == ours
        screen.type("\x1a")
        screen.wait_for("Stopped.*\r\nshell> ")
        screen.type("fg\n")
        screen.wait_for("front True")
        screen.type("a")
        screen.wait_for("<a>")
        screen.type("q")
        screen.wait_for("done\r\nshell> ")
        assert screen.attributes() == cooked


def test_a_program_started_in_the_background_waits_for_the_terminal(terminal, command):
    with terminal("/bin/bash", "--norc", "--noediting", "-i") as screen:
        screen.wait_for("shell> ")
        cooked = screen.attributes()
        screen.type(f"{command} &\n")
        screen.wait_for("front False\r\nready True")
        assert screen.attributes() == cooked
        screen.type("fg\n")
        screen.wait_for("front True")
        screen.type("q")
        screen.wait_for("done\r\nshell> ")
        assert screen.attributes() == cooked


def test_without_a_terminal_no_key_ever_comes():
    async def read() -> bool:
        reader, writer = os.pipe()
        os.write(writer, b"mmm")
        with TerminalKeys(reader) as keys:
            try:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(keys), 0.2)
            finally:
                os.close(writer)
                os.close(reader)
            return keys.available

    assert asyncio.run(read()) is False


def test_a_closed_standard_input_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert TerminalKeys().available is False


def test_a_terminal_that_is_closed_ends_the_keys_quietly():
    async def read() -> None:
        master, slave = pty.openpty()
        with TerminalKeys(slave) as keys:
            os.write(master, b"a")
            assert await asyncio.wait_for(anext(keys), 60) == "a"
            os.close(master)
            for _ in range(6000):
                if not keys.available:
                    break
                await asyncio.sleep(0.01)
            assert not keys.available
        os.close(slave)

    asyncio.run(read())


def test_signals_that_were_ignored_stay_ignored_and_ours_are_given_back():
    async def read() -> None:
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)
        try:
            with TerminalKeys(slave):
                assert signal.getsignal(signal.SIGTSTP) is signal.SIG_IGN
                assert signal.getsignal(signal.SIGCONT) is not signal.SIG_DFL
        finally:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL
        assert termios.tcgetattr(slave) == before
        os.close(master)
        os.close(slave)

    asyncio.run(read())
