"""The status line in a real terminal: messages stay above it, and it survives them."""

import re
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudoterminals")

PROGRAM = """
import logging, sys, time
from presenter.meeting.status import Status
from presenter.meeting.status_line import StatusLine

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
with StatusLine([("m", "mute")]) as line:
    for second in range(3):
        line.update(Status("Ada", level_dbfs=-20.0, fps=21.0 + second), second)
        time.sleep(0.4)
        logging.info("message %d", second)
        print("printed", second)
        time.sleep(0.4)
    line.toggle_help()
    time.sleep(0.4)
    line.stop()
    logging.info("stopped")
    line.start()
    time.sleep(0.4)
    print("end of the line")
logging.info("after")
"""


def screen_of(text, columns, rows=200):
    """What a terminal shows after a text of lines, returns, and the movements and deletions that the line uses."""
    cells = [[" "] * columns for _ in range(rows)]
    row = column = 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", text):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
        elif token == "\x1b[2K":
            cells[row] = [" "] * columns
        elif token[0] == "\x1b" and token[-1] == "A":
            row -= int(token[2:-1])
        elif token[0] == "\x1b":
            assert token[-1] in "mhl", f"unknown: {token!r}"
        else:
            if column == columns:
                row, column = row + 1, 0
            cells[row][column] = token
            column += 1
    return ["".join(line).rstrip() for line in cells[: row + 1]]


@pytest.mark.parametrize("columns", [40, 100])
def test_messages_stay_above_the_line_and_the_line_survives(terminal, columns):
    with terminal(sys.executable, "-c", PROGRAM, columns=columns) as screen:
        seen = ""
        for second in range(3):
            seen += screen.wait_for(f"message {second}")
            seen += screen.wait_for(f"printed {second}")
            seen += screen.wait_for("LIVE[^\n]*A/V|LIVE[^\n]*delay[^\n]* ms")
            shown = screen_of(seen, columns)
            assert shown[-1].startswith(" LIVE")
            messages = [f"{kind} {i}" for i in range(second + 1) for kind in ("INFO message", "printed")]
            assert [line for line in shown[:-1] if line] == messages
        seen += screen.wait_for("mute")
        seen += screen.wait_for("stopped\r\n")
        assert screen_of(seen, columns)[-2:] == ["INFO stopped", ""]  # neither the line nor its help is left
        assert seen.count("\x1b[?25h") == 1  # the cursor is back
        seen += screen.wait_for("end of the line")
        seen += screen.wait_for("after\r\n")
        assert screen_of(seen, columns) == [*messages, "INFO stopped", "end of the line", "INFO after", ""]
        assert screen.process.wait(30) == 0


def test_what_goes_into_a_pipe_does_not_come_out_of_the_terminal(terminal, tmp_path):
    path = tmp_path / "out"
    command = f'exec "$0" -c "$1" > {path}'
    with terminal("/bin/sh", "-c", command, sys.executable, PROGRAM) as screen:
        assert "printed" not in screen.wait_for("after\r\n")
        assert screen.process.wait(30) == 0
    assert path.read_text().splitlines() == ["printed 0", "printed 1", "printed 2", "end of the line"]
