"""Peak programme meter of a microphone as a bar, with peak hold.

Source: IEC 60268-18 (peak meters: fast attack, slow decay); the times are chosen for a glance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.text import Text

FLOOR_DBFS = -60.0
"""Lower end of the bar; the upper end is 0."""

_ZONES = ((-18.0, "green"), (-6.0, "yellow"), (0.0, "red"))  # up to which level, in which colour
_HOLD_S = 1.5
_FALL_DB_PER_S = 20.0
_CLIP_S = 1.5  # clipping is shown for this long
_GLYPHS = {
    False: ("━", "╸", "─", "┃", "█"),
    True: ("=", "-", ".", "|", "!"),
}  # full, half, empty, peak, clipping


@dataclass(frozen=True, slots=True)
class Level:
    """State of a meter at one time."""

    dbfs: float
    """The level, in dB below full scale, `FLOOR_DBFS`..0."""
    peak_dbfs: float
    """The held peak, likewise."""
    clipped: bool
    """Whether a sample was clipped a short time ago."""

    def bar(self, width: int, *, muted: bool, ascii_only: bool) -> Text:
        """Draw it, `width` cells wide; readable without colour.

        Args:
            width: Cells.
            muted: In grey.
            ascii_only: For terminals without Unicode.
        """
        whole, half, rest, peak, clipped = _GLYPHS[ascii_only]
        halves = math.floor(2 * width * (1 - self.dbfs / FLOOR_DBFS))
        cells = whole * (halves // 2) + half * (halves % 2)
        text = Text(cells.ljust(width, rest), "bright_black")
        if not muted:
            begin = 0
            for until, colour in _ZONES:
                end = round(width * (1 - until / FLOOR_DBFS))
                text.stylize(colour, begin, min(end, len(cells)))
                begin = end
        at = math.ceil(width * (1 - self.peak_dbfs / FLOOR_DBFS)) - 1
        if self.clipped:
            return text[:-1] + Text(clipped, "bold red")
        return text[:at] + Text(peak, "bright_black" if muted else "") + text[at + 1 :] if at >= 0 else text


class LevelMeter:
    """Follows a level; times are seconds of any clock."""

    def __init__(self) -> None:
        """Begin at silence."""
        self._peak = FLOOR_DBFS
        self._peak_at = self._clip_until = -math.inf

    def update(self, dbfs: float, clipped: bool, now: float) -> Level:
        """Take the peak since the last call, and return what is to be shown.

        Args:
            dbfs: In dB below full scale; minus infinity is silence.
            clipped: Whether a sample was clipped since the last call.
            now: Seconds.
        """
        level = min(0.0, max(FLOOR_DBFS, dbfs))
        fallen = self._peak - _FALL_DB_PER_S * max(0.0, now - self._peak_at - _HOLD_S)
        if level >= fallen:
            self._peak, self._peak_at = level, now
        if clipped:
            self._clip_until = now + _CLIP_S
        return Level(level, max(level, fallen), now < self._clip_until)
