"""Status line at the bottom of the terminal; messages are printed above it."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import TracebackType
from typing import Self, TextIO

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from presenter.meeting.level_meter import Level, LevelMeter
from presenter.meeting.status import Shows, Status, Swap, Webcam, plain

REFRESH_HZ = 8
"""How often the line is drawn; more frequent updates are not shown."""
PLAIN_S = 10.0
"""How often a line is printed where there is no terminal."""

_MAX_DELAY_MS, _MAX_SKEW_MS = 250, 20  # beyond these the figure is yellow
_METER = range(12, 33)  # cells
_NAME_CELLS = 16
_GAP = "  "
_COLOURS = {Shows.LIVE: "green", Shows.IDLE: "yellow", Shows.STILL: "cyan"}
_WEBCAM_CELLS = max(map(len, (*Webcam, *Swap)))
_WEBCAM_WORKS = Webcam.FOLLOWING, Swap.SWAPPED


class StatusLine:
    """The line, as a context: `update` it about `REFRESH_HZ` times a second.

    A thread draws it, so that a slow terminal does not block the caller. While it is shown, what is printed and logged
    to the terminal appears above it; what a C library writes to file descriptor 2 is overwritten. Where
    there is no terminal, or a dumb one, a plain line is printed every `PLAIN_S` seconds instead.
    """

    def __init__(self, keys: Sequence[tuple[str, str]] = (), console: Console | None = None) -> None:
        """Show nothing yet.

        Args:
            keys: For the help: a key and what it does.
            console: Standard error by default.
        """
        self._console = console or Console(stderr=True, highlight=False)
        self._help = [Text.assemble((key, "bold"), " ", (meaning, "bright_black")) for key, meaning in keys]
        self._help_shown = False
        self._meter = LevelMeter()
        self._line: _Line | None = None
        self._live: Live | None = None
        self._logged: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
        self._printed_at = -math.inf

    @property
    def is_live(self) -> bool:
        """Whether the line is redrawn in place, instead of printed periodically."""
        return self._console.is_interactive

    def start(self) -> None:
        """Show it, also again after `stop`; safe twice."""
        if self._live is not None or not self.is_live:
            return
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=REFRESH_HZ,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what goes into a pipe must not be printed here
            redirect_stderr=sys.stderr.isatty(),
        )
        before = (sys.stdout, sys.stderr)
        self._live.start()
        after = {id(old): new for old, new in zip(before, (sys.stdout, sys.stderr), strict=True)}
        for handler in logging.getLogger().handlers:  # they keep the stream that they were made with
            if isinstance(handler, logging.StreamHandler) and (new := after.get(id(handler.stream))) is not None:
                self._logged.append((handler, handler.stream))
                handler.setStream(new)

    def stop(self) -> None:
        """Remove it and restore the terminal; safe twice."""
        for handler, stream in self._logged:
            handler.setStream(stream)
        self._logged = []
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def update(self, status: Status, now: float) -> None:
        """Set the status at time `now`, in seconds of any clock."""
        level = None if status.level_dbfs is None else self._meter.update(status.level_dbfs, status.clipped, now)
        self._line = _Line(status, level, bool(self._help))
        if not self.is_live and now - self._printed_at >= PLAIN_S:
            self._printed_at = now
            self._console.print(Text(plain(status)), soft_wrap=True)

    def toggle_help(self) -> None:
        """Show or hide the help for the keys, above the line."""
        self._help_shown = not self._help_shown

    def _render(self) -> Group:
        helped = [Columns(self._help, padding=(0, 3))] if self._help_shown and self._help else []
        return Group(*helped, *([self._line] if self._line else []))


@dataclass(frozen=True, slots=True)
class _Line:
    """One rendering of the line; each part has a fixed width, so that figures keep their place."""

    status: Status
    level: Level | None
    helps: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state = self._state(options.ascii_only)
        room = options.max_width - state.cell_len - len(_GAP) - _METER.start
        parts = self._parts()
        kept = set()
        for rank, part in sorted(parts, key=itemgetter(0)):
            if part.cell_len + len(_GAP) > room:
                break  # less important parts are dropped too, even if they would fit
            room -= part.cell_len + len(_GAP)
            kept.add(rank)
        meter = self._microphone(min(_METER.stop - 1, _METER.start + max(0, room)), options.ascii_only)
        line = Text(_GAP).join([state, meter, *(part for rank, part in parts if rank in kept)])
        line.no_wrap, line.overflow = True, "crop"
        yield line

    def _state(self, ascii_only: bool) -> Text:
        """Mode and speech detection, of a width that only a key changes."""
        status = self.status
        text = Text()
        if status.muted:
            text.append(" MUTED ", "bold reverse red")
        if not status.muted or status.shows is not Shows.LIVE:
            text.append(f"{status.shows:^7}", "bold reverse " + _COLOURS[status.shows])
        dot = ("*" if ascii_only else "●", "green") if status.speaking and not status.muted else (" ", "")
        return text.append(" ").append(*dot)

    def _microphone(self, width: int, ascii_only: bool) -> Text:
        if self.level is None:
            words = "microphone is gone" if width >= len("microphone is gone") else "mic is gone"
            return Text(words.ljust(width), "bold red")
        return self.level.bar(width, muted=self.status.muted, ascii_only=ascii_only)

    def _parts(self) -> list[tuple[int, Text]]:
        """What follows the meter, from left to right, with its rank: the least important has the highest."""
        status = self.status
        dbfs = None if self.level is None else status.level_dbfs
        parts = [
            (7, self._loudness(dbfs)),
            (1, _figure("delay", status.delay_ms, "4.0f", "ms", _MAX_DELAY_MS)),
            (2, _figure("", status.fps, "4.1f", "fps")),
            (4, _figure("", status.dropped, "4d", "dropped")),
            (3, _figure("A/V", status.skew_ms, "+4.0f", "ms", _MAX_SKEW_MS)),
            (8, _figure("", status.drift_ppm, "+4.0f", "ppm")),
        ]
        if status.webcam is not None:
            style = "bright_black" if status.webcam in _WEBCAM_WORKS else "yellow"
            parts.append((5, Text(f"{status.webcam:<{_WEBCAM_CELLS}}", style)))
        name = Text(status.presenter, "bold")
        name.truncate(_NAME_CELLS, overflow="ellipsis")
        parts.append((6, name))
        if self.helps:
            parts.append((9, Text.assemble(("?", "bold"), " ", ("keys", "bright_black"))))
        return parts

    def _loudness(self, dbfs: float | None) -> Text:
        if self.level is not None and self.level.clipped:
            return Text(f"{'CLIP':^7}", "bold reverse red")
        return _figure("", dbfs, "4.0f", "dB")


def _figure(label: str, value: float | None, form: str, unit: str, limit: float = math.inf) -> Text:
    """A number of fixed width between its label and unit; yellow beyond a limit, a dash while it is not known."""
    width = int(form.lstrip("+").partition(".")[0].rstrip("d"))
    number = "-".rjust(width) if value is None else f"{value:{form}}"
    style = "yellow" if value is not None and abs(value) > limit else ""
    before = [(f"{label} ", "bright_black")] if label else []
    return Text.assemble(*before, (number, style), (f" {unit}", "bright_black"))
