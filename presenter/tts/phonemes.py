"""Text to phonemes: espeak-ng's American English IPA, sentence by sentence, as the voice was trained on it.

espeak-ng knows numbers, abbreviations and where a clause ends. Its public call tells how far it has read but not
by which mark the clause ended, and the voice needs the marks for its intonation, so they are taken from the text here.
"""

from __future__ import annotations

import ctypes
import functools
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from presenter.errors import VoiceMissingError

MAX_PHONEMES = 200
"""A sentence with more (about 11 s) is spoken in parts: the voice's memory grows with the length of a sentence."""
MARKS = ".?!,;:"
"""Punctuation that the voice knows: it sets pauses and intonation, and has no sound."""
SILENT = f" {MARKS}"
"""All of a sentence's phonemes that have no sound."""

_SYNCHRONOUS_OUTPUT, _DONT_EXIT = 2, 0x8000  # speak_lib.h: open no sound device; report errors instead of exiting
_UTF8, _IPA = 1, 2
_LANGUAGE_SWITCH = re.compile(r"\([^)]*\)")  # "(fr)bɔ̃ʒuʁ(en-us)"
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e)\.\s*$")  # espeak-ng ends a sentence there
_LAST_MARK = re.compile(r"(\.\.|[.?!,;:…–—])\W*$")
_ENDS = set(".?!")
_PAUSES = dict.fromkeys(("..", "…", "–", "—"), ";")
_lock = threading.Lock()  # espeak-ng is one state machine per process


@dataclass(frozen=True)
class Sentence:
    """A piece of text that is synthesised at once."""

    text: str
    """As it was written."""
    phonemes: str
    """IPA in Unicode's decomposed form, one phoneme, stress, space or mark a character."""


def split_sentences(text: str, closing: str = ".") -> list[Sentence]:
    """Phonemes of a text, by sentence; what has no sound stays with the text of its neighbour.

    Args:
        text: Any text; emoji, control characters and Markdown's `*` and backticks have no sound.
        closing: The mark that ends the last sentence where the text does not end it.

    Returns:
        The sentences, each of at most `MAX_PHONEMES`; none if nothing in the text has a sound.

    Raises:
        VoiceMissingError: If espeak-ng is not installed.
    """
    sentences: list[Sentence] = []
    start = clause_start = 0
    phonemes = ""
    spoken = _speakable(text)
    for end, ipa in _clauses(spoken):
        mark = _last_mark(spoken[clause_start:end])
        clause_start = end
        if ipa:
            phonemes += f"{ipa}{mark} "
        if phonemes and mark in _ENDS:
            sentences.append(Sentence(text[start:end], phonemes.rstrip(SILENT) + mark))
            start, phonemes = end, ""
    if phonemes:
        sentences.append(Sentence(text[start:], phonemes.rstrip(SILENT) + closing))
    elif sentences:
        sentences[-1] = Sentence(sentences[-1].text + text[start:], sentences[-1].phonemes)
    return [part for sentence in sentences for part in _shorten(sentence, closing)]


def phonemes_of(text: str) -> str:
    """Phonemes of a word or phrase by itself, without marks; empty if it has no sound."""
    return " ".join(ipa for _, ipa in _clauses(_speakable(text)) if ipa)


def _shorten(sentence: Sentence, closing: str) -> list[Sentence]:
    """Cut a sentence that is too long at the gap nearest its middle, after a mark if there is one near."""
    text = sentence.text.rstrip()
    if len(sentence.phonemes) <= MAX_PHONEMES or len(text) < 2:
        return [sentence]
    middle = len(text) // 2
    gaps = [gap.end() for gap in re.finditer(r"\s+", text) if gap.start()]
    after_marks = [gap for gap in gaps if text[:gap].rstrip()[-1:] in MARKS and abs(gap - middle) < middle // 2]
    cut = min(after_marks or gaps or [middle], key=lambda gap: abs(gap - middle))
    return split_sentences(sentence.text[:cut], ",") + split_sentences(sentence.text[cut:], closing)


def _speakable(text: str) -> str:
    """The text with a space for each character that has no sound, so that positions stay the same."""
    return "".join(" " if _is_silent(character) else character for character in text)


def _is_silent(character: str) -> bool:
    if character.isspace():
        return False
    category = unicodedata.category(character)
    symbol = category in {"So", "Sk"} and ord(character) > 0xFF  # emoji, but not the degree sign
    return symbol or category in {"Cc", "Cf", "Cs", "Co", "Cn"} or character in "*`\N{VARIATION SELECTOR-16}"


def _last_mark(clause: str) -> str:
    """The mark, one of `MARKS`, by which a clause ended; empty where its end is not audible."""
    if _ABBREVIATION.search(clause):
        return ""
    found = _LAST_MARK.search(clause)
    if found:
        return _PAUSES.get(found[1], found[1])
    return "." if re.search(r"\n\s*\n\s*$", clause) else ""


def _clauses(spoken: str) -> Iterator[tuple[int, str]]:
    """Yield for each clause where it ends in the text, and its IPA."""
    encoded = spoken.encode()
    buffer = ctypes.create_string_buffer(encoded)
    cursor = ctypes.c_void_p(ctypes.addressof(buffer))
    with _lock:
        espeak = _load()
        read = []
        while cursor.value is not None:
            ipa = espeak.espeak_TextToPhonemes(ctypes.byref(cursor), _UTF8, _IPA).decode()
            position = len(encoded) if cursor.value is None else cursor.value - ctypes.addressof(buffer)
            read.append((len(encoded[:position].decode(errors="ignore")), ipa))
    for number, (end, ipa) in enumerate(read):
        # To see that a clause has ended, espeak-ng reads the first character of the next one.
        if number < len(read) - 1 and (spoken[end - 2 : end - 1].isspace() or spoken[end - 1].isalnum()):
            end -= 1
        yield end, unicodedata.normalize("NFD", _LANGUAGE_SWITCH.sub("", ipa)).strip()


@functools.cache
def _load() -> ctypes.CDLL:
    """Load and initialise the shared library of the package espeakng-loader."""
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise VoiceMissingError(f"espeak-ng can't be loaded ({error}): pip install 'presenter[voice]'") from error
    data = espeakng_loader.get_data_path()
    if library.espeak_Initialize(_SYNCHRONOUS_OUTPUT, 0, data.encode(), _DONT_EXIT) < 0:
        # Its buffer for the path has 160 bytes.
        raise VoiceMissingError(f"espeak-ng can't read its data in {data}; is the path longer than 150 characters?")
    if library.espeak_SetVoiceByName(b"en-us"):
        raise VoiceMissingError(f"espeak-ng has no voice en-us in {data}; reinstall the package espeakng-loader")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    return library
