"""Deepgram Speak: binary messages of audio, JSON in between.

The bot relays what Deepgram sends, and may relay its own `Clear`. `Flushed` (or, in the second
version of the API, `SpeechMetadata`) says that all audio of the text so far has been sent. Audio
carries no name, so audio between `Clear` and `Cleared` can't be distinguished from new audio; both
messages therefore interrupt, and the second drops the audio that arrived in between.

An interruption is sent back as `Cleared` with `played_ms`, an error as `Warning`; clients log
unknown types and continue, so other events are sent as the presenter's own JSON.
Source: the Text-to-Speech streaming reference and guides (`/v1/speak`, `/v2/speak`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from stream.dialects.fields import check_size, is_json, read_object, unknown_type
from stream.dialects.formats import query_format
from stream.dialects.native import native_json
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    EventIn,
    EventOut,
    Interrupt,
    Interrupted,
    KeepAlive,
    Problem,
    SpeechAudio,
    SpeechEnd,
)

_ENCODINGS = {"linear16": AudioFormat(24_000), "mulaw": AudioFormat(8_000, encoding="mulaw")}
_SILENT = {
    *("Metadata", "Warning", "Error", "Speak", "Flush", "Close", "Connected", "SpeechStarted"),
    *("Configure", "ConfigureSuccess", "ConfigureFailure"),
}
_KNOWN = "Flushed, Clear, Cleared, Metadata, Warning, Error, Speak, Flush, Close or KeepAlive"


class DeepgramCodec:
    """Counts the interruptions that it has reported."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self, query: Mapping[str, str]) -> None:
        self._format = query_format(query, _ENCODINGS)
        self._cleared = 0

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        if isinstance(message, bytes) and not is_json(message):
            check_size(message, self.MAX_MESSAGE_BYTES)
            return [SpeechAudio(message, self._format)] if message else []
        match read_object(message, self.MAX_MESSAGE_BYTES).text("type"):
            case "Flushed" | "SpeechMetadata":
                return [SpeechEnd()]
            case "Clear" | "Cleared" | "Interrupt" | "SpeechInterrupted":
                return [Interrupt()]
            case "KeepAlive":
                return [KeepAlive()]
            case kind if kind in _SILENT:
                return []
            case kind:
                raise unknown_type(kind, _KNOWN)

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case Interrupted(_, played_ms):
                self._cleared += 1
                return [json.dumps({"type": "Cleared", "sequence_id": self._cleared - 1, "played_ms": played_ms})]
            case Problem(code) as problem:
                return [json.dumps({"type": "Warning", "code": code, "description": problem.text})]
            case _:
                return [native_json(event)]
