"""Decodes terminal input to keys, and detects a held key by its repeats. Sans-I/O. Why not a library: docs/adr/0012.

Source: ECMA-48, 5.4 and 5.6 (control sequences and strings); xterm's ctlseqs (SS3, bracketed paste).
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

PASTE_ON, PASTE_OFF = b"\x1b[?2004h", b"\x1b[?2004l"
"""Written to a terminal: turn bracketed paste on and off."""

FIRST_S = 0.7
"""A key counts as held for this long after its first press: keyboards repeat after 0.25 to 0.66 s."""
REPEAT_S = 0.2
"""And for this long after a repeat."""

_REPEAT_GAP_S = 0.1  # keyboards repeat each 25 to 90 ms; fingers tap more slowly
_PASTE_BEGIN, _PASTE_END = "\x1b[200~", "\x1b[201~"
_NAMES = {"\r": "enter", "\n": "enter", "\t": "tab", "\x08": "backspace", "\x7f": "backspace"}

# One key or reply that begins with Escape: its beginning as far as it has come, and the character that ends it.
_SEQUENCE = re.compile(
    r"\x1b+(?:"
    r"\[\[?[0-?]*[ -/]*(?P<csi>[@-Z\\-~])?"  # arrows, function keys; Linux sends F1 as Esc [ [ A
    r"|O[0-9;]*(?P<ss3>[@-~])?"  # arrows in application mode, F1 to F4
    r"|[\]P_^X][^\x07\x1b]*(?:(?P<string>\x07|\x1b\\)|\x1b)?"  # replies, as to a question for a colour
    r"|(?P<alt>[^\[O\]P_^X\x1b])"  # Alt with a key
    r")?"
)


class KeyDecoder:
    """Decodes keys from bytes, in chunks of any size.

    A key is a printable character, or "enter", "tab", "backspace" or "escape". Arrows and all other keys that send
    a sequence are dropped, as are replies of the terminal and pasted text, which must not trigger commands.
    """

    def __init__(self) -> None:
        """Begin without input."""
        self._utf8 = codecs.getincrementaldecoder("utf-8")("ignore")
        self._text = ""
        self._pasting = False

    @property
    def pending(self) -> bool:
        """Whether a sequence is incomplete; call `flush` after a tenth of a second without more bytes."""
        return bool(self._text) and not self._pasting

    def feed(self, data: bytes) -> list[str]:
        """Add bytes and return the keys that they complete, in order."""
        self._text += self._utf8.decode(data)
        keys: list[str] = []
        while self._text:
            if self._pasting:
                if not self._leave_paste():
                    break
            elif self._text[0] != "\x1b":
                key, self._text = self._text[0], self._text[1:]
                if (name := _NAMES.get(key, key)).isprintable():
                    keys.append(name)
            elif not self._leave_sequence():
                break
        return keys

    def flush(self) -> list[str]:
        """End an incomplete sequence: Escape alone is the key, anything else is dropped."""
        if not self.pending:
            return []
        alone = self._text.strip("\x1b") == ""
        self._text = ""
        return ["escape"] if alone else []

    def _leave_sequence(self) -> bool:
        """Skip the sequence that the text begins with; False if it may be incomplete."""
        found = _SEQUENCE.match(self._text)
        assert found is not None, "called at Escape"
        if found.lastgroup is None and found.end() == len(self._text):
            return False
        self._pasting = found.group().endswith(_PASTE_BEGIN)
        self._text = self._text[found.end() :]
        return True

    def _leave_paste(self) -> bool:
        """Skip pasted text; False if its end has not come."""
        _, end, rest = self._text.partition(_PASTE_END)
        self._text = rest if end else self._text[1 - len(_PASTE_END) :]
        self._pasting = not end
        return bool(end)


class HeldKey:
    """Detects whether a key is held from its repeats, as terminals do not report its release.

    A press counts as held for `FIRST_S`, the delay before a keyboard repeats. Two presses within 0.1 s are a repeat,
    and then the key is released `REPEAT_S` after the last; two further apart may be a tap and a press that is held, so
    they count for `FIRST_S` again. Another key ends the repeats of the first. Times are seconds of any clock.
    """

    def __init__(self) -> None:
        """Not held."""
        self._pressed_at = 0.0
        self._until: float | None = None

    @property
    def until(self) -> float | None:
        """When it is released if no repeat comes; None while it is not held."""
        return self._until

    def press(self, now: float) -> Literal["press"] | None:
        """Take a press or a repeat at time `now`; "press" if the key was not held before."""
        repeated = self._until is not None and now - self._pressed_at <= _REPEAT_GAP_S
        began = self._until is None
        self._pressed_at = now
        self._until = now + (REPEAT_S if repeated else FIRST_S)
        return "press" if began else None

    def poll(self, now: float) -> Literal["release"] | None:
        """Advance to time `now`; "release" once when the key is no longer held."""
        if self._until is None or now < self._until:
            return None
        self._until = None
        return "release"
