"""The mouth's motion, at any time: for a recording, or from a driver (`presenter.video.driving`)."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from models.identity import SpeakingStyle
from models.mesh import Floats
from models.syncformer import StyleSyncFormer
from stream.files.reader import Sound
from stream.media import CHUNK_SAMPLES, FPS
from stream.pcm.chunker import Chunker

_QUIET_FRAMES = FPS  # of silence after the recording, until the mouth rests


class MouthMotion(Protocol):
    """What moves a mouth."""

    @property
    def duration(self) -> Fraction:
        """How long, seconds."""

    def at(self, time: Fraction) -> Floats:
        """Displacement `[478, 3]` from neutral at a time in seconds, inter-ocular distances."""


class SpeechMotion:
    """Motion of a whole recording, kept as coefficients; between frames of 40 ms it is interpolated.

    Args:
        syncformer: Audio to motion.
        sound: The recording, taken piece by piece.
        device: Where the network is.
        style: How the mouth moves; None for the neutral style.
    """

    def __init__(
        self, syncformer: StyleSyncFormer, sound: Sound, device: torch.device, style: SpeakingStyle | None = None
    ) -> None:
        self._syncformer = syncformer
        delay = syncformer.latency_samples // CHUNK_SAMPLES
        state, wanted = syncformer.init_state(1), syncformer.padded_style(style)
        rows: list[torch.Tensor] = []

        def process(pcm: Floats) -> None:
            with torch.inference_mode():
                rows.append(syncformer.step(torch.from_numpy(pcm).to(device)[None], wanted, state)[0])

        chunker = Chunker()
        for piece in sound.pieces():
            for chunk in chunker.push(piece.T, sound.rate):
                process(chunk.pcm)
        for chunk in chunker.flush():
            process(chunk.pcm)
        self.frames = len(rows)
        """Frames of 40 ms that the recording lasts."""
        for _ in range(delay + _QUIET_FRAMES):
            process(np.zeros(CHUNK_SAMPLES, np.float32))
        self._coefficients = torch.cat(rows)[delay:]

    @property
    def duration(self) -> Fraction:
        """Of the recording, seconds."""
        return Fraction(self.frames, FPS)

    def at(self, time: Fraction) -> Floats:
        """Displacement `[478, 3]` from neutral at a time in seconds; after the recording the mouth rests."""
        place = float(time * FPS)
        before = min(int(place), len(self._coefficients) - 1)
        after = min(before + 1, len(self._coefficients) - 1)
        share = place - int(place)
        with torch.inference_mode():
            between = torch.lerp(self._coefficients[before], self._coefficients[after], share)
            return self._syncformer.displacement(between[None, None])[0, 0].cpu().numpy()
