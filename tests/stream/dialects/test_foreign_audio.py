"""What is in a stream of speech, in every dialect and each format it can declare: decoded, or refused by its name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import numpy as np
import pytest

from stream.dialects import DIALECTS, open_codec
from stream.errors import StreamError
from stream.pcm.formats import AudioFormat
from stream.pcm.speech_decoder import SpeechDecoder
from stream.wire import SpeechAudio, WireError
from tests.stream.pcm.voices import RATE, audio, encoded, int16, wav

PIECE = 3_000
Query = dict[str, str]


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def start(query: Query) -> list[str]:
    """The beginning of a native utterance, which declares its format there."""
    fields = {"sample_rate": RATE} | {key: int(value) if value.isdigit() else value for key, value in query.items()}
    return [json.dumps({"type": "start", **fields})]


WRAPPED: dict[str, Callable[[bytes], str | bytes]] = {
    "native": lambda data: data,
    "openai": lambda data: json.dumps({"type": "response.output_audio.delta", "item_id": "i", "delta": text(data)}),
    "elevenlabs": lambda data: json.dumps({"audio": text(data), "contextId": "c"}),
    "elevenlabs bytes": lambda data: data,
    "deepgram": lambda data: data,
    "cartesia": lambda data: json.dumps({"type": "chunk", "data": text(data), "context_id": "c", "done": False}),
    "liveavatar": lambda data: json.dumps({"type": "agent.speak", "event_id": "e", "audio": text(data)}),
    "simli": lambda data: data,
}
"""How each dialect sends audio."""

DECLARED: list[tuple[str, Query, AudioFormat]] = [
    ("native", {}, AudioFormat(RATE)),
    ("native", {"sample_rate": "44100", "channels": "2"}, AudioFormat(44_100, 2)),
    ("native", {"sample_rate": "8000", "format": "mulaw"}, AudioFormat(8_000, encoding="mulaw")),
    ("native", {"sample_rate": "48000", "format": "pcm_f32le"}, AudioFormat(48_000, encoding="pcm_f32le")),
    ("openai", {}, AudioFormat(RATE)),
    ("openai", {"encoding": "pcm16", "sample_rate": "16000", "channels": "2"}, AudioFormat(16_000, 2)),
    ("openai", {"encoding": "audio/pcmu"}, AudioFormat(8_000, encoding="mulaw")),
    ("openai", {"encoding": "g711_ulaw"}, AudioFormat(8_000, encoding="mulaw")),
    *(("elevenlabs", {"output_format": f"pcm_{rate}"}, AudioFormat(rate)) for rate in (8_000, 22_050, 44_100)),
    ("elevenlabs", {"output_format": "ulaw_8000"}, AudioFormat(8_000, encoding="mulaw")),
    ("elevenlabs bytes", {"output_format": "pcm_16000"}, AudioFormat(16_000)),
    ("deepgram", {}, AudioFormat(RATE)),
    ("deepgram", {"encoding": "linear16", "sample_rate": "48000"}, AudioFormat(48_000)),
    ("deepgram", {"encoding": "mulaw"}, AudioFormat(8_000, encoding="mulaw")),
    ("cartesia", {}, AudioFormat(RATE)),
    ("cartesia", {"encoding": "pcm_f32le", "sample_rate": "44100"}, AudioFormat(44_100, encoding="pcm_f32le")),
    ("cartesia", {"encoding": "pcm_mulaw"}, AudioFormat(8_000, encoding="mulaw")),
    ("liveavatar", {}, AudioFormat(RATE)),
    ("simli", {}, AudioFormat(16_000)),
]  # fmt: skip
IDS = ["-".join([name, *query.values()]) for name, query, _ in DECLARED]


def heard(dialect: str, query: Query, data: bytes) -> tuple[np.ndarray, int, list[str]]:
    """Send bytes piece by piece, as the server hears them: samples, their rate, and what was refused."""
    name = dialect.split()[0]
    codec = open_codec(name, {} if name == "native" else query)
    for message in start(query) if name == "native" else []:
        codec.decode(message)
    decoder: SpeechDecoder | None = None
    samples, refused = [np.zeros(0, np.int16)], []
    for at in range(0, len(data), PIECE):
        for event in codec.decode(WRAPPED[dialect](data[at : at + PIECE])):
            assert isinstance(event, SpeechAudio)
            decoder = decoder or SpeechDecoder(event.format)
            assert decoder.announced == event.format
            try:
                samples.append(decoder.push(event.data))
            except StreamError as error:
                refused.append(str(error))
    assert decoder is not None
    samples.append(decoder.flush())
    return np.concatenate([one for one in samples if len(one)] or samples[:1]), decoder.rate, refused


def declared(samples: np.ndarray, announced: AudioFormat) -> bytes:
    """Samples `[N]`, float, in the format that was declared."""
    frames = np.repeat(samples, announced.channels)
    if announced.encoding == "pcm_f32le":
        return frames.astype("<f4").tobytes()
    if announced.encoding == "mulaw":
        return encoded("mulaw", "pcm_mulaw", announced.rate)
    return int16(frames).astype("<i2").tobytes()


def test_every_dialect_is_here() -> None:
    assert {name.split()[0] for name, _, _ in DECLARED} == set(DIALECTS)


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
def test_what_was_declared_is_heard(dialect: str, query: Query, announced: AudioFormat) -> None:
    samples = audio(1.0, announced.rate)
    found, rate, refused = heard(dialect, query, declared(samples, announced))
    assert not refused
    assert rate == announced.rate
    mono = found if found.ndim == 1 else found[:, 1]
    off = np.abs(mono.astype(int) - int16(samples))
    assert off.max() <= (600 if announced.encoding == "mulaw" else 1)


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_wav_is_heard_as_its_header_says(
    dialect: str, query: Query, announced: AudioFormat, rate: int, channels: int
) -> None:
    samples = int16(audio(0.3, rate))
    frames = samples if channels == 1 else np.stack([samples] * channels, axis=1)
    found, heard_rate, refused = heard(dialect, query, wav(frames, rate) + wav(frames, rate))
    assert not refused
    assert heard_rate == rate
    assert np.array_equal(found, np.concatenate([frames, frames]))


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_mulaw"])
def test_a_wav_of_another_coding_is_heard(dialect: str, query: Query, announced: AudioFormat, codec: str) -> None:
    found, rate, refused = heard(dialect, query, encoded("wav", codec, 8_000))
    assert not refused
    assert rate == 8_000
    assert np.abs(found.astype(int) - int16(audio(1.0, 8_000))).max() < 600


FILES = {
    "an MP3 ": ("mp3", "libmp3lame", RATE),
    "an AAC stream": ("adts", "aac", RATE),
    "an Ogg file": ("ogg", "libopus", 48_000),
    "a FLAC file": ("flac", "flac", RATE),
    "a WebM or Matroska file": ("webm", "libopus", 48_000),
    "an MP4 file": ("mp4", "aac", RATE),
    "an AIFF file": ("aiff", "pcm_s16be", RATE),
    "format 1 of 24 bits": ("wav", "pcm_s24le", RATE),
    "format 6 of 8 bits": ("wav", "pcm_alaw", 8_000),
}


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
@pytest.mark.parametrize("name", FILES)
def test_other_files_are_refused_by_name(dialect: str, query: Query, announced: AudioFormat, name: str) -> None:
    found, _, refused = heard(dialect, query, encoded(*FILES[name]))
    assert refused
    assert all(name in message for message in refused)
    assert not found.any()


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
def test_float_and_16_bits_are_not_taken_for_each_other(dialect: str, query: Query, announced: AudioFormat) -> None:
    samples = audio(0.5)
    if announced.encoding == "pcm_f32le":
        for wrong in (int16(samples), (32_767 * samples).astype("<f4")):
            found, _, refused = heard(dialect, query, wrong.tobytes())
            assert all("expected pcm_f32le" in message and "not float" in message for message in refused)
            assert refused
            assert not found.any()
    elif announced.encoding == "pcm_s16le":
        found, _, refused = heard(dialect, query, samples.astype("<f4").tobytes())
        assert all("32-bit float" in message for message in refused)
        assert refused
        assert not found.any()


@pytest.mark.parametrize(("dialect", "query", "announced"), DECLARED, ids=IDS)
@pytest.mark.parametrize("word", [b"STOP", b"flush\n", b"PLAY_IMMEDIATE"])
def test_words_are_no_audio(dialect: str, query: Query, announced: AudioFormat, word: bytes) -> None:
    if dialect == "simli" and word == b"PLAY_IMMEDIATE":
        pytest.skip("one of its own")
    _, _, refused = heard(dialect, query, word)
    assert refused == [f"binary message: expected audio, got the text {word.decode()!r}"]


@pytest.mark.parametrize(
    ("dialect", "query"),
    [
        ("elevenlabs", {"output_format": "mp3_44100_128"}),
        ("elevenlabs", {"output_format": "opus_48000_64"}),
        ("elevenlabs", {"output_format": "alaw_8000"}),
        ("openai", {"encoding": "audio/pcma"}),
        ("deepgram", {"encoding": "mp3"}),
        ("deepgram", {"encoding": "linear16", "sample_rate": "96000"}),
        ("cartesia", {"encoding": "pcm_alaw"}),
        ("liveavatar", {"sample_rate": "16000"}),
        ("simli", {"encoding": "mulaw"}),
    ],
)
def test_what_can_not_be_decoded_is_refused_when_it_is_declared(dialect: str, query: Query) -> None:
    with pytest.raises(WireError) as caught:
        open_codec(dialect, query)
    assert caught.value.code in ("bad_query", "bad_format")
    assert caught.value.expected
