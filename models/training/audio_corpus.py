"""Prepare the audio corpora: audio, phone times and Whisper features, clip by clip, resumable.

`<cache>/audio/<corpus>/<clip>.npz` holds `pcm` int16 `[T * 640]` and `phones` int8 `[T]` (-1 unknown);
`<cache>/features/window_<n>.npz` holds raw teacher features; `<cache>/projection.npz` their projection.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from tqdm import tqdm

from models.training import audio_corpus_features as features
from models.training.audio_corpus_phones import FRAME_SAMPLES, UNKNOWN, align, frame_labels
from models.training.audio_corpus_texts import LANGUAGES, english_prose, foreign_sentences
from models.training.audio_corpus_voices import assign_texts, speak_espeak, to_model_rate, voices


@dataclass(frozen=True, kw_only=True)
class AudioCorpusConfig:
    """Where audio comes from, where it goes, and how much of it."""

    data: Path  # corpora as downloaded
    tracks: Path = Path("cache/tracks")  # tracked clips with their audio
    cache: Path = Path("cache/audio")
    synthetic_sentences: int = 2400  # over all synthetic voices, about five seconds each
    foreign_sentences: int = 60  # per language of espeak-ng
    feature_dims: int = 128


@dataclass(frozen=True, slots=True, eq=False)
class AudioClip:
    """One prepared clip: audio int16 `[T * 640]`, phones int8 `[T]`, teacher features `[T, F]` or None."""

    name: str  # corpus/clip
    pcm: NDArray[np.int16]
    phones: NDArray[np.int8]
    features: NDArray[np.float32] | None


def read_audio(path: Path) -> NDArray[np.int16]:
    """Read a file as mono int16 at 16 kHz, cut to whole video frames."""
    pcm, rate = sf.read(path, dtype="float32", always_2d=True)
    return quantise(to_model_rate(pcm.mean(1), rate))


def quantise(pcm: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert audio in -1..1 to int16, cut to whole video frames."""
    whole = len(pcm) // FRAME_SAMPLES * FRAME_SAMPLES
    return np.asarray(np.clip(np.round(pcm[:whole] * 32767), -32768, 32767), np.int16)


def _save(path: Path, pcm: NDArray[np.int16], phones: NDArray[np.int8] | None) -> None:
    if phones is None:
        phones = np.full(len(pcm) // FRAME_SAMPLES, UNKNOWN, np.int8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")  # not .npz: another step may be listing the folder
    with partial.open("wb") as file:
        np.savez(file, pcm=pcm, phones=phones)
    partial.rename(path)


def prepare_recordings(config: AudioCorpusConfig) -> None:
    """Prepare LibriSpeech and EmoDB (audio only) and LJSpeech (forced-aligned)."""
    texts = transcripts(config.data)
    corpora = ("librispeech", "ljspeech", "de_emodb")
    files = [path for corpus in corpora for path in sorted((config.data / corpus).glob("*.opus"))]
    for source in tqdm(files, desc="recordings"):
        target = config.cache / "audio" / source.parent.name / f"{source.stem}.npz"
        if target.exists():
            continue
        pcm = read_audio(source)
        segments = align(pcm, texts[source.stem]) if source.stem in texts else None
        _save(target, pcm, None if segments is None else frame_labels(segments, len(pcm) // FRAME_SAMPLES))


def transcripts(data: Path) -> dict[str, str]:
    """LJSpeech: text by the name of the recording."""
    with (data / "ljspeech" / "metadata.csv").open(newline="") as file:
        return {row[0]: row[-1] for row in csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE)}


def prepare_voices(config: AudioCorpusConfig) -> None:
    """Synthesise sentences with exact phone times, dealt to the available voices in turn."""
    speakers = voices(config.cache)
    texts = [text for text in transcripts(config.data).values() if 20 < len(text) < 160] + english_prose()
    texts = (texts * (1 + config.synthetic_sentences // max(len(texts), 1)))[: config.synthetic_sentences]
    for number, (voice, text) in enumerate(tqdm(assign_texts(texts, list(speakers)), desc="voices")):
        target = config.cache / "audio" / "synthetic" / f"{voice}_{number:04d}.npz"
        if target.exists():
            continue
        pcm, segments = speakers[voice](text)
        quantised = quantise(pcm)
        _save(target, quantised, frame_labels(segments, len(quantised) // FRAME_SAMPLES))


def prepare_languages(config: AudioCorpusConfig) -> None:
    """Synthesise word salad in many languages, for their sound sequences; phones stay unknown."""
    if not shutil.which("espeak-ng"):
        return
    for language in tqdm(LANGUAGES, desc="languages"):
        for number, text in enumerate(foreign_sentences(language, config.foreign_sentences)):
            target = config.cache / "audio" / "espeak" / f"{language}_{number:04d}.npz"
            if not target.exists():
                _save(target, quantise(speak_espeak(text, language, number)), None)


def prepare_tracks(config: AudioCorpusConfig) -> None:
    """Copy the audio of tracked clips; GRID clips are aligned with their known words."""
    for source in tqdm(sorted(config.tracks.glob("*/*.npz")), desc="tracked clips"):
        target = config.cache / "audio" / source.parent.name / source.name
        if target.exists():
            continue
        with np.load(source) as track:
            pcm = track["audio"]
        if not pcm.size:
            continue
        words = _grid_words(config.data / "grid_s1" / "align" / f"{source.stem}.align")
        segments = align(pcm, words) if words else None
        _save(target, pcm, None if segments is None else frame_labels(segments, len(pcm) // FRAME_SAMPLES))


def _grid_words(path: Path) -> str:
    if not path.exists():
        return ""
    words = (line.split()[2] for line in path.read_text().splitlines() if len(line.split()) == 3)
    return " ".join(word for word in words if word not in ("sil", "sp"))


def prepare_features(config: AudioCorpusConfig) -> None:
    """Encode every clip that has no features yet, then fit the projection once."""
    folder = config.cache / "features"
    folder.mkdir(parents=True, exist_ok=True)
    done = {name for index in _indices(folder) for name, _, _ in index}
    paths = {f"{p.parent.name}/{p.stem}": p for p in sorted((config.cache / "audio").glob("*/*.npz"))}
    lengths = {name: len(np.load(path)["phones"]) for name, path in paths.items() if name not in done}
    if lengths:
        encoder = features.load_encoder()
        first = len(list(folder.glob("window_*.npz")))
        for number, window in enumerate(tqdm(list(features.pack(lengths)), desc="features"), first):
            clips = {name: np.load(paths[name])["pcm"] for name, _, _ in window}
            raw = features.encode_window(encoder, clips, window)
            partial = folder / "window.partial"
            with partial.open("wb") as file:
                np.savez(file, raw=raw, index=json.dumps(window))
            partial.rename(folder / f"window_{number:05d}.npz")
    target = config.cache / "projection.npz"
    if not target.exists():
        windows = [np.load(path)["raw"] for path in sorted(folder.glob("window_*.npz"))]
        np.savez(target, **dict[str, Any](features.fit_projection(windows, config.feature_dims)))


def _indices(folder: Path) -> Iterator[features.Packed]:
    for path in sorted(folder.glob("window_*.npz")):
        with np.load(path) as window:
            yield [(name, at, frames) for name, at, frames in json.loads(str(window["index"]))]


def load_clips(cache: Path, names: list[str]) -> dict[str, AudioClip]:
    """Load some prepared clips without teacher features; names that were not prepared are skipped."""
    clips: dict[str, AudioClip] = {}
    for name in names:
        path = cache / "audio" / f"{name}.npz"
        if path.exists():
            with np.load(path) as clip:
                clips[name] = AudioClip(name, clip["pcm"], clip["phones"], None)
    return clips


def load_corpus(cache: Path) -> dict[str, AudioClip]:
    """Load every prepared clip with its projected teacher features.

    Args:
        cache: the folder that `main` filled.

    Returns:
        Clips by name, `corpus/clip`; about 2 bytes per sample and 4 F bytes per frame of memory.
    """
    projection = dict(np.load(cache / "projection.npz"))
    projected: dict[str, NDArray[np.float32]] = {}
    for path in sorted((cache / "features").glob("window_*.npz")):
        with np.load(path) as window:
            raw, index = window["raw"], json.loads(str(window["index"]))
        for name, at, frames in index:
            projected[name] = features.project(raw[at : at + frames], at, projection)
    names = [f"{path.parent.name}/{path.stem}" for path in sorted((cache / "audio").glob("*/*.npz"))]
    return {name: replace(clip, features=projected.get(name)) for name, clip in load_clips(cache, names).items()}


def teacher_inputs(clip: AudioClip, white: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the motion teacher is given of a clip `[T, F + 160]`: features scaled by `white` `[F]`, and log-mel."""
    assert clip.features is not None, f"{clip.name} has no features: run the audio corpus step again"
    mel = features.relative_mel(clip.pcm[: len(clip.features) * FRAME_SAMPLES])
    return np.concatenate([clip.features * white, mel], 1)


def main(argv: list[str] | None = None) -> int:
    """Run the steps that are not done yet; safe to interrupt and to run again."""
    parser = argparse.ArgumentParser(description="Prepare audio corpora for training.")
    defaults = AudioCorpusConfig(data=Path())
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tracks", type=Path, default=defaults.tracks)
    parser.add_argument("--cache", type=Path, default=defaults.cache)
    parser.add_argument("--synthetic-sentences", type=int, default=defaults.synthetic_sentences)
    parser.add_argument("--foreign-sentences", type=int, default=defaults.foreign_sentences)
    config = AudioCorpusConfig(**vars(parser.parse_args(argv)))
    prepare_recordings(config)
    prepare_voices(config)
    prepare_languages(config)
    prepare_tracks(config)
    prepare_features(config)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
