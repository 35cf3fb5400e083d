"""What the motion network emits for recordings."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from models.mesh import Floats
from models.syncformer import StyleSyncFormer
from presenter.errors import MediaError
from presenter.video.motion import SpeechMotion
from stream.files.reader import Recording
from stream.media import FPS


def emitted_displacements(network: StyleSyncFormer, speech: Path) -> Floats:
    """Mesh displacement `[T, 478, 3]` for the recordings of a folder, in the neutral speaking style.

    Raises:
        MediaError: If it holds no recording.
    """
    files = sorted(path for path in speech.iterdir() if path.is_file())
    motions = [SpeechMotion(network, Recording(file), torch.device("cpu")) for file in files]
    moved = [motion.at(Fraction(frame, FPS)) for motion in motions for frame in range(motion.frames)]
    if not moved:
        raise MediaError(f"expected recordings in {speech}, found none")
    return np.stack(moved)
