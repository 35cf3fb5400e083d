"""What the network does with the sounds of other languages: evidence from synthetic speech with known phones only.

espeak-ng's voices of each language speak series of bilabial syllables, whose closures are counted, and held /u/ and
/i/, whose widths are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.mesh import NUM_VERTICES, aperture, width
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.training.audio_corpus import quantise
from models.training.audio_corpus_voices import speak_espeak
from models.training.motion_eval import all_delays
from models.training.motion_metrics import CLOSED, stretches

LANGUAGES = ("de", "fr-fr", "es", "cmn", "ja", "hi", "ru", "ar")
BILABIALS = ("p", "b", "m")
SYLLABLES = 5
VOICES = 4  # variants of voice, pitch and rate

Array = NDArray[np.float32]


def inner_closures(opening: Array, closed: float = CLOSED) -> int:
    """Count the closures of a lip opening `[T]` that lie between two openings."""
    shut = opening < closed
    return sum(first > 0 and last < len(shut) for first, last in stretches(shut))


def judge_languages(model: StyleSyncFormer, neutral: Array) -> dict[str, dict[str, float]]:
    """Recall of bilabial closures, and the contrast of /i/ over /u/, by language.

    Args:
        model: the network under test.
        neutral: rest mesh `[478, 3]`.

    Returns:
        For each language `closure_recall`, `width_i_minus_u` and `aperture_i_minus_u` in inter-ocular distances.
    """
    report = {}
    for language in LANGUAGES:
        made = 0
        for consonant in BILABIALS:
            for voice in range(VOICES):
                opening = aperture(_mesh(model, neutral, f"[[{f'{consonant}a:' * SYLLABLES}]]", language, voice)[0])
                made += min(inner_closures(opening), SYLLABLES - 1)
        mouths = {vowel: _held(model, neutral, vowel, language) for vowel in ("i", "u")}
        report[language] = {
            "closure_recall": made / (len(BILABIALS) * VOICES * (SYLLABLES - 1)),
            "width_i_minus_u": mouths["i"][0] - mouths["u"][0],
            "aperture_i_minus_u": mouths["i"][1] - mouths["u"][1],
        }
    return report


def _held(model: StyleSyncFormer, neutral: Array, vowel: str, language: str) -> tuple[float, float]:
    """Mean width and opening while a vowel sounds."""
    widths, openings = [], []
    for voice in range(VOICES):
        mesh, loud = _mesh(model, neutral, f"[[{vowel}:_:{vowel}:_:{vowel}:]]", language, voice)
        widths.append(width(mesh[loud]).mean())
        openings.append(aperture(mesh[loud]).mean())
    return float(np.mean(widths)), float(np.mean(openings))


def _mesh(
    model: StyleSyncFormer, neutral: Array, phonemes: str, language: str, voice: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Meshes `[T, 478, 3]` for espeak-ng phonemes, and the frames `[T]` that are loud."""
    pcm = quantise(speak_espeak(phonemes, language, voice))
    coefficients = all_delays(model, pcm)[model.config.delay]
    mesh = neutral + (coefficients @ model.basis.numpy()).reshape(-1, NUM_VERTICES, 3)
    level = np.square(pcm.reshape(-1, CHUNK_SAMPLES).astype(np.float32)).mean(1)
    return mesh.astype(np.float32), level > 0.1 * level.max()
