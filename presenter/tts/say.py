"""A text as a recording: a film of the presenter speaking it, or the audio alone in a WAV."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from presenter.config import AppConfig
from presenter.runtime.engine import Engine
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.offline import render_audio
from presenter.runtime.output import Output
from presenter.runtime.progress import Progress
from presenter.tts.voice import Voice
from stream.files.output import PartialFile, errors_of
from stream.media import FloatArray, Int16Array

SOUND_SUFFIX = ".wav"
_PAUSE_S = 0.25  # between sentences


class SpokenText:
    """A text as sound, sentence by sentence: see `stream.files.reader.Sound`."""

    channels = 1
    duration_s: float | None = None

    def __init__(self, voice: Voice, text: str) -> None:
        """Speak nothing yet."""
        self._voice, self._text = voice, text
        self.rate = voice.rate
        self.spoken = 0
        """Samples so far."""

    def sentences(self) -> Iterator[Int16Array]:
        """Yield the sentences, each after the first with a pause before it."""
        pause = np.zeros(round(_PAUSE_S * self.rate), np.int16)
        for piece in self._voice.speak(self._text):
            pcm = np.concatenate([pause, piece.pcm]) if self.spoken else piece.pcm
            self.spoken += len(pcm)
            yield pcm

    def pieces(self) -> Iterator[FloatArray]:
        """Yield the same as float32 `[1, N]`."""
        for pcm in self.sentences():
            yield (pcm.astype(np.float32) / np.float32(32768))[None]


def say_file(
    config: AppConfig,
    text: str,
    find: Callable[[], StoredIdentity],
    out: Output,
    progress: Progress | None = None,
    framing: Framing = DEFAULT_FRAMING,
) -> float:
    """Speak a text into a file.

    Args:
        config: Which networks and presenters.
        text: The text to speak.
        find: Returns the presenter; not called for a WAV.
        out: A `.wav` for the sound alone, anything else is a film of the presenter saying it.
        progress: Called after each frame; None draws a bar on the terminal.
        framing: How the presenter is shown.

    Returns:
        Length of the speech in seconds.

    Raises:
        VoiceMissingError: If the extra `[voice]` is not installed.
        PresenterError: If the text can't be spoken.
        MediaFileError: If the file can't be written.
    """
    spoken = SpokenText(Voice.load(), text)
    if out.path is not None and out.path.suffix.lower() == SOUND_SUFFIX:
        _write_wav(spoken, out.path, out.overwrite)
    else:
        stored = find()
        render_audio(Engine.load(config), spoken, stored, out, progress, framing)
    return spoken.spoken / spoken.rate


def _write_wav(spoken: SpokenText, path: Path, overwrite: bool) -> None:
    with errors_of(path):
        partial = PartialFile(path, overwrite=overwrite)
    try:
        with errors_of(path), partial.temporary.open("wb") as file, wave.open(file, "wb") as sound:
            sound.setparams((1, 2, spoken.rate, 0, "NONE", ""))
            for pcm in spoken.sentences():
                sound.writeframes(pcm.astype("<i2").tobytes())
        with errors_of(path):
            partial.commit()
    finally:
        partial.discard()
