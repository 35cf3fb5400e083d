"""Sentences for synthetic voices."""

from __future__ import annotations

from pathlib import Path

from models.training.audio_corpus_texts import english_prose, foreign_sentences, split_sentences


def test_only_speakable_sentences_are_kept() -> None:
    text = "A plain sentence\nover two lines of text. Too short. In 1984 there were digits in it. Look at\t<this>, ok?"
    assert split_sentences(text) == ["A plain sentence over two lines of text."]


def test_prose_loses_its_attributions(tmp_path: Path) -> None:
    (tmp_path / "wisdom").write_text("Nothing is as simple as it looks.\n\t\t-- Somebody Else, a book\n%\nShort.\n")
    assert english_prose(tmp_path) == ["Nothing is as simple as it looks."]


def test_languages_without_a_locale_have_no_sentences() -> None:
    assert foreign_sentences("tlh", 3) == []
