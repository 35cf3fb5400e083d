"""Bytes become the right samples, however they are cut."""

import numpy as np
import pytest

from stream.errors import StreamError
from stream.pcm.formats import AudioFormat, PcmDecoder

FORMATS = [AudioFormat(24_000, channels, encoding) for channels in (1, 2) for encoding in ("pcm_s16le", "mulaw")]


@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("seed", range(8))
def test_any_cut_gives_the_same_samples(audio_format: AudioFormat, seed: int) -> None:
    draw = np.random.default_rng(seed)
    data = draw.bytes(4 * 997)
    whole = PcmDecoder(audio_format).push(data)
    decoder, pieces, at = PcmDecoder(audio_format), [], 0
    while at < len(data):
        size = int(draw.integers(0, 12))
        pieces.append(decoder.push(data[at : at + size]))
        at += size
    assert len(whole) == len(data) // audio_format.frame_bytes
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_sample_waits_for_its_other_half() -> None:
    decoder = PcmDecoder(AudioFormat(16_000))
    assert decoder.push(b"\x01").tolist() == []
    assert decoder.push(b"\x02\xff").tolist() == [0x0201]
    assert decoder.push(b"\xff").tolist() == [-1]


def test_stereo_frames_stay_whole() -> None:
    decoder = PcmDecoder(AudioFormat(16_000, channels=2))
    assert decoder.push(b"\x01\x00\x02").shape == (0, 2)
    assert decoder.push(b"\x00\x03\x00\x04\x00").tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("code", "sample"),
    # ITU-T G.711 table 2a/2b, decoder output values y times four: the ends, zero, one of each segment.
    [
        (0x00, -32124), (0x80, 32124), (0x0F, -16764), (0x8F, 16764), (0x10, -15996), (0x9F, 8316), (0xAF, 4092),
        (0xBF, 1980), (0xCF, 924), (0xDF, 396), (0xEF, 132), (0xFE, 8), (0xFF, 0), (0x7E, -8), (0x7F, 0),
    ],
)  # fmt: skip
def test_mulaw_values(code: int, sample: int) -> None:
    assert PcmDecoder(AudioFormat(8_000, encoding="mulaw")).push(bytes([code])).tolist() == [sample]


def test_mulaw_agrees_with_ffmpeg() -> None:
    import av

    decoder = av.CodecContext.create("pcm_mulaw", "r")
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    (frame,) = decoder.decode(av.Packet(bytes(range(256))))
    ours = PcmDecoder(AudioFormat(8_000, encoding="mulaw")).push(bytes(range(256)))
    np.testing.assert_array_equal(ours, frame.to_ndarray()[0])


def test_bytes_per_second() -> None:
    assert AudioFormat(24_000).bytes_per_second == 48_000
    assert AudioFormat(48_000, 2).bytes_per_second == 192_000
    assert AudioFormat(8_000, encoding="mulaw").bytes_per_second == 8_000


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((7_999,), r"expected 8000\.\.48000 Hz, got 7999"),
        ((96_000,), r"expected 8000\.\.48000 Hz, got 96000"),
        ((16_000, 0), "channels: expected 1 or 2, got 0"),
        ((16_000, 3), "channels: expected 1 or 2, got 3"),
        ((16_000, 1, "opus"), "encoding: expected pcm_s16le or mulaw or pcm_f32le, got 'opus'"),
    ],
)
def test_unusable_formats_are_refused_in_clear_text(values: tuple[int, int, str], text: str) -> None:
    with pytest.raises(StreamError, match=text):
        AudioFormat(*values)
