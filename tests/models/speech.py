"""What a mouth does that speaks."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer
from models.weights import syncformer_path


@cache
def spoken() -> list[np.ndarray]:
    """Mesh displacements `[478, 3]` of a buzz in syllables: a mouth that opens and closes."""
    network = StyleSyncFormer.load(syncformer_path())
    t = np.arange(50 * CHUNK_SAMPLES) / 16000
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)
    pcm = torch.from_numpy(0.1 * buzz + 0.03 * np.random.default_rng(0).standard_normal(len(t))).float()
    with torch.inference_mode():
        moved = network.displacement(network(pcm[None], network.null_style))[0].numpy()
    return list(moved[6::4])
