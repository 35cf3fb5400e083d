"""Speech with known times of shut lips: what `models.training.closures` learns bilabials from.

`<cache>/closures/<corpus>/<clip>.npz` holds `pcm` int16 `[T * 640]`, `target` `[T]` (how shut lips should be, 0..1) and
`weight` `[T]` (0 where nobody knows). Phone times come from the synthesisers, from forced alignment, and from the
hand-made labels of EmoDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.audio_corpus import quantise, transcripts
from models.training.audio_corpus_phones import FRAME_SAMPLES, SAMPLE_RATE, Segment, align
from models.training.audio_corpus_texts import LANGUAGES, foreign_sentences
from models.training.audio_corpus_voices import to_model_rate, voices
from models.training.espeak_phones import Spoken, speak_with_phones

Interval = tuple[float, float]
"""First and last moment of a closure, in seconds."""
Heard = tuple[str, NDArray[np.float32], list[Interval], Interval]
"""Name, sound `[N]` at 16 kHz, closures, and the time between the first and the last sound."""

RAMP = 0.02  # seconds in which lips close before and open after a closure
_BURST = 0.02  # of a stop's segment, in which lips are open already
_HOLD = 0.05  # espeak-ng begins a voiceless stop with its burst, after the silence of the closure
_FRAME = FRAME_SAMPLES / SAMPLE_RATE
_SYLLABLES = 12
_CONSONANTS, _VOWELS = ("p", "b", "m", "p", "b", "m", "t", "d", "n", "k", "g", "l", "s", "f"), ("a", "i", "u", "e", "o")


def shut_target(closures: list[Interval], frames: int) -> NDArray[np.float32]:
    """How shut lips should be in each frame `[frames]`: 1 in a closure, falling to 0 within `RAMP` around it."""
    centres = (np.arange(frames) + 0.5) * _FRAME
    target = np.zeros(frames, np.float32)
    for start, end in closures:
        away = np.maximum(np.maximum(start - centres, centres - end), 0)
        away[np.abs(centres - (start + end) / 2).argmin()] = 0  # a closure shorter than a frame is shown in one
        target = np.maximum(target, np.clip(1 - away / RAMP, 0, 1).astype(np.float32))
    return target


def closures_of_segments(segments: list[Segment]) -> tuple[list[Interval], Interval]:
    """Closures of aligned phones, and from when to when is spoken; a stop's burst is not part of its closure."""
    closures = []
    for name, start, end in segments:
        if name in ("B", "P"):
            closures.append((start, max(end - _BURST, start + _BURST)))
        elif name == "M":
            closures.append((start, end))
    spoken = [(start, end) for name, start, end in segments if name != "SIL"]
    return closures, (spoken[0][0], spoken[-1][1]) if spoken else (0.0, 0.0)


def closures_of_espeak(phones: Spoken, seconds: float) -> tuple[list[Interval], Interval]:
    """The same for what espeak-ng says of its phones."""
    closures = []
    for (name, start), (_, end) in zip(phones, [*phones[1:], ("", seconds)], strict=True):
        letter = name.lstrip("ˈˌ")[:1]
        if letter == "p":
            closures.append((max(start - _HOLD, 0.0), start + _BURST / 2))
        elif letter == "b":
            closures.append((start, max(end - _BURST, start + _BURST)))
        elif letter == "m":
            closures.append((start, end))
    named = [start for name, start in phones if name]
    return closures, (named[0], max(start for _, start in phones)) if named else (0.0, 0.0)


def closures_of_emodb(lines: list[str]) -> tuple[list[Interval], Interval]:
    """The same for a `lablaut` file: a stop's line is its closure, `!` and the stop its burst; times are beginnings."""
    marks = []
    for line in lines:
        parts = re.match(r"\s+(\d+\.\d+)\s+-1 ([^\t]*)", line)
        if parts and parts[2].strip():
            marks.append((parts[2].strip(), float(parts[1])))
    closures = [
        (start, end) for (name, start), (_, end) in zip(marks, marks[1:], strict=False) if name in ("p", "b", "m")
    ]
    return closures, (marks[0][1], marks[-1][1]) if marks else (0.0, 0.0)


def from_espeak(sentences: int, syllables: int) -> Iterator[Heard]:
    """Random words and random syllables in each language; Hindi is left out, to be measured on."""
    for language in LANGUAGES:
        rng = np.random.default_rng(len(language))
        texts = foreign_sentences(language, sentences)
        for _ in range(syllables):
            parts = rng.choice(_CONSONANTS, _SYLLABLES), rng.choice(_VOWELS, _SYLLABLES)
            texts.append("[[" + "".join(c + v + ":" for c, v in zip(*parts, strict=True)) + "]]")
        for number, text in enumerate(texts):
            pcm, phones = speak_with_phones(text, language, 1000 + number)
            yield f"espeak/{language}_{number:04d}", pcm, *closures_of_espeak(phones, len(pcm) / SAMPLE_RATE)


def from_voices(data: Path, cache: Path, sentences: int) -> Iterator[Heard]:
    """Sentences of LJSpeech's text in every English voice that tells its phones."""
    texts = [text for text in transcripts(data).values() if 20 < len(text) < 120]
    for k, (voice, speak) in enumerate(voices(cache).items()):
        for number, text in enumerate(texts[k::7][:sentences]):
            pcm, segments = speak(text)
            yield f"synthetic/{voice}_{number:04d}", pcm, *closures_of_segments(segments)


def from_recordings(data: Path, aligned: int) -> Iterator[Heard]:
    """LJSpeech by forced alignment, and the ten actors of EmoDB."""
    for name, text in list(transcripts(data).items())[:aligned]:
        path = data / "ljspeech" / f"{name}.opus"
        pcm = _read(path) if path.exists() else np.zeros(0, np.float32)
        segments = align(quantise(pcm), text) if len(pcm) else None
        if segments:
            yield f"ljspeech/{name}", pcm, *closures_of_segments(segments)
    for path in sorted((data / "de_emodb").glob("*.opus")):
        labels = list((data / "de_emodb" / "labels" / "lablaut").glob(f"{path.stem}*"))
        if labels:
            yield f"de_emodb/{path.stem}", _read(path), *closures_of_emodb(labels[0].read_text("latin-1").splitlines())


def _read(path: Path) -> NDArray[np.float32]:
    pcm, rate = sf.read(path, dtype="float32", always_2d=True)
    return to_model_rate(pcm.mean(1), rate)


def write_closures(heard: Iterator[Heard], out: Path) -> None:
    """Write clips that are not there yet; nothing is asked of the pauses before, after and between utterances."""
    for name, pcm, closures, (first, last) in tqdm(heard, desc="closures"):
        path = out / f"{name}.npz"
        if path.exists():
            continue
        sound = quantise(pcm)
        frames = len(sound) // FRAME_SAMPLES
        centres = (np.arange(frames) + 0.5) * _FRAME
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(
                file,
                pcm=sound,
                target=shut_target(closures, frames),
                weight=((centres > first) & (centres < last)).astype(np.float32),
            )
        partial.rename(path)


def write_all(data: Path, cache: Path, sentences: int = 22, syllables: int = 30, spoken: int = 55) -> None:
    """Make the whole corpus under `<cache>/closures`: about two and a half hours; what is there stays."""
    out = cache / "closures"
    write_closures(from_espeak(sentences, syllables), out)
    write_closures(from_voices(data, cache, spoken), out)
    write_closures(from_recordings(data, 150), out)
