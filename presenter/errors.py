"""Errors that users see; each says in one line what was expected and what was found.

PresenterError
├── ConfigError              a configuration file or option is wrong
├── CapacityError            a limit is reached
├── ConsentError             nobody agreed that a face is used
├── EnrollError              a photo can't become a presenter
├── IdentityDamagedError     a presenter's folder can't be read
├── MediaError               a media file can't be used
├── MissingError             what only a part of the program needs is not here (presenter.doctor)
├── StyleDamagedError        a speaking style can't be read
├── VoiceMissingError        the extra [voice] is missing
├── OfferError               a WebRTC offer can't be answered
├── PageConnectedError       a session has its page already
├── PublishError             a media server refuses a publication
├── PublishTargetError       a publication may not go where it was told to
└── NotFoundError            nothing has this name or id
    ├── IdentityNotFoundError, StyleNotFoundError, SessionNotFoundError, ViewerNotFoundError
    └── PublicationNotFoundError, JobNotFoundError
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_SHOWN = 60  # characters of a wrong value
_NAMES = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dataclass_type": "a mapping",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


class PresenterError(Exception):
    """Base of all errors that are the caller's to fix."""


class ConfigError(PresenterError):
    """A configuration file or option is wrong."""


class CapacityError(PresenterError):
    """A limit is reached: sessions, bots, publications, viewers, enrolments or uploads."""


class ConsentError(PresenterError):
    """Nobody's consent to the use of a face is recorded."""


class EnrollError(PresenterError):
    """A photo can't become a presenter."""


class IdentityDamagedError(PresenterError):
    """A presenter's folder lacks something or can't be read."""


class MediaError(PresenterError):
    """A media file can't be read, or holds not what is needed."""


class StyleDamagedError(PresenterError):
    """A speaking style can't be read."""


class VoiceMissingError(PresenterError):
    """The voice built in can't be loaded: packages of the extra `[voice]` are missing or broken."""


class NotFoundError(PresenterError):
    """Nothing has this name or id, or no longer."""


class IdentityNotFoundError(NotFoundError):
    """No presenter has this name."""


class StyleNotFoundError(NotFoundError):
    """No speaking style has this name."""


class SessionNotFoundError(NotFoundError):
    """No session has this id."""


class ViewerNotFoundError(NotFoundError):
    """No viewer of this session has this id."""


class PublicationNotFoundError(NotFoundError):
    """No publication of this session has this id."""


class JobNotFoundError(NotFoundError):
    """No enrolment or render has this id."""


class OfferError(PresenterError):
    """A WebRTC offer can't be answered."""


class PageConnectedError(PresenterError):
    """A session has its page already."""


class PublishError(PresenterError):
    """A media server can't be reached, or refuses a publication."""


class PublishTargetError(PresenterError):
    """A publication was to go where the configuration does not let it."""


def first_mistake(error: ValidationError, kind: type) -> str:
    """Describe the first mistake that pydantic found, in one line: `key: expected …, got …`.

    Args:
        error: what the validation of data as `kind` raised.
        kind: a pydantic model or dataclass; names the keys where one is unknown.
    """
    mistake = error.errors(include_url=False)[0]
    path = [str(part) for part in mistake["loc"]]
    where = f"{'.'.join(path)}: " if path else ""
    code, limits = mistake["type"], mistake.get("ctx", {})
    match code:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{where}expected one of {', '.join(_keys(kind, path[:-1]))}, got an unknown key"
        case "invalid_key":
            return f"{where}expected a text as key, got {_shown(mistake['loc'][-1])}"
        case "json_invalid":
            return f"expected JSON in UTF-8: {limits['error']}"
        case "missing":
            return f"{where}expected a value, got none"
        case "greater_than_equal":
            expected = f"at least {limits['ge']:g}"
        case "less_than_equal":
            expected = f"at most {limits['le']:g}"
        case "literal_error":
            expected = f"{limits['expected']}"
        case "string_too_long":
            expected = f"at most {limits['max_length']} characters"
        case _ if code in _NAMES:
            expected = _NAMES[code]
        case _:
            expected = mistake["msg"].removeprefix("expected ")
    return f"{where}expected {expected}, got {_shown(mistake['input'])}"


def _keys(kind: Any, path: list[str]) -> list[str]:
    for name in path:
        kind = kind.__pydantic_fields__[name].annotation
    return sorted(kind.__pydantic_fields__)


def _shown(value: object) -> str:
    """Return a wrong value, short and on one line; what has no text (an integer of 5,000 digits) by its type."""
    try:
        text = repr(value)
    except ValueError:
        return "a number too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
