"""Streams as voice services send them, made by real encoders, cut anywhere: decoded, or refused by what they are."""

from __future__ import annotations

import numpy as np
import pytest

from stream.errors import StreamError
from stream.pcm.formats import AudioFormat
from stream.pcm.speech_decoder import SpeechDecoder
from tests.stream.pcm.voices import RATE, audio, encoded, int16, wav

PCM = AudioFormat(RATE)


def decode(data: bytes, cut: int, announced: AudioFormat = PCM) -> tuple[np.ndarray, SpeechDecoder]:
    decoder = SpeechDecoder(announced)
    pieces = [decoder.push(data[at : at + cut]) for at in range(0, len(data), cut)]
    return np.concatenate([*pieces, decoder.flush()]), decoder


CUTS = [1, 2, 3, 7, 256, 640, 4801, 1 << 20]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    "samples",
    [
        int16(audio()),
        int16(audio(level=0.999)),
        np.zeros(RATE, np.int16),
        np.full(RATE, 15_000, np.int16),
        np.full(RATE, -1, np.int16),
        np.random.default_rng(1).integers(-32_768, 32_768, RATE).astype(np.int16),
        np.random.default_rng(2).integers(-3, 3, RATE).astype(np.int16),
        np.concatenate([np.zeros(5000, np.int16), int16(audio()[4000:])]),
        np.where(np.arange(RATE) % 2, 0, int16(audio())),
        np.where(np.arange(RATE) % 120 < 60, 16_000, -17_000).astype(np.int16),
        int16(audio())[:20],
    ],
    ids=["voice", "loud", "silence", "dc", "low", "noise", "dither", "late", "one-channel", "square", "short"],
)
def test_pcm_passes_unchanged(samples: np.ndarray, cut: int) -> None:
    data = samples.astype("<i2").tobytes()
    if cut < 7:
        data = data[:6000]
    decoded, decoder = decode(data, cut)
    assert np.array_equal(decoded, samples[: len(data) // 2])
    assert decoder.rate == RATE


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_wav_is_decoded_by_its_header(cut: int, rate: int) -> None:
    samples = int16(audio(0.1, rate))
    decoded, decoder = decode(wav(samples, rate), cut)
    assert np.array_equal(decoded, samples)
    assert decoder.rate == rate


@pytest.mark.parametrize("cut", [5, 4801])
def test_a_wav_for_each_sentence_is_one_stream(cut: int) -> None:
    samples = int16(audio(0.1))
    decoder = SpeechDecoder(PCM)
    decoded = []
    for _ in range(3):
        data = wav(samples, RATE) + b"LIST\x04\0\0\0more"
        decoded += [decoder.push(data[at : at + cut]) for at in range(0, len(data), cut)]
    assert np.array_equal(np.concatenate([*decoded, decoder.flush()]), np.tile(samples, 3))


def test_several_wavs_in_a_message_are_decoded_and_very_many_refused() -> None:
    samples = int16(audio(0.1))
    assert np.array_equal(decode(wav(samples, RATE) * 3, 1 << 20)[0], np.tile(samples, 3))
    with pytest.raises(StreamError, match="at most 16 in a message"):
        SpeechDecoder(PCM).push(wav(samples[:2], RATE) * 20_000)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF])
def test_a_wav_of_unknown_length_goes_on(size: int) -> None:
    samples = int16(audio(0.1))
    data = bytearray(wav(samples, RATE))
    data[40:44] = size.to_bytes(4, "little")
    assert np.array_equal(decode(bytes(data), 333)[0], samples)


def test_a_stereo_float_and_a_mulaw_wav() -> None:
    decoded, decoder = decode(wav(np.stack([int16(audio())] * 2, axis=1), 48_000), 999)
    assert (decoded.shape, decoder.rate) == ((RATE, 2), 48_000)
    decoded, _ = decode(encoded("wav", "pcm_f32le"), 999)
    assert np.abs(decoded - int16(audio()).astype(int)).max() <= 1
    decoded, _ = decode(encoded("wav", "pcm_mulaw", 8_000), 999)
    assert np.abs(decoded - int16(audio(1.0, 8_000)).astype(int)).max() < 600


@pytest.mark.parametrize(
    ("container", "codec", "text"),
    [
        ("mp3", "libmp3lame", "an MP3 "),
        ("adts", "aac", "an AAC stream"),
        ("ogg", "libopus", "an Ogg file"),
        ("flac", "flac", "a FLAC file"),
        ("webm", "libopus", "a WebM or Matroska file"),
        ("mp4", "aac", "an MP4 file"),
        ("aiff", "pcm_s16be", "an AIFF file"),
        ("wav", "pcm_s24le", "format 1 of 24 bits"),
        ("wav", "pcm_alaw", "format 6 of 8 bits"),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 640, 1 << 20])
def test_other_formats_are_refused_by_name_and_nothing_of_them_is_heard(
    container: str, codec: str, text: str, cut: int
) -> None:
    data = encoded(container, codec)
    refuse(data, cut, text)


def refuse(data: bytes, cut: int, text: str) -> None:
    decoder = SpeechDecoder(PCM)
    refused: list[str] = []
    for at in range(0, len(data), cut):
        try:
            assert not decoder.push(data[at : at + cut]).any()
        except StreamError as error:
            refused.append(str(error))
    assert refused
    assert all(text in message for message in refused)
    assert not len(decoder.flush())


@pytest.mark.parametrize("begin", [1000, 2001])
@pytest.mark.parametrize(("container", "codec"), [("mp3", "libmp3lame"), ("adts", "aac")])
def test_a_stream_that_begins_within_a_frame_is_refused(container: str, codec: str, begin: int) -> None:
    data = encoded(container, codec)
    with pytest.raises(StreamError, match="MP3|AAC"):
        SpeechDecoder(PCM).push(data[begin : begin + 8000])


@pytest.mark.parametrize("cut", [1, 3, 640, 4801, 1 << 20])
@pytest.mark.parametrize("silence", [0, 40, 5001])
def test_float_samples_are_refused(cut: int, silence: int) -> None:
    samples = np.concatenate([np.zeros(silence), audio(0.3)])
    refuse(samples.astype("<f4").tobytes(), cut, "32-bit float")


def test_float_samples_are_decoded_where_they_are_announced() -> None:
    samples = np.concatenate([audio(0.2), [2, -2, np.nan, np.inf]])
    decoded, _ = decode(samples.astype("<f4").tobytes(), 1001, AudioFormat(RATE, encoding="pcm_f32le"))
    assert np.array_equal(decoded, np.concatenate([int16(audio(0.2)), [32_767, -32_767, 0, 32_767]]))


@pytest.mark.parametrize("word", [b"DONE", b"stop\n", b"Interrupt"])
def test_a_word_among_audio_is_refused_and_the_audio_goes_on(word: bytes) -> None:
    decoder = SpeechDecoder(PCM)
    data = int16(audio()).tobytes()
    decoder.push(data[:1001])
    with pytest.raises(StreamError, match=f"expected audio, got the text '{word.decode().strip()}"):
        decoder.push(word)
    assert len(decoder.push(data[1001:3000])) == 1000


@pytest.mark.parametrize("chunk", [b"", bytes(4), bytes(70_000)])
def test_a_malformed_wav_is_refused(chunk: bytes) -> None:
    header = b"RIFF\0\0\0\0WAVE" + (b"junk" + len(chunk).to_bytes(4, "little") + chunk if chunk else b"")
    with pytest.raises(StreamError, match="WAV: expected"):
        SpeechDecoder(PCM).push(header + b"data\4\0\0\0abcd")
    with pytest.raises(StreamError, match="a RIFF file that is no WAV"):
        SpeechDecoder(PCM).push(b"RIFF\0\0\0\0AVI LIST")
