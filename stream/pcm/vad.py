"""Voice activity detection: webrtcvad per 20 ms, an energy gate, and a hang-over.

It gives the label that a page shows ("listening", "speaking"), and it decides when the user's microphone interrupts
the presenter. It does not move the mouth: that is rendered from the sound itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import webrtcvad

from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk

_HALF = CHUNK_SAMPLES // 2  # webrtcvad takes 10, 20 or 30 ms; a chunk is two halves of 20 ms


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """Sensitivity of speech detection.

    Raises:
        StreamError: if a value is out of range.
    """

    aggressiveness: int = 2
    """webrtcvad mode, 0 (calls most things speech) .. 3 (calls few things speech)."""
    floor_dbfs: float = -55.0
    """20 ms quieter than this are never speech: webrtcvad alone accepts faint hum."""
    onset: int = 3
    """Voiced 20 ms steps within the last `window` that start speech."""
    window: int = 4
    """Length of the onset window, in steps of 20 ms."""
    hang_ms: int = 400
    """Speech lasts this long after its last voiced step, so that pauses inside words hold."""

    def __post_init__(self) -> None:
        """Check ranges."""
        if not 0 <= self.aggressiveness <= 3:
            raise StreamError(f"aggressiveness: expected 0..3, got {self.aggressiveness}")
        if not 1 <= self.onset <= self.window:
            raise StreamError(f"onset: expected 1..{self.window} (window), got {self.onset}")


class SpeechDetector:
    """Follows one stream of chunks; pure function of the samples, no clock."""

    def __init__(self, config: VadConfig | None = None) -> None:
        """Start in silence."""
        self._config = config or VadConfig()
        self._vad = webrtcvad.Vad(self._config.aggressiveness)
        self._recent: deque[bool] = deque(maxlen=self._config.window)
        self._hang_steps = 0
        self._speaking = False

    @property
    def speaking(self) -> bool:
        """The state after the last chunk."""
        return self._speaking

    def push(self, chunk: AudioChunk) -> bool:
        """Advance by one chunk (40 ms) and return whether there is speech."""
        for half in (chunk.pcm[:_HALF], chunk.pcm[_HALF:]):
            self._step(self._is_voiced(half))
        return self._speaking

    def reset(self) -> None:
        """Reset to the initial state."""
        self._vad = webrtcvad.Vad(self._config.aggressiveness)
        self._recent.clear()
        self._hang_steps = 0
        self._speaking = False

    def _is_voiced(self, pcm: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
        power = float(np.mean(np.square(pcm, dtype=np.float64)))
        # Call webrtcvad in any case: it adapts to the noise floor of its input.
        clipped = np.clip(pcm * 32768.0, -32768, 32767).astype(np.int16)
        voiced = bool(self._vad.is_speech(clipped.tobytes(), SAMPLE_RATE))
        return voiced and power > 10.0 ** (self._config.floor_dbfs / 10.0)

    def _step(self, voiced: bool) -> None:
        self._recent.append(voiced)
        if voiced and (self._speaking or sum(self._recent) >= self._config.onset):
            self._speaking = True
            self._hang_steps = self._config.hang_ms // 20
        elif self._speaking:
            self._hang_steps -= 1
            self._speaking = self._hang_steps > 0
