"""Which phonemes of a sentence belong to which of its words.

Spaces do not tell: a number is several spoken words, and "of the" is one. But each word can be pronounced by
itself, and the sentence is nearly the concatenation of its words; so the two are aligned by minimum edit distance.
"""

from __future__ import annotations

from collections.abc import Sequence

from presenter.tts.phonemes import SILENT


def word_spans(phonemes: str, words: Sequence[str]) -> list[range]:
    """Find each word's phonemes in a sentence.

    Args:
        phonemes: The sentence, with spaces and marks.
        words: Phonemes of each word by itself, in order; empty for a word without sound.

    Returns:
        Positions in `phonemes` of each word's sounds, in order and without overlap; a space between two words
        goes to the first, as connected speech has no pause there. Empty for a word that has no part in it.
    """
    letters = [(letter, index) for index, word in enumerate(words) for letter in f"{word} "]
    owners = _align(phonemes, letters)
    spans = [range(0)] * len(words)
    for position, owner in enumerate(owners):
        if phonemes[position] not in SILENT:
            stop = position + 1 + (phonemes[position + 1 : position + 2] == " ")
            spans[owner] = range(spans[owner].start if spans[owner] else position, stop)
    return spans


def _align(phonemes: str, letters: Sequence[tuple[str, int]]) -> list[int]:
    """Owner of each phoneme on the cheapest path (Needleman and Wunsch, 1970)."""
    costs = [list(range(len(letters) + 1))]
    for count, phoneme in enumerate(phonemes, 1):
        above, row = costs[-1], [count]
        for column, (letter, _) in enumerate(letters):
            row.append(min(above[column] + _swap(phoneme, letter), above[column + 1] + 1, row[column] + 1))
        costs.append(row)
    owners = [0] * len(phonemes)
    i, j = len(phonemes), len(letters)
    while i:
        owners[i - 1] = letters[max(j - 1, 0)][1]
        if j and costs[i][j] == costs[i - 1][j - 1] + _swap(phonemes[i - 1], letters[j - 1][0]):
            i, j = i - 1, j - 1
        elif costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return owners


def _swap(phoneme: str, letter: str) -> int:
    """Cost of one for the other; a sound is never taken for silence."""
    if phoneme == letter:
        return 0
    return 2 if phoneme in SILENT or letter in SILENT else 1
