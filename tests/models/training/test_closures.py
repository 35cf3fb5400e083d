"""Labels of shut lips, and that training hears what a stream hears."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("scipy")  # of the extra [train]
pytest.importorskip("soundfile")
pytest.importorskip("tqdm")

from models.lip_press import PRESS_FRAMES  # noqa: E402
from models.syncformer import CHUNK_SAMPLES  # noqa: E402
from models.training.closure_corpus import (  # noqa: E402
    closures_of_emodb,
    closures_of_espeak,
    closures_of_segments,
    shut_target,
)
from models.training.closures import (  # noqa: E402
    _LONGEST,
    ClosureConfig,
    Examples,
    Speech,
    balanced,
    collect,
    train_press,
)
from tests.models.test_streaming import random_network  # noqa: E402


def test_lips_are_shut_in_a_closure_and_close_towards_it() -> None:
    target = shut_target([(0.20, 0.28)], 12)
    assert (target[[5, 6]] == 1).all()
    assert 0 <= target[4] < 1
    assert 0 <= target[7] < 1
    assert not target[:4].any()
    assert not target[8:].any()
    assert shut_target([(0.2, 0.201)], 12).max() == 1  # shorter than a frame, and between two centres


def test_closures_end_before_the_burst() -> None:
    closures, spoken = closures_of_segments([("SIL", 0, 0.1), ("B", 0.1, 0.2), ("AA", 0.2, 0.4), ("M", 0.4, 0.5)])
    assert spoken == (0.1, 0.5)
    assert closures == [pytest.approx((0.1, 0.18)), (0.4, 0.5)]


def test_espeaks_voiceless_stops_begin_before_their_phone() -> None:
    closures, spoken = closures_of_espeak([("p", 0.3), ("ˈa", 0.34), ("m", 0.5), ("t", 0.6), ("", 0.7)], 0.7)
    assert closures[0] == pytest.approx((0.25, 0.31))
    assert closures[1] == (0.5, 0.6)
    assert spoken == (0.3, 0.7)


def test_lines_of_emodb_tell_closures_from_bursts() -> None:
    lines = ["signal x", "#", "    0.100000   -1 a\t+lar\t3", "    0.150000   -1 \t-lar", "    0.200000   -1 p\t+tie",
             "    0.280000   -1 !p", "    0.300000   -1 a", "    0.400000   -1 m", "    0.480000   -1 s"]  # fmt: skip
    assert closures_of_emodb(lines) == ([(0.2, 0.28), (0.4, 0.48)], (0.1, 0.48))


@torch.inference_mode()
def test_examples_are_what_a_stream_hears() -> None:
    network, frames = random_network(), 12
    delay = network.config.delay
    pcm = 0.1 * np.random.default_rng(0).standard_normal(frames * CHUNK_SAMPLES).astype(np.float32)
    examples = Examples(network)
    ones = np.ones(frames, np.float32)
    for corpus in ("espeak", "film"):  # the second one must not hear the end of the first
        examples.add(Speech(corpus, pcm, ones, ones))
    examples.join()
    windows = examples.mel[examples.newest[:, None] + torch.arange(1 - PRESS_FRAMES, 1)].flatten(1)
    got = torch.sigmoid(network.press.logits(windows.float(), examples.audio.float()))
    state = network.init_state(1, frames + delay)
    mel = network.mel.step(torch.from_numpy(np.pad(pcm, (0, delay * CHUNK_SAMPLES)))[None], state.mel)
    want = network.shut(mel, network.process_audio(mel, state), state)[0, delay:]
    torch.testing.assert_close(got, want.repeat(2), atol=5e-3, rtol=0)  # kept in half precision


def test_corpora_count_by_their_share() -> None:
    weight = balanced(np.ones(30, np.float32), np.array(["espeak"] * 20 + ["film"] * 10))
    assert weight[:20].sum() > weight[20:].sum() > 0


def test_training_learns_to_press() -> None:
    network, rng = random_network(), np.random.default_rng(1)
    examples = Examples(network)
    for _ in range(20):
        loud = np.repeat(rng.random(40) < 0.5, 4)
        pcm = (rng.standard_normal((160, CHUNK_SAMPLES)) * np.where(loud, 0.2, 0.001)[:, None]).astype(np.float32)
        examples.add(Speech("film", pcm.reshape(-1), loud.astype(np.float32), np.ones(160, np.float32)))
    examples.join()
    losses = train_press(network.press, examples, ClosureConfig(steps=60, batch=64))
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_the_longest_clip_is_heard_slowed_down_too() -> None:
    """Noise is as long as the slowest copy."""
    ones = np.ones(_LONGEST, np.float32)
    sound = 0.1 * np.random.default_rng(0).standard_normal(_LONGEST * CHUNK_SAMPLES).astype(np.float32)
    clip = Speech("espeak", sound, ones, ones)
    examples = collect(random_network(), [clip], ClosureConfig(copies=8))
    assert len(examples.target) == len(examples.audio) > 0.8 * 9 * _LONGEST
