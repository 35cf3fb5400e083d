"""Chunks are exact: no sample lost, none invented, both branches at the same place."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stream.errors import StreamError
from stream.media import AudioChunk
from stream.pcm.chunker import Chunker

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def noise(samples: int, channels: int, dtype: type, seed: int = 0) -> np.ndarray:
    """Noise at -20 dBFS, [N] or [N, C]."""
    values = np.random.default_rng(seed).standard_normal((samples, channels)) * 0.1
    table = (values * 32767).astype(np.int16) if dtype == np.int16 else values.astype(np.float32)
    return table[:, 0] if channels == 1 else table


def joined(chunks: list[AudioChunk]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([c.pcm for c in chunks]), np.concatenate([c.audio for c in chunks])


def in_packets(x: np.ndarray, rate: int, sizes: list[int], **options: int) -> list[AudioChunk]:
    chunker, chunks, at = Chunker(**options), [], 0
    for k in range(len(x)):
        if at >= len(x):
            break
        size = sizes[k % len(sizes)]
        chunks += chunker.push(x[at : at + size], rate)
        at += size
    return chunks + chunker.flush()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_uneven_packets_equal_the_whole(rate: int, channels: int, dtype: type) -> None:
    x = noise(rate + 137, channels, dtype)
    whole = in_packets(x, rate, [len(x)])
    uneven = in_packets(x, rate, [1, 7, 160, 441, 1023, 960, 3])
    assert len(whole) == -(-len(x) * 25 // rate)
    for a, b in zip(joined(whole), joined(uneven), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(40))
def test_any_split_gives_the_same_chunks_and_the_exact_count(seed: int) -> None:
    draw = np.random.default_rng(seed)
    rate, samples = int(draw.choice(RATES)), int(draw.integers(1, 6000))
    sizes = [int(n) for n in draw.integers(1, 2000, size=draw.integers(1, 9))]
    lead_in_ms = int(draw.integers(0, 6))
    x = noise(samples, 1, np.int16, seed)
    whole = in_packets(x, rate, [samples], lead_in_ms=lead_in_ms)
    parts = in_packets(x, rate, sizes, lead_in_ms=lead_in_ms)
    total = samples + rate * lead_in_ms // 1000
    assert len(whole) == len(parts) == -(-total * 25 // rate)
    assert [c.pts for c in parts] == [640 * k for k in range(len(parts))]
    for a, b in zip(joined(whole), joined(parts), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("lead_in_ms", [0, 2])
def test_a_click_is_at_the_same_place_in_both_branches(rate: int, lead_in_ms: int) -> None:
    at = rate // 2 + 11
    x = np.zeros(rate, np.float32)
    x[at] = 0.9
    pcm, audio = joined(in_packets(x, rate, [rate // 50], lead_in_ms=lead_in_ms))
    expected = at * 16_000 / rate + (rate * lead_in_ms // 1000) * 16_000 / rate
    heard = centre(pcm)
    played = centre(audio.astype(np.float64)) / 3
    assert abs(heard - expected) < 0.5
    assert abs(played - expected) < 0.5
    assert abs(heard - played) < 0.5  # samples at 16 kHz


def centre(x: np.ndarray) -> float:
    """Centre of energy, in samples."""
    power = np.square(x, dtype=np.float64)
    return float((np.arange(len(x)) * power).sum() / power.sum())


def test_a_voice_at_48_khz_mono_passes_through_bit_for_bit() -> None:
    x = noise(1920 * 5, 1, np.int16)
    _, audio = joined(in_packets(x, 48_000, [313]))
    np.testing.assert_array_equal(audio, x)


def test_what_the_model_hears_at_16_khz_passes_through_bit_for_bit() -> None:
    x = noise(640 * 5, 1, np.int16)
    pcm, _ = joined(in_packets(x, 16_000, [313]))
    np.testing.assert_array_equal(pcm, x.astype(np.float32) / 32768)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_equal_stereo_channels_keep_their_level(dtype: type) -> None:
    mono = noise(1920 * 5, 1, dtype)
    _, audio = joined(in_packets(np.stack([mono, mono], axis=1), 48_000, [960]))
    expected = mono if dtype == np.int16 else np.clip(np.round(mono * 32768), -32768, 32767)
    assert np.abs(audio.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize(("rate", "packet_ms"), [(48_000, 20), (44_100, 20), (16_000, 40), (8_000, 20)])
def test_the_lead_in_saves_the_wait_for_one_more_packet(rate: int, packet_ms: int) -> None:
    def chunks_after(packets: int, lead_in_ms: int) -> int:
        chunker = Chunker(lead_in_ms=lead_in_ms)
        packet = np.zeros(rate * packet_ms // 1000, np.int16)
        return sum(len(chunker.push(packet, rate)) for _ in range(packets))

    packets = 400 // packet_ms
    assert chunks_after(packets, lead_in_ms=2) == 10
    assert chunks_after(packets, lead_in_ms=0) == 9


def test_the_timeline_continues_after_a_flush_and_the_format_may_change() -> None:
    chunker = Chunker(pts=6400)
    first = chunker.push(noise(1000, 1, np.int16), 16_000) + chunker.flush()
    second = chunker.push(noise(1000, 2, np.float32), 48_000) + chunker.flush()
    assert [c.pts for c in first + second] == [6400, 7040, 7680]
    assert not first[-1].pcm[360:].any(), "padding must be silent"
    assert chunker.pts == 8320


def test_frames_of_libav_in_other_formats_and_layouts() -> None:
    chunker = Chunker()
    x = np.zeros((6, 1024), np.float32)
    frame = av.AudioFrame.from_ndarray(x, format="fltp", layout="5.1")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 77, Fraction(1, 90_000)
    chunks = chunker.push_frame(frame) + chunker.push_frame(frame) + chunker.flush()
    assert len(chunks) == 2


def test_nothing_in_nothing_out() -> None:
    assert Chunker().flush() == []
    assert Chunker().push(np.zeros(0, np.int16), 48_000) == []


@pytest.mark.parametrize(
    ("pcm", "rate", "text"),
    [
        (np.zeros(10, np.float64), 16_000, "expected int16 or float32, got float64"),
        (np.zeros((10, 3), np.int16), 16_000, r"got \[10, 3\]"),
        (np.zeros((2, 5, 1), np.int16), 16_000, r"got \[2, 5, 1\]"),
        (np.zeros(10, np.int16), 4_000, "expected 8000..192000 Hz, got 4000 Hz"),
    ],
)
def test_unusable_packets_are_refused_in_clear_text(pcm: np.ndarray, rate: int, text: str) -> None:
    with pytest.raises(StreamError, match=text):
        Chunker().push(pcm, rate)


def test_a_change_of_format_within_an_utterance_is_refused() -> None:
    chunker = Chunker()
    chunker.push(np.zeros(10, np.int16), 16_000)
    with pytest.raises(StreamError, match="expected 16000 Hz mono as before, got 48000 Hz stereo"):
        chunker.push(np.zeros((10, 2), np.int16), 48_000)
