"""Sentences to synthesise: English prose from Debian's `fortunes`, word salad in other languages from `faker`.

Only the sound sequences of a language matter here, so random words of it will do. Both sources are optional; what is
missing is left out.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
_PROSE = ("literature", "wisdom", "education", "science", "fortunes", "work", "food", "art")
# espeak-ng voice -> faker locale
LANGUAGES = {
    "de": "de_DE", "fr-fr": "fr_FR", "es": "es_ES", "it": "it_IT", "ru": "ru_RU", "pl": "pl_PL",
    "cmn": "zh_CN", "ja": "ja_JP", "ar": "ar_AA", "el": "el_GR", "nl": "nl_NL", "cs": "cs_CZ", "vi": "vi_VN",
    "bn": "bn_BD", "fa": "fa_IR", "uk": "uk_UA",
}  # fmt: skip


def split_sentences(text: str, shortest: int = 25, longest: int = 160) -> list[str]:
    """Split running text into speakable sentences; those with digits, markup or odd lengths are left out."""
    joined = re.sub(r"\s+", " ", text)
    sentences = (s.strip(" \"'-") for s in re.split(r"(?<=[.!?])\s", joined))
    return [s for s in sentences if shortest <= len(s) <= longest and re.fullmatch(r"[A-Za-z' ,;.!?-]+", s)]


def english_prose(folder: Path = FORTUNES) -> list[str]:
    """Sentences of the `fortunes` package, shuffled with a fixed seed; empty where it is not installed."""
    sentences: list[str] = []
    for name in _PROSE:
        path = folder / name
        if path.exists():
            for entry in path.read_text(errors="ignore").split("\n%\n"):
                sentences += split_sentences(re.sub(r"\n\s*--[^%]*$", "", entry))
    random.Random(0).shuffle(sentences)
    return sentences


def foreign_sentences(language: str, count: int) -> list[str]:
    """`count` random-word sentences for an espeak-ng language; empty where `faker` or its locale is missing."""
    locale = LANGUAGES.get(language)
    if not locale:
        return []
    try:
        from faker import Faker
    except ImportError:
        return []
    fake = Faker(locale)
    fake.seed_instance(len(language))
    return [fake.sentence(nb_words=9) for _ in range(count)]
