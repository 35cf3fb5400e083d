"""Valid names of presenters, and a folder name for each that is valid on every system."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from presenter.errors import EnrollError

MAX_LENGTH = 40
_MARKS = " -_.'’ʼ·"
_ESCAPE, _FINAL_DOT = "%", "%2E"  # no name has a per cent sign
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}


def name_form(name: str) -> str:
    """A name in the one Unicode form (NFC) that is stored and shown, without spaces around it."""
    return unicodedata.normalize("NFC", name).strip()


def name_key(name: str) -> str:
    """The key by which people and file systems consider two names equal."""
    return unicodedata.normalize("NFC", name_form(name).casefold())


def folder_of(name: str) -> str:
    """The name of the folder: the presenter's name, with what Windows does not allow escaped."""
    folder = name[:-1] + _FINAL_DOT if name.endswith(".") else name
    return _ESCAPE + folder if name.partition(".")[0].rstrip().casefold() in _DEVICES else folder


def name_of(folder: str) -> str:
    """The name that a folder stands for, the reverse of `folder_of`."""
    name = folder.removeprefix(_ESCAPE)
    return name_form(name.removesuffix(_FINAL_DOT) + "." if name.endswith(_FINAL_DOT) else name)


def check_name(name: str, taken: Iterable[str], what: str = "presenter") -> str:
    """Return the name in the form that is stored.

    Args:
        name: As it was typed.
        taken: Names that are in use.
        what: Is named; for the error message.

    Raises:
        EnrollError: If it is not 1-40 letters (with their combining signs), digits, spaces, hyphens, underscores,
            apostrophes and dots that begin with a letter or digit, or is taken.
    """
    name = name_form(name)
    if not (0 < len(name) <= MAX_LENGTH and _is_sign(name[0], "LN") and all(_is_sign(sign, "LNM") for sign in name)):
        raise EnrollError(
            f"A name is 1 to {MAX_LENGTH} letters, digits, spaces, hyphens, underscores, apostrophes or dots,"
            f" a letter or digit first; got {name[:60]!r}."
        )
    if name_key(name) in {name_key(other) for other in taken}:
        raise EnrollError(f"There is a {what} named {name} already; choose another name.")
    return name


def _is_sign(sign: str, kinds: str) -> bool:
    """Whether a character is of one of the Unicode categories, or a punctuation mark allowed within names."""
    return unicodedata.category(sign)[0] in kinds or ("M" in kinds and sign in _MARKS)
