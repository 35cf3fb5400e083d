"""Each dialect, message by message: what it means, and how what it can't mean is refused."""

import base64
import json

import pytest

from stream.dialects import open_codec
from stream.pcm.formats import AudioFormat
from stream.wire import (
    Credit,
    EventIn,
    EventOut,
    Interrupt,
    Interrupted,
    KeepAlive,
    Listening,
    Mark,
    MarkReached,
    Playback,
    Problem,
    Ready,
    SpeakEnded,
    SpeakStarted,
    SpeechAudio,
    SpeechEnd,
    SpeechStart,
    StateChanged,
    Stats,
    WireError,
    Word,
    Words,
)

PCM = b"\x01\x02\x03"
B64 = base64.b64encode(PCM).decode()
RATE_16, RATE_24 = AudioFormat(16_000), AudioFormat(24_000)
EVENTS: list[EventOut] = [
    Ready("s", 48_000, 8_000),
    StateChanged("speaking"),
    SpeakStarted("a"),
    MarkReached("m", 20),
    Playback("a", 40),
    Credit(4_000, 2_000),
    SpeakEnded("a", 60),
    Interrupted("a", 80),
    StateChanged("idle"),
    Stats({"fps": 25.0}),
    Problem("bad_json", "not JSON", "a JSON object"),
]


@pytest.fixture(autouse=True)
def known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated names are random; here they are fixed."""
    monkeypatch.setattr("stream.dialects.native.secrets.token_hex", lambda _: "0")


NATIVE_OUT = [
    {"type": "ready", "session": "s", "sample_rate": 48_000, "credit_ms": 8_000},
    {"type": "state", "state": "speaking"},
    {"type": "speak_started", "utterance_id": "a"},
    {"type": "mark", "name": "m", "played_ms": 20},
    {"type": "playback", "utterance_id": "a", "played_ms": 40},
    {"type": "credit", "free_ms": 4_000, "buffered_ms": 2_000, "received_ms": 0},
    {"type": "speak_ended", "utterance_id": "a", "played_ms": 60},
    {"type": "interrupted", "utterance_id": "a", "played_ms": 80},
    {"type": "state", "state": "idle"},
    {"type": "stats", "figures": {"fps": 25.0}},
    {"type": "error", "code": "bad_json", "message": "not JSON", "expected": "a JSON object"},
]


def wire(message: object) -> str | bytes:
    return message if isinstance(message, str | bytes) else json.dumps(message)


def told(dialect: str) -> list[object]:
    codec = open_codec(dialect, {})
    return [json.loads(message) for event in EVENTS for message in codec.encode(event)]


def native_but(**others: object) -> list[object]:
    """The presenter's own JSON, but for some types another form, or none."""
    return [others.get(m["type"], m) for m in NATIVE_OUT if others.get(m["type"], m) is not None]


START = {"type": "start", "sample_rate": 16_000, "channels": 2, "format": "mulaw", "utterance_id": "a"}
MULAW_STEREO = AudioFormat(16_000, 2, "mulaw")


def openai_delta(kind: str = "response.output_audio.delta", **more: object) -> dict[str, object]:
    return {"type": kind, "event_id": "e", "response_id": "r", "item_id": "i", "content_index": 0, "delta": B64, **more}


def openai_session(**turn_detection: object) -> dict[str, object]:
    session = {"type": "realtime", "audio": {"input": {"turn_detection": turn_detection}}}
    return {"type": "session.updated", "session": session}


def eleven(audio: str | None = B64, **more: object) -> dict[str, object]:
    return {"audio": audio, "contextId": "c", "isFinal": None, "alignment": None, **more}


def chars(text: str, step_ms: int = 10) -> dict[str, object]:
    starts = [step_ms * k for k in range(len(text))]
    return {"chars": list(text), "charStartTimesMs": starts, "charDurationsMs": [step_ms] * len(text)}


# Name, dialect, the connection's messages with the events each one means.
CONVERSATIONS: list[tuple[str, str, list[tuple[object, list[EventIn]]]]] = [
    (
        "an utterance with all that may be said",
        "native",
        [
            (START, [SpeechStart("a")]),
            (PCM, [SpeechAudio(PCM, MULAW_STEREO, "a")]),
            (b"", []),
            (
                {"type": "words", "words": [{"text": "hi", "start_ms": 0, "end_ms": 89.6}]},
                [Words("a", (Word("hi", 0, 90),))],
            ),
            ({"type": "words", "words": [], "utterance_id": "z"}, [Words("z", ())]),
            ({"type": "mark", "name": "m"}, [Mark("m")]),
            ({"type": "end"}, [SpeechEnd("a")]),
            ({"type": "listening", "on": True}, [Listening(True)]),
            ({"type": "listening", "on": False}, [Listening(False)]),
            ({"type": "keep_alive"}, [KeepAlive()]),
        ],
    ),
    (
        "utterances without names are told apart, and a start ends what is open",
        "native",
        [
            ({"type": "start", "sample_rate": 24_000}, [SpeechStart("speech-0-1")]),
            (PCM, [SpeechAudio(PCM, RATE_24, "speech-0-1")]),
            ({"type": "start", "sample_rate": 16_000}, [SpeechEnd("speech-0-1"), SpeechStart("speech-0-2")]),
            (PCM, [SpeechAudio(PCM, RATE_16, "speech-0-2")]),
        ],
    ),
    (
        "late audio of an interrupted utterance still bears its name",
        "native",
        [
            (START, [SpeechStart("a")]),
            ({"type": "interrupt"}, [Interrupt(None)]),
            ({"type": "interrupt", "utterance_id": "a"}, [Interrupt("a")]),
            (PCM, [SpeechAudio(PCM, MULAW_STEREO, "a")]),
            ({"type": "end"}, [SpeechEnd("a")]),
        ],
    ),
    (
        "a response in the released names",
        "openai",
        [
            ({"type": "session.created", "session": {}}, []),
            ({"type": "rate_limits.updated", "rate_limits": []}, []),
            ({"type": "response.created", "response": {"id": "r"}}, []),
            (openai_delta(), [SpeechAudio(PCM, RATE_24, "i")]),
            ({"type": "response.output_audio_transcript.delta", "delta": "hi"}, []),
            ({"type": "response.output_audio.done", "response_id": "r", "item_id": "i"}, [SpeechEnd("i")]),
            ({"type": "response.done", "response": {"id": "r", "status": "completed"}}, []),
            ({"type": "error", "error": {"type": "server_error"}}, []),
        ],
    ),
    (
        "a response in the beta's names, ended by response.done alone",
        "openai",
        [
            (openai_delta("response.audio.delta"), [SpeechAudio(PCM, RATE_24, "i")]),
            ({"type": "response.audio.done", "item_id": "i"}, [SpeechEnd("i")]),
            (openai_delta("response.audio.delta", item_id="j"), [SpeechAudio(PCM, RATE_24, "j")]),
            ({"type": "response.done", "response": {"status": "cancelled"}}, [SpeechEnd("j")]),
            (openai_delta(delta=""), []),
        ],
    ),
    (
        "every way to interrupt",
        "openai",
        [
            ({"type": "input_audio_buffer.speech_started", "item_id": "user"}, [Interrupt(None), Listening(True)]),
            ({"type": "input_audio_buffer.speech_stopped", "item_id": "user"}, [Listening(False)]),
            ({"type": "response.cancel"}, [Interrupt(None)]),
            ({"type": "output_audio_buffer.clear"}, [Interrupt(None)]),
            ({"type": "output_audio_buffer.cleared", "response_id": "r"}, [Interrupt(None)]),
            ({"type": "conversation.item.truncated", "item_id": "i"}, []),
        ],
    ),
    (
        "words across messages, placed by the audio before them",
        "elevenlabs",
        [
            # 4800 bytes at 24 kHz are 100 ms.
            (
                eleven(base64.b64encode(bytes(4_800)).decode(), alignment=chars(" One tw")),
                [SpeechAudio(bytes(4_800), RATE_24, "c"), Words("c", (Word("One", 10, 40),))],
            ),
            (
                eleven(normalizedAlignment=chars("xx"), alignment=chars("o  three")),
                [SpeechAudio(PCM, RATE_24, "c"), Words("c", (Word("two", 50, 110),))],
            ),
            (eleven(None, isFinal=True), [Words("c", (Word("three", 130, 180),)), SpeechEnd("c")]),
            (
                eleven(alignment=None, normalizedAlignment=chars("New. ")),
                [SpeechAudio(PCM, RATE_24, "c"), Words("c", (Word("New.", 0, 40),))],
            ),
        ],
    ),
    (
        "contexts don't mix, and one connection may have none",
        "elevenlabs",
        [
            (eleven(alignment=chars("aa")), [SpeechAudio(PCM, RATE_24, "c")]),
            (
                eleven(alignment=chars("b "), contextId="d"),
                [SpeechAudio(PCM, RATE_24, "d"), Words("d", (Word("b", 0, 10),))],
            ),
            ({"context_id": "d", "is_final": True}, [SpeechEnd("d")]),
            ({"isFinal": True, "contextId": "c"}, [Words("c", (Word("aa", 0, 20),)), SpeechEnd("c")]),
            ({"audio": B64}, [SpeechAudio(PCM, RATE_24, None)]),
            ({"audio": "", "isFinal": True}, [SpeechEnd(None)]),
        ],
    ),
    (
        "the client's words",
        "elevenlabs",
        [
            ({"text": "Hello ", "context_id": "c", "voice_settings": {}}, []),
            ({"text": "", "context_id": "c"}, []),
            ({"context_id": "c", "flush": True}, []),
            ({"context_id": "c", "close_context": True}, [Interrupt("c")]),
            ({"close_socket": True}, []),
            ({"message": "slow", "error": "input_timeout_exceeded", "code": 1008}, []),
        ],
    ),
    (
        "bytes only, as the SDK yields them",
        "elevenlabs",
        [
            (PCM, [SpeechAudio(PCM, RATE_24, None)]),
            (b"", []),
            (bytes(47_997), [SpeechAudio(bytes(47_997), RATE_24, None)]),
            (
                {"audio": None, "alignment": chars("on ")},
                [Words(None, (Word("on", 1000, 1020),))],
            ),
            (b'{"isFinal": true}', [SpeechEnd(None)]),
        ],
    ),
    (
        "a voice that may not interrupt",
        "openai",
        [
            ({"type": "session.created", "session": {"audio": {"input": {"turn_detection": None}}}}, []),
            ({"type": "input_audio_buffer.speech_started"}, [Interrupt(), Listening(True)]),
            (openai_session(interrupt_response=False), []),
            ({"type": "input_audio_buffer.speech_started"}, [Listening(True)]),
            ({"type": "session.update", "session": {"instructions": "x"}}, []),
            ({"type": "input_audio_buffer.speech_started"}, [Listening(True)]),
            ({"type": "response.cancel"}, [Interrupt()]),
            (openai_session(type="semantic_vad"), []),
            ({"type": "input_audio_buffer.speech_started"}, [Interrupt(), Listening(True)]),
            ({"type": "session.updated", "session": {"turn_detection": {"interrupt_response": False}}}, []),
            ({"type": "input_audio_buffer.speech_started"}, [Listening(True)]),
        ],
    ),
    (
        "a turn and an interruption",
        "deepgram",
        [
            ({"type": "Metadata", "request_id": "q", "model_name": "aura"}, []),
            (PCM, [SpeechAudio(PCM, RATE_24, None)]),
            (b"", []),
            ({"type": "Flushed", "sequence_id": 0}, [SpeechEnd(None)]),
            ({"type": "Speak", "text": "hi"}, []),
            ({"type": "Clear"}, [Interrupt(None)]),
            ({"type": "Cleared", "sequence_id": 0}, [Interrupt(None)]),
            ({"type": "Warning", "description": "w", "code": "c"}, []),
            ({"type": "KeepAlive"}, [KeepAlive()]),
        ],
    ),
    (
        "a turn of the second version",
        "deepgram",
        [
            ({"type": "Connected"}, []),
            ({"type": "SpeechStarted"}, []),
            ({"type": "SpeechMetadata"}, [SpeechEnd(None)]),
            ({"type": "Interrupt"}, [Interrupt(None)]),
        ],
    ),
    (
        "a context and its cancellation",
        "cartesia",
        [
            ({"model_id": "sonic", "transcript": "Hi", "context_id": "c", "voice": {}}, []),
            ({"type": "chunk", "data": B64, "done": False, "context_id": "c"}, [SpeechAudio(PCM, RATE_24, "c")]),
            ({"type": "chunk", "data": "", "done": False, "context_id": "c"}, []),
            (
                {
                    "type": "timestamps",
                    "context_id": "c",
                    "word_timestamps": {"words": ["Hello", "world"], "start": [0, 0.5], "end": [0.4, 0.9]},
                },
                [Words("c", (Word("Hello", 0, 400), Word("world", 500, 900)))],
            ),
            ({"type": "phoneme_timestamps", "phoneme_timestamps": {}, "context_id": "c"}, []),
            ({"type": "flush_done", "flush_id": 1, "context_id": "c"}, []),
            ({"type": "done", "done": True, "context_id": "c"}, [SpeechEnd("c")]),
            ({"type": "error", "done": True, "title": "t", "context_id": "c"}, [SpeechEnd("c")]),
            ({"context_id": "c", "cancel": True}, [Interrupt("c")]),
        ],
    ),
    (
        "a turn with ids and one without",
        "liveavatar",
        [
            ({"type": "session.keep_alive", "event_id": "k"}, [KeepAlive()]),
            ({"type": "agent.start_listening", "event_id": "l"}, [Listening(True)]),
            ({"type": "agent.stop_listening", "event_id": "l"}, [Listening(False)]),
            ({"type": "agent.speak", "event_id": "e", "audio": B64}, [SpeechAudio(PCM, RATE_24, "e")]),
            ({"type": "agent.speak_end", "event_id": "e"}, [SpeechEnd("e")]),
            ({"type": "agent.speak", "audio": B64}, [SpeechAudio(PCM, RATE_24, None)]),
            ({"type": "agent.speak_end", "event_id": "f"}, [SpeechEnd(None)]),
            ({"type": "agent.interrupt", "event_id": "e"}, [Interrupt(None)]),
            ({"type": "agent.interrupt"}, [Interrupt(None)]),
        ],
    ),
    (
        "audio and signals",
        "simli",
        [
            (PCM, [SpeechAudio(PCM, RATE_16, None)]),
            (b"PLAY_IMMEDIATE" + PCM, [SpeechAudio(PCM, RATE_16, None)]),
            (b"PLAY_IMMEDIATE" + bytes(128_000), [SpeechAudio(bytes(128_000), RATE_16, None)]),
            (b"", []),
            ("SKIP", [Interrupt(None)]),
            ("DONE", [SpeechEnd(None)]),
            (b"DONE", [SpeechEnd(None)]),
            (b"SKIP", [Interrupt(None)]),
            ("ping 1732.5", [KeepAlive()]),
            (b"CAM_" + bytes(36), [KeepAlive()]),
            (f"BG_{'0' * 36}", [KeepAlive()]),
        ],
    ),
]


@pytest.mark.parametrize(("dialect", "messages"), [c[1:] for c in CONVERSATIONS], ids=[c[0] for c in CONVERSATIONS])
def test_what_messages_mean(dialect: str, messages: list[tuple[object, list[EventIn]]]) -> None:
    codec = open_codec(dialect, {})
    for message, events in messages:
        assert codec.decode(wire(message)) == events, message


WORD = {"text": "hi", "start_ms": 0, "end_ms": 9}
REFUSED = [
    ("native", PCM, "not_started", r'expected {"type": "start", "sample_rate": ...} first'),
    ("native", {"type": "end"}, "not_started", r'expected {"type": "start"'),
    ("native", {"type": "begin"}, "unknown_type", r'type "begin"; expected start, end, words, mark, interrupt'),
    ("native", {"kind": "start"}, "bad_field", "type is null; expected a string"),
    ("native", {"type": "start"}, "bad_field", "sample_rate is null; expected a whole number"),
    ("native", {"type": "start", "sample_rate": "24k"}, "bad_field", 'sample_rate is "24k"; expected a whole number'),
    ("native", {"type": "start", "sample_rate": True}, "bad_field", "sample_rate is true; expected a whole number"),
    ("native", {"type": "start", "sample_rate": 96_000}, "bad_format", r"expected 8000\.\.48000 Hz"),
    ("native", {**START, "channels": 3}, "bad_format", "expected .* 1 or 2 channels"),
    ("native", {**START, "format": "opus"}, "bad_format", '"opus"; expected .* pcm_s16le or mulaw'),
    ("native", {**START, "utterance_id": 7}, "bad_field", "utterance_id is 7; expected a string"),
    ("native", {**START, "utterance_id": "u" * 257}, "bad_field", "expected at most 256 characters"),
    ("native", {"type": "mark"}, "bad_field", "name is null; expected a string"),
    ("native", {"type": "listening", "on": 1}, "bad_field", "on is 1; expected true or false"),
    ("native", {"type": "listening"}, "bad_field", "on is null; expected true or false"),
    ("native", {"type": "words", "words": "hi"}, "bad_field", 'words is "hi"; expected an array'),
    ("native", {"type": "words", "words": ["hi"]}, "bad_field", "expected an array of objects"),
    ("native", {"type": "words", "words": [WORD, {}]}, "bad_field", r"words\[1\]\.text is null; expected a string"),
    ("native", {"type": "words", "words": [{**WORD, "end_ms": "9"}]}, "bad_field", r"words\[0\]\.end_ms is \"9\"; exp"),
    ("native", {"type": "words", "words": [{**WORD, "start_ms": 10}]}, "bad_field", "expected 0 <= start <= end"),
    ("native", {"type": "words", "words": [{**WORD, "end_ms": 1e999}]}, "bad_field", "Infinity; expected a number"),
    ("native", {"type": "words", "words": [{**WORD, "end_ms": 10**400}]}, "bad_field", "expected a number"),
    ("native", "start", "bad_json", "expected text with a JSON object"),
    ("native", "[1]", "bad_json", "an array; expected a JSON object"),
    ("openai", PCM, "unexpected_binary", "binary message of 3 bytes; expected text with a JSON object"),
    ("openai", {"type": "chunk"}, "unknown_type", "expected an event of the Realtime API"),
    ("openai", openai_delta(delta="!"), "bad_field", 'delta is "!"; expected base64'),
    ("openai", openai_delta(delta="AAA"), "bad_field", "expected base64"),
    ("openai", openai_delta(delta="é"), "bad_field", "expected base64"),
    ("openai", openai_delta(delta=None), "bad_field", "delta is null; expected a string"),
    ("openai", openai_delta(item_id=None), "bad_field", "item_id is null; expected a string"),
    ("openai", {"type": "response.audio.done"}, "bad_field", "item_id is null; expected a string"),
    ("elevenlabs", {"type": "chunk"}, "unknown_type", "expected audio, isFinal, text, flush or close_context"),
    ("elevenlabs", eleven("*"), "bad_field", "expected base64"),
    ("elevenlabs", eleven(isFinal="yes"), "bad_field", 'isFinal is "yes"; expected true or false'),
    ("elevenlabs", eleven(contextId=4), "bad_field", "contextId is 4; expected a string"),
    ("elevenlabs", eleven(alignment=[]), "bad_field", "alignment is an array; expected an object"),
    ("elevenlabs", eleven(alignment={}), "bad_field", r"alignment\.chars is null; expected an array"),
    (
        "elevenlabs",
        eleven(alignment={**chars("ab"), "chars": ["a"]}),
        "bad_field",
        "expected arrays of the same length",
    ),
    ("elevenlabs", eleven(alignment={**chars("a"), "chars": [1]}), "bad_field", "expected an array of strings"),
    (
        "elevenlabs",
        eleven(alignment={**chars("a"), "charStartTimesMs": ["0"]}),
        "bad_field",
        "expected an array of numb",
    ),
    (
        "elevenlabs",
        eleven(alignment={**chars("a"), "charStartTimesMs": [-1]}),
        "bad_field",
        "expected times of 0 ms or",
    ),
    ("elevenlabs", {"close_context": "c"}, "bad_field", 'close_context is "c"; expected true or false'),
    ("deepgram", {"type": "chunk"}, "unknown_type", "expected Flushed, Clear, Cleared, Metadata"),
    ("deepgram", "Flushed", "bad_json", "expected text with a JSON object"),
    ("deepgram", {"type": ["Flushed"]}, "bad_field", "type is an array; expected a string"),
    ("cartesia", PCM, "unexpected_binary", "expected text with a JSON object"),
    ("cartesia", {"type": "audio"}, "unknown_type", "expected chunk, timestamps, phoneme_timestamps, flush_done, done"),
    ("cartesia", {"type": "chunk", "data": 5}, "bad_field", "data is 5; expected a string"),
    ("cartesia", {"type": "chunk", "data": "%"}, "bad_field", "expected base64"),
    ("cartesia", {"type": "timestamps"}, "bad_field", "word_timestamps is null; expected an object"),
    (
        "cartesia",
        {"type": "timestamps", "word_timestamps": {"words": ["a"], "start": [0], "end": []}},
        "bad_field",
        "1 words, 1 starts, 0 ends; expected arrays of the same length",
    ),
    (
        "cartesia",
        {"type": "timestamps", "word_timestamps": {"words": ["a"], "start": [2], "end": [1]}},
        "bad_field",
        "word from 2000 to 1000 ms; expected 0 <= start <= end",
    ),
    ("openai", b'{"type": ', "bad_json", "expected text with a JSON object"),
    ("openai", b'{"\xff": 1}', "bad_json", "expected text with a JSON object"),
    ("native", b'{"type": "end"}', "not_started", r'expected {"type": "start"'),
    ("liveavatar", PCM, "unexpected_binary", "expected text with a JSON object"),
    ("liveavatar", {"type": "agent.dance"}, "unknown_type", "expected agent.speak, agent.speak_end, agent.interrupt"),
    ("liveavatar", {"type": "agent.speak"}, "bad_field", "audio is null; expected a string"),
    ("simli", "JUMP", "unknown_type", 'text message "JUMP"; expected SKIP, DONE, ping, or binary PCM at 16 kHz'),
    ("simli", bytes(65_537), "too_large", "65537 bytes; expected at most 65536 bytes"),
]


@pytest.mark.parametrize(("dialect", "message", "code", "text"), REFUSED)
def test_what_cannot_be_meant_is_refused(dialect: str, message: object, code: str, text: str) -> None:
    with pytest.raises(WireError, match=text) as caught:
        open_codec(dialect, {}).decode(wire(message))
    assert caught.value.code == code


def test_a_refused_start_leaves_the_open_utterance_open() -> None:
    codec = open_codec("native", {})
    codec.decode(wire(START))
    with pytest.raises(WireError):
        codec.decode(wire({**START, "sample_rate": 1}))
    assert codec.decode(PCM) == [SpeechAudio(PCM, MULAW_STEREO, "a")]


def test_many_contexts_are_not_remembered_for_ever() -> None:
    codec = open_codec("elevenlabs", {})
    for k in range(40):
        codec.decode(wire(eleven(alignment=chars("half"), contextId=str(k))))
    assert codec.decode(wire(eleven(None, isFinal=True, contextId="0"))) == [SpeechEnd("0")]
    assert codec.decode(wire(eleven(None, isFinal=True, contextId="39")))[0] == Words("39", (Word("half", 0, 40),))


def test_native_tells_all() -> None:
    assert told("native") == NATIVE_OUT


def test_elevenlabs_tells_all_in_native_words() -> None:
    assert told("elevenlabs") == NATIVE_OUT


def test_openai_is_told_in_its_own_words() -> None:
    codec = open_codec("openai", {})
    codec.decode(wire(openai_delta(item_id="a")))
    messages = [json.loads(message) for event in EVENTS for message in codec.encode(event)]
    assert len({message.pop("event_id") for message in messages}) == 4
    assert messages == [
        {"type": "output_audio_buffer.started", "response_id": "r"},
        {"type": "output_audio_buffer.stopped", "response_id": "r"},
        {"type": "conversation.item.truncate", "item_id": "a", "content_index": 0, "audio_end_ms": 80},
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "code": "bad_json",
                "message": "not JSON; expected a JSON object",
                "param": None,
            },
        },
    ]


def test_deepgram_is_told_of_what_was_cleared() -> None:
    assert told("deepgram") == native_but(
        interrupted={"type": "Cleared", "sequence_id": 0, "played_ms": 80},
        error={"type": "Warning", "code": "bad_json", "description": "not JSON; expected a JSON object"},
    )
    codec = open_codec("deepgram", {})
    numbers = [json.loads(codec.encode(Interrupted(None, 5))[0])["sequence_id"] for _ in range(3)]
    assert numbers == [0, 1, 2]


def test_cartesia_gets_its_own_error() -> None:
    assert told("cartesia") == native_but(
        error={
            "type": "error",
            "done": False,
            "title": "Message not understood",
            "message": "not JSON; expected a JSON object",
            "error_code": "bad_json",
            "status_code": 400,
            "context_id": None,
        }
    )


def test_liveavatar_is_told_as_documented() -> None:
    spoken = {"event_id": "a", "task": {"id": "a"}}
    ended = {"type": "agent.speak_ended", **spoken}
    assert told("liveavatar") == native_but(
        ready={"type": "session.state_updated", "state": "connected"},
        speak_started={"type": "agent.speak_started", **spoken},
        speak_ended={**ended, "played_ms": 60, "interrupted": False},
        interrupted={**ended, "played_ms": 80, "interrupted": True},
    )


@pytest.mark.parametrize("dialect", ["native", "openai", "elevenlabs", "deepgram", "cartesia", "liveavatar"])
def test_json_in_a_binary_message_is_json(dialect: str) -> None:
    for _, spoken, messages in CONVERSATIONS:
        codec, binary = open_codec(dialect, {}), open_codec(dialect, {})
        for message, events in messages if spoken == dialect else []:
            codec.decode(wire(message))
            if isinstance(message, dict):
                message = json.dumps(message).encode()
            assert binary.decode(wire(message)) == events


def test_interrupt_carries_its_request_in_the_native_dialect() -> None:
    codec = open_codec("native", {})
    asked = {"type": "interrupt", "utterance_id": "a", "request_id": "r"}
    assert codec.decode(wire(asked)) == [Interrupt("a", "r")]
    (answer,) = codec.encode(Interrupted("a", 80, "r"))
    assert json.loads(answer) == {"type": "interrupted", "utterance_id": "a", "played_ms": 80, "request_id": "r"}


def test_simli_is_told_of_changes_only() -> None:
    codec = open_codec("simli", {})
    assert [message for event in [*EVENTS, *EVENTS[1:2], *EVENTS[1:2]] for message in codec.encode(event)] == [
        "START",
        "SPEAK",
        "SILENT",
        "WARNING: not JSON; expected a JSON object",
        "SPEAK",
    ]
