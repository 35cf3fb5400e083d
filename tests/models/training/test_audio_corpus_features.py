"""The log-mel that the teacher is given."""

from __future__ import annotations

import numpy as np

from models.training.audio_corpus_features import relative_mel


def test_level_and_colour_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.uniform(0.05, 1, 50), 640)
    wave = 8000 * envelope * rng.normal(size=len(envelope)) / 3
    loud, quiet = (relative_mel(np.asarray(np.clip(wave * gain, -32768, 32767), np.int16)) for gain in (1.0, 0.25))
    assert loud.shape == (50, 160)
    assert np.abs(loud.mean(0)).max() < 1e-4
    assert np.corrcoef(loud.ravel(), quiet.ravel())[0, 1] > 0.98
