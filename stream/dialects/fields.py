"""Typed reading of messages; each error says what was expected."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, TypeGuard

from stream.wire import WireError, Word

NAME_LENGTH = 256
"""Longest name of an utterance, a mark or a request, in characters: they are stored."""
_MAX_NUMBER = 1e12  # above any count or time that makes sense; also excludes NaN and infinities


def check_size(message: str | bytes, limit: int) -> None:
    """Refuse a message of more than `limit` bytes with `WireError("too_large")`."""
    size = len(message) if isinstance(message, bytes) else len(message.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise WireError("too_large", f"message of {size} bytes", f"at most {limit} bytes")


def read_object(message: str | bytes, limit: int) -> Fields:
    """Read a message that holds one JSON object: text, or the same bytes in a binary message.

    Raises:
        WireError: `too_large`, `unexpected_binary` or `bad_json`.
    """
    check_size(message, limit)
    if isinstance(message, bytes) and not message.lstrip().startswith(b"{"):
        raise WireError("unexpected_binary", f"binary message of {len(message)} bytes", "text with a JSON object")
    try:
        value = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise WireError("bad_json", f"not JSON: {error}", "text with a JSON object") from None
    if not isinstance(value, dict):
        raise WireError("bad_json", f"JSON {shown(value)}", "a JSON object")
    return Fields(value)


def is_json(message: bytes) -> bool:
    """Whether a binary message is a JSON object, as some clients send all messages in binary; audio never is."""
    if not (message.startswith(b"{") and message.rstrip().endswith(b"}")):
        return False
    try:
        return isinstance(json.loads(message), dict)
    except (ValueError, RecursionError):
        return False


def unknown_type(kind: str, known: str) -> WireError:
    """Return the error for a message whose type the dialect doesn't have."""
    return WireError("unknown_type", f"message type {shown(kind)}", known)


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object, read by field; a wrong type raises `WireError("bad_field")`."""

    values: dict[str, Any]
    path: str = ""

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.values.get(name)
        return value if isinstance(value, str) else self._refuse(name, "a string")

    def name(self, name: str) -> str:
        """Return a string that is short enough to be stored."""
        value = self.text(name)
        return value if len(value) <= NAME_LENGTH else self._refuse(name, f"at most {NAME_LENGTH} characters")

    def optional_name(self, name: str) -> str | None:
        """Return a short string, or `None` where it is absent or null."""
        return self.name(name) if name in self else None

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a boolean; where it is absent or null, the default if there is one."""
        value = self.values.get(name)
        value = default if value is None else value
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def number(self, name: str) -> float:
        """Return a finite number."""
        value = self.values.get(name)
        return value if _is_number(value) else self._refuse(name, "a number")

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; where it is absent, the default if there is one."""
        value = self.values.get(name)
        value = default if value is None else value
        return value if _is_number(value) and isinstance(value, int) else self._refuse(name, "a whole number")

    def texts(self, name: str) -> list[str]:
        """Return an array of strings."""
        value = self._array(name)
        return value if all(isinstance(x, str) for x in value) else self._refuse(name, "an array of strings")

    def numbers(self, name: str) -> list[float]:
        """Return an array of finite numbers."""
        value = self._array(name)
        return value if all(map(_is_number, value)) else self._refuse(name, "an array of numbers")

    def inner(self, name: str) -> Fields:
        """Return an object within this one."""
        value = self.values.get(name)
        return Fields(value, f"{self.path}{name}.") if isinstance(value, dict) else self._refuse(name, "an object")

    def objects(self, name: str) -> list[Fields]:
        """Return an array of objects."""
        value = self._array(name)
        if not all(isinstance(x, dict) for x in value):
            self._refuse(name, "an array of objects")
        return [Fields(x, f"{self.path}{name}[{k}].") for k, x in enumerate(value)]

    def audio(self, name: str) -> bytes:
        """Return the bytes of a base64 string."""
        try:
            return base64.b64decode(self.text(name), validate=True)
        except ValueError:
            return self._refuse(name, "base64")

    def _array(self, name: str) -> list[Any]:
        value = self.values.get(name)
        return value if isinstance(value, list) else self._refuse(name, "an array")

    def _refuse(self, name: str, expected: str) -> Any:
        raise WireError("bad_field", f"{self.path}{name} is {shown(self.values.get(name))}", expected)


def make_word(text: str, start_ms: float, end_ms: float) -> Word:
    """Return a word, or raise `WireError("bad_field")` if its times are out of order."""
    if not 0 <= start_ms <= end_ms:
        raise WireError("bad_field", f"word from {start_ms:g} to {end_ms:g} ms", "0 <= start <= end")
    return Word(text, round(start_ms), round(end_ms))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def shown(value: object) -> str:
    """Return a value as ASCII text short enough for an error message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value if not isinstance(value, str) else value[:41])
    return text if len(text) <= 48 else text[:45] + "..."
