"""Whose rows a batch is made of."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")  # of the extra [train]

from models.training.distill_batches import Example, MixConfig, Sampler, give_largest  # noqa: E402


def example(group: str, frames: int) -> Example:
    pcm = np.zeros(frames * 640, np.int16)
    return Example(group, group, True, pcm, np.zeros(frames, np.int8), None, np.zeros((frames, 32), np.float32))


def test_largest_gets_its_share_and_the_rest_stays_in_proportion() -> None:
    assert give_largest(np.array([0.2, 0.6, 0.2]), 0.5) == pytest.approx([0.25, 0.5, 0.25])


def test_long_speakers_count_less_than_their_length_and_made_up_ones_half() -> None:
    examples = [example("a", 100), example("b", 1600), example("espeak", 100)]
    shares = Sampler(examples, MixConfig(), 0).filmed[2]
    assert shares[1] / shares[0] == pytest.approx(8)
    assert shares[2] / shares[0] == pytest.approx(0.5)
    assert Sampler(examples, MixConfig(largest=0.5), 0).filmed[2][1] == pytest.approx(0.5)
