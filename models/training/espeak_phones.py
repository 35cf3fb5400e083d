"""espeak-ng with the times of its phones, in any of its languages: its library says them while it speaks.

The program `espeak-ng` does not print them. The library is the one of the `espeakng-loader` package.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.audio_corpus_voices import ESPEAK_VARIANTS, to_model_rate

_RETRIEVAL, _PHONEME_EVENTS, _IPA = 1, 1, 2
_EVENT_END, _EVENT_PHONEME = 0, 7
_UTF8 = 1
_RATE, _PITCH = 1, 3
Spoken = list[tuple[str, float]]
"""Phones in IPA and when each begins, in seconds."""


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Espeak:
    """The library, which exists once in a process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = str(espeakng_loader.get_data_path()).encode()
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 0, folder, _PHONEME_EVENTS | _IPA)
        self._callback = _Callback(self._hear)  # the library keeps a pointer only
        self._library.espeak_SetSynthCallback(self._callback)
        self._pcm: list[NDArray[np.int16]] = []
        self._phones: Spoken = []

    def _hear(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._pcm.append(np.ctypeslib.as_array(wave, (count,)).copy())
        number = 0
        while events[number].type != _EVENT_END:
            if events[number].type == _EVENT_PHONEME:
                name = bytes(events[number].string).decode("utf-8", "ignore")
                self._phones.append((name, events[number].audio_position / 1000))
            number += 1
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int) -> tuple[NDArray[np.float32], Spoken]:
        self._pcm, self._phones = [], []
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_RATE, rate, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        pcm = np.concatenate(self._pcm).astype(np.float32) / np.float32(32768)
        return to_model_rate(pcm, self._rate), self._phones


@cache
def _espeak() -> _Espeak:
    return _Espeak()


def speak_with_phones(text: str, language: str, number: int) -> tuple[NDArray[np.float32], Spoken]:
    """Synthesise a text; voice variant, pitch and rate follow from `number`.

    Returns:
        Audio at 16 kHz `[N]`, and each phone with its beginning.

    Raises:
        ImportError: If `espeakng-loader` is not installed.
        ValueError: If espeak-ng does not have the language.
    """
    rng = np.random.default_rng(number)
    voice = f"{language.partition('-')[0]}{rng.choice(ESPEAK_VARIANTS)}"  # its voices are named by language alone
    return _espeak().speak(text, voice, int(rng.integers(120, 210)), int(rng.integers(25, 75)))
