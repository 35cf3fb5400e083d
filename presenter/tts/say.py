"""A text as a recording: the presenter says it in an MP4, or it is heard alone in a WAV."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from presenter.config import AppConfig
from presenter.enroll.enrolment import find_presenter
from presenter.runtime.offline import render_audio
from presenter.tts.voice import Voice
from stream.files.reader import AudioFile
from stream.media import Int16Array

_PAUSE_S = 0.25  # between sentences


def say_file(config: AppConfig, text: str, name_or_photo: str, out: Path) -> float:
    """Speak a text into a file.

    Args:
        config: Which networks and presenters.
        text: What to say.
        name_or_photo: A presenter's name, or a photo; not used for a WAV.
        out: A `.wav` for the sound alone, anything else is an MP4 of the presenter saying it.

    Returns:
        Length of the speech in seconds.

    Raises:
        VoiceMissingError: If the extra `[voice]` is not installed.
        PresenterError: If the text can't be spoken.
    """
    pcm, rate = _speak(text)
    if out.suffix.lower() == ".wav":
        out.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(out), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(pcm.astype("<i2").tobytes())
    else:
        samples = (pcm.astype(np.float32) / np.float32(32768))[None]
        render_audio(config, AudioFile(samples, rate), find_presenter(config, name_or_photo), out)
    return len(pcm) / rate


def _speak(text: str) -> tuple[Int16Array, int]:
    """The whole text, with a pause between sentences."""
    voice = Voice.load()
    pause = np.zeros(round(_PAUSE_S * voice.rate), np.int16)
    parts = [part for piece in voice.speak(text) for part in (pause, piece.pcm)]
    return np.concatenate(parts[1:]), voice.rate
