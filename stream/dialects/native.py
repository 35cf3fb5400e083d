"""The presenter's own dialect: JSON for control, binary messages for audio.

The bot sends `{"type": "start", "sample_rate": 24000, "channels": 1, "format": "pcm_s16le",
"utterance_id": "a"}`, the audio in binary messages cut anywhere, and then `{"type": "end"}`;
`channels`, `format` and `utterance_id` are optional. At any time: `words`
(`[{"text", "start_ms", "end_ms"}]`), `mark` (`name`), `interrupt` (of one `utterance_id`, or of
all; `request_id` comes back in the answer), `listening` (`on`) and `keep_alive`. The server sends
the events out, one JSON object each.

An utterance without a name gets one, so that its late audio is recognised after an interrupt.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from typing import ClassVar

from stream.dialects.fields import Fields, check_size, is_json, make_word, read_object, unknown_type
from stream.dialects.formats import make_format
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
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

_KNOWN = "start, end, words, mark, interrupt, listening or keep_alive"
_START = '{"type": "start", "sample_rate": ...} first'
EVENT_TYPES: dict[type[EventOut], str] = {
    Ready: "ready",
    StateChanged: "state",
    SpeakStarted: "speak_started",
    MarkReached: "mark",
    Playback: "playback",
    SpeakEnded: "speak_ended",
    Interrupted: "interrupted",
    Credit: "credit",
    Stats: "stats",
    Problem: "error",
}
"""What each event out is called in JSON."""
_USUAL = {"request_id": None, "count": 1}  # not sent with these values


def native_json(event: EventOut) -> str:
    """Return an event as the presenter's own JSON; an utterance is called `utterance_id`, as in `start`."""
    fields = {"utterance_id" if name == "utterance" else name: value for name, value in asdict(event).items()}
    usual = {name for name, value in _USUAL.items() if name in fields and fields[name] == value}
    return json.dumps({"type": EVENT_TYPES[type(event)], **{k: v for k, v in fields.items() if k not in usual}})


class NativeCodec:
    """Keeps the open utterance and its format."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self) -> None:
        self._format: AudioFormat | None = None
        self._utterance: str | None = None
        self._prefix = secrets.token_hex(3)  # generated names are unique in a session, whichever connection makes them
        self._started = 0

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        if isinstance(message, bytes) and not is_json(message):
            check_size(message, self.MAX_MESSAGE_BYTES)
            return [SpeechAudio(message, self._opened("binary message"), self._utterance)] if message else []
        fields = read_object(message, self.MAX_MESSAGE_BYTES)
        match fields.text("type"):
            case "start":
                return self._start(fields)
            case "end":
                return self._end()
            case "words":
                words = tuple(_word(item) for item in fields.objects("words"))
                return [Words(fields.optional_name("utterance_id") or self._utterance, words)]
            case "mark":
                return [Mark(fields.name("name"))]
            case "interrupt":
                return [Interrupt(fields.optional_name("utterance_id"), fields.optional_name("request_id"))]
            case "listening":
                return [Listening(fields.flag("on"))]
            case "keep_alive":
                return [KeepAlive()]
            case kind:
                raise unknown_type(kind, _KNOWN)

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        return [native_json(event)]

    def _start(self, fields: Fields) -> list[EventIn]:
        encoding = fields.text("format") if "format" in fields else "pcm_s16le"
        audio_format = make_format(fields.integer("sample_rate"), fields.integer("channels", 1), encoding)
        utterance = fields.optional_name("utterance_id") or f"speech-{self._prefix}-{self._started + 1}"
        ended = self._end() if self._format else []
        self._started += 1
        self._format, self._utterance = audio_format, utterance
        return [*ended, SpeechStart(utterance)]

    def _end(self) -> list[EventIn]:
        self._opened("end")
        ended, self._format = self._utterance, None
        return [SpeechEnd(ended)]

    def _opened(self, what: str) -> AudioFormat:
        if self._format is None:
            raise WireError("not_started", f"{what} outside an utterance", _START)
        return self._format


def _word(fields: Fields) -> Word:
    return make_word(fields.text("text"), fields.number("start_ms"), fields.number("end_ms"))
