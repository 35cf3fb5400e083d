"""Two channels become one, and what is audible in either stays audible."""

from __future__ import annotations

import av
import numpy as np
import pytest

from stream.pcm.chunker import Chunker
from stream.pcm.downmix import Downmix, as_table

RATE = 48_000


def audio(seconds: float = 1.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t)) / 2).astype(np.float32)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


@pytest.mark.parametrize("balance", [1.0, 0.6])
def test_opposed_channels_do_not_cancel(balance: float) -> None:
    x = audio()
    mono = Downmix(RATE).push(np.stack([x, -balance * x], 1))
    assert rms(mono[4800:]) > 0.75 * rms(x[4800:])
    assert np.corrcoef(mono[4800:], x[4800:])[0, 1] > 0.99


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_chunk_of_opposed_channels_is_heard(dtype: type) -> None:
    x = audio()
    table = np.stack([x, -x], 1)
    pcm = table if dtype is np.float32 else (table * 32767).astype(np.int16)
    chunks = Chunker().push(pcm, RATE)
    assert rms(np.concatenate([chunk.pcm for chunk in chunks[2:]])) > 0.5 * rms(x)
    assert np.abs(np.concatenate([chunk.audio for chunk in chunks[2:]])).max() > 5000


def test_channels_that_agree_or_have_nothing_to_do_with_each_other_are_averaged() -> None:
    x = audio()
    noise = np.random.default_rng(0).standard_normal((RATE, 2)).astype(np.float32) * 0.1
    for table in (np.stack([x, x], 1), np.stack([x, 0 * x], 1), noise):
        np.testing.assert_allclose(Downmix(RATE).push(table), table.mean(axis=1), atol=1e-6)


def test_pieces_equal_the_whole_and_a_change_makes_no_click() -> None:
    x = audio(2.0)
    sign = np.where(np.arange(len(x)) < RATE, 1, -1)
    table = np.stack([x, sign * x], 1).astype(np.float32)
    whole = Downmix(RATE).push(table)
    rng, at, mixer, pieces = np.random.default_rng(1), 0, Downmix(RATE), []
    while at < len(table):
        count = int(rng.integers(1, 900))
        pieces.append(mixer.push(table[at : at + count]))
        at += count
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-7)
    assert rms(whole[int(1.3 * RATE) :]) > 0.9 * rms(x[int(1.3 * RATE) :])
    assert np.abs(np.diff(whole[int(1.02 * RATE) :])).max() < 0.02


@pytest.mark.parametrize("name", ["u8", "s16", "s16p", "s32", "flt", "fltp", "dblp"])
def test_every_sample_format_is_a_table(name: str) -> None:
    x = np.stack([audio(0.1), -0.5 * audio(0.1)])
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x), format="fltp", layout="stereo")
    frame.sample_rate = RATE
    (converted,) = av.AudioResampler(name, "stereo", RATE).resample(frame)
    np.testing.assert_allclose(as_table(converted), x.T, atol=1 / 100 if name == "u8" else 1e-4)
