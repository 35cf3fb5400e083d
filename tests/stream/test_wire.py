"""What every dialect shares: opening, limits, and that nothing sent can break it."""

import base64
import json
import random

import pytest

from stream.dialects import DIALECTS, open_codec
from stream.errors import StreamError
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    Codec,
    Credit,
    Interrupted,
    MarkReached,
    Playback,
    Problem,
    Ready,
    SpeakEnded,
    SpeakStarted,
    SpeechAudio,
    StateChanged,
    Stats,
    WireError,
)

PCM = b"\x01\x02\x03\x04"
B64 = base64.b64encode(PCM).decode()
START = {"type": "start", "sample_rate": 24_000, "utterance_id": "a"}

# For each dialect: real messages to mutate, and at the end one that must yield speech.
SPOKEN: dict[str, list[object]] = {
    "native": [
        START,
        {"type": "words", "words": [{"text": "hi", "start_ms": 0, "end_ms": 90}]},
        {"type": "mark", "name": "m"},
        {"type": "listening", "on": True},
        {"type": "interrupt", "utterance_id": "a"},
        {"type": "end"},
        START,
        PCM,
    ],
    "openai": [
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 10},
        {"type": "response.output_audio.done", "response_id": "r", "item_id": "i"},
        {"type": "response.done", "response": {"id": "r", "status": "completed"}},
        {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "content_index": 0, "delta": B64},
    ],
    "elevenlabs": [
        {"context_id": "c", "close_context": True},
        {"contextId": "c", "isFinal": True},
        {
            "contextId": "c",
            "audio": B64,
            "isFinal": None,
            "alignment": {"chars": ["a", " "], "charStartTimesMs": [0, 5], "charDurationsMs": [5, 5]},
        },
    ],
    "deepgram": [{"type": "Metadata"}, {"type": "Flushed", "sequence_id": 0}, {"type": "Clear"}, PCM],
    "cartesia": [
        {"type": "timestamps", "context_id": "c", "word_timestamps": {"words": ["a"], "start": [0], "end": [0.5]}},
        {"context_id": "c", "cancel": True},
        {"type": "done", "context_id": "c", "done": True},
        {"type": "error", "context_id": None, "error": "no"},
        {"type": "chunk", "data": B64, "context_id": "c", "done": False},
    ],
    "liveavatar": [
        {"type": "agent.interrupt"},
        {"type": "agent.start_listening", "event_id": "l"},
        {"type": "agent.speak_end", "event_id": "e"},
        {"type": "agent.speak", "event_id": "e", "audio": B64},
    ],
    "simli": ["SKIP", "DONE", b"DONE", b"PLAY_IMMEDIATE" + PCM, PCM],
}
ODD_VALUES = [
    None,
    True,
    -1,
    0.5,
    1e999,
    float("nan"),
    10**400,
    "",
    "=",
    "\ud800",
    "x" * 999,
    [],
    [None],
    {},
    [[]],
    {"a": 1},
]
EVENTS = [
    Ready("s", 48_000, 8_000),
    *(StateChanged(state) for state in ("idle", "listening", "speaking", "idle")),
    SpeakStarted("a"),
    MarkReached("m", 20),
    Playback("a", 40),
    SpeakEnded("a", 60),
    Interrupted(None, 0),
    Interrupted("a", 60),
    Credit(4_000, 2_000),
    Stats({"fps": 25.0, "codec": "VP8", "rtt_ms": None}),
    Problem("bad_json", "not JSON", "a JSON object"),
    Problem("bad_json", "\ud800"),
]


def wire(message: object) -> str | bytes:
    return message if isinstance(message, str | bytes) else json.dumps(message)


def slots(value: object) -> list[tuple[object, object]]:
    """Every place in a JSON value: the object or array, and the key or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [slot for key, inner in items for slot in [(value, key), *slots(inner)]]


def mutate(message: object, draw: random.Random) -> str | bytes:
    """Break a message: drop or swap something in it, or cut and scramble its text."""
    if isinstance(message, dict) and draw.random() < 0.7:
        broken = json.loads(json.dumps(message))
        container, key = draw.choice(slots(broken))
        if draw.random() < 0.2:
            del container[key]
        else:
            container[key] = draw.choice(ODD_VALUES)
        return json.dumps(broken)
    text = wire(message)
    raw = bytearray(text if isinstance(text, bytes) else text.encode())
    for _ in range(draw.randrange(4)):
        raw[draw.randrange(len(raw))] = draw.randrange(256)
    raw = raw[: draw.randrange(len(raw) + 1)]
    return bytes(raw) if draw.random() < 0.5 else raw.decode("utf-8", "surrogateescape")


def heard(codec: Codec, dialect: str) -> bool:
    """Whether the codec still understands speech."""
    events = [event for message in SPOKEN[dialect] for event in codec.decode(wire(message))]
    return any(isinstance(event, SpeechAudio) for event in events)


def test_every_dialect_is_tried() -> None:
    assert SPOKEN.keys() == DIALECTS.keys()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seed", range(10))
def test_anything_gives_events_or_a_clear_error_and_the_codec_goes_on(dialect: str, seed: int) -> None:
    draw, codec = random.Random(seed), open_codec(dialect, {})
    errors: list[WireError] = []
    for _ in range(400):
        try:
            events = codec.decode(mutate(draw.choice(SPOKEN[dialect]), draw))
        except WireError as error:
            errors.append(error)
        else:
            assert all(type(event).__module__ == "stream.wire" for event in events)
    assert len(errors) > 20
    for error in errors:
        assert error.code
        assert error.expected
        assert str(error).endswith(f"; expected {error.expected}")
        assert str(error).isascii(), "an error must be sendable whatever was received"
        assert len(str(error)) < 400
    assert heard(codec, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "9" * 5_000, "", "null", "[]", "\x00", "NaN"])
def test_hostile_text_is_refused(dialect: str, text: str) -> None:
    codec = open_codec(dialect, {})
    with pytest.raises(WireError):
        codec.decode(text)
    assert heard(codec, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_messages_are_as_long_as_allowed_and_no_longer(dialect: str) -> None:
    codec = open_codec(dialect, {})
    longest = b"PLAY_IMMEDIATE" if dialect == "simli" else b""
    if dialect == "native":
        codec.decode(wire(START))
    if dialect in ("native", "deepgram", "simli"):
        fits = longest.ljust(codec.MAX_MESSAGE_BYTES, b"\0")
        assert isinstance(codec.decode(fits)[0], SpeechAudio)
    for message in (longest.ljust(codec.MAX_MESSAGE_BYTES + 1, b"\0"), "é" * (codec.MAX_MESSAGE_BYTES // 2 + 1)):
        with pytest.raises(WireError, match=r"expected at most \d+ bytes") as caught:
            codec.decode(message)
        assert caught.value.code == "too_large"


def test_limits() -> None:
    limits = {dialect: open_codec(dialect, {}).MAX_MESSAGE_BYTES for dialect in DIALECTS}
    assert limits.pop("simli") == 131_072
    assert set(limits.values()) == {MAX_MESSAGE_BYTES} == {1_048_576}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_event_can_be_told(dialect: str) -> None:
    codec = open_codec(dialect, {})
    for event in EVENTS:
        for message in codec.encode(event):
            assert isinstance(message, str)
            message.encode()
            assert dialect == "simli" or isinstance(json.loads(message)["type"], str)


@pytest.mark.parametrize(
    ("dialect", "query", "audio_format"),
    [
        ("openai", {}, AudioFormat(24_000)),
        ("openai", {"encoding": "g711_ulaw"}, AudioFormat(8_000, encoding="mulaw")),
        ("openai", {"encoding": "audio/pcm", "sample_rate": "16000"}, AudioFormat(16_000)),
        ("elevenlabs", {}, AudioFormat(24_000)),
        ("elevenlabs", {"output_format": "pcm_22050"}, AudioFormat(22_050)),
        ("elevenlabs", {"output_format": "ulaw_8000"}, AudioFormat(8_000, encoding="mulaw")),
        ("deepgram", {"encoding": "linear16", "sample_rate": "48000"}, AudioFormat(48_000)),
        ("deepgram", {"encoding": "mulaw", "model": "aura-2"}, AudioFormat(8_000, encoding="mulaw")),
        ("cartesia", {"encoding": "pcm_s16le", "sample_rate": "44100", "channels": "2"}, AudioFormat(44_100, 2)),
        ("cartesia", {"encoding": "pcm_mulaw"}, AudioFormat(8_000, encoding="mulaw")),
        ("liveavatar", {"sample_rate": "24000"}, AudioFormat(24_000)),
        ("simli", {}, AudioFormat(16_000)),
    ],
)
def test_the_address_says_the_format(dialect: str, query: dict[str, str], audio_format: AudioFormat) -> None:
    events = open_codec(dialect, query).decode(wire(SPOKEN[dialect][-1]))
    assert isinstance(events[0], SpeechAudio)
    assert events[0].format == audio_format


@pytest.mark.parametrize(
    ("dialect", "query", "text"),
    [
        ("alexa", {}, "expected native or openai or elevenlabs or deepgram or cartesia or liveavatar or simli"),
        ("openai", {"encoding": "opus"}, r'encoding="opus"; expected audio/pcm or audio/pcmu or pcm16 or g711_ulaw'),
        ("elevenlabs", {"output_format": "mp3_44100_128"}, "expected pcm_24000 or pcm_16000 or pcm_22050 or pcm_44100"),
        ("deepgram", {"sample_rate": "fast"}, r'sample_rate="fast"; expected a whole number'),
        ("deepgram", {"sample_rate": "7000"}, r"7000 Hz, .*; expected 8000\.\.48000 Hz, 1 or 2 channels"),
        ("cartesia", {"channels": "3"}, r"3 channels, .*; expected 8000\.\.48000 Hz, 1 or 2 channels"),
        ("cartesia", {"encoding": "pcm_alaw"}, "expected pcm_s16le or pcm_f32le or pcm_mulaw"),
        ("liveavatar", {"sample_rate": "16000"}, "expected 24000 Hz, 1 channel"),
        ("simli", {"sample_rate": "24000"}, "expected 16000 Hz, 1 channel"),
    ],
)
def test_an_address_that_cannot_be_served_lists_what_can(dialect: str, query: dict[str, str], text: str) -> None:
    with pytest.raises(WireError, match=text):
        open_codec(dialect, query)


def test_an_error_is_one_of_the_stream() -> None:
    error = WireError("bad_json", "not JSON", "a JSON object")
    assert isinstance(error, StreamError)
    assert str(error) == Problem(error.code, error.message, error.expected).text == "not JSON; expected a JSON object"
    assert str(WireError("x", "plain")) == Problem("x", "plain").text == "plain"
