"""Cartesia text to speech: JSON with base64 audio, one context per turn.

The bot relays what Cartesia sends, and may relay its own `cancel`. The utterance is the context.
`done` and `error` end it; `flush_done` doesn't, as a context continues after a flush.

An error is sent back as Cartesia's `error`. The protocol has no messages for playback, so other
events are sent as the presenter's own JSON.
Source: the API reference of the text-to-speech websocket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar

from stream.dialects.fields import Fields, make_word, read_object, unknown_type
from stream.dialects.formats import query_format
from stream.dialects.native import native_json
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    EventIn,
    EventOut,
    Interrupt,
    Problem,
    SpeechAudio,
    SpeechEnd,
    WireError,
    Word,
    Words,
)

_ENCODINGS = {
    "pcm_s16le": AudioFormat(24_000),
    "pcm_f32le": AudioFormat(24_000, encoding="pcm_f32le"),
    "pcm_mulaw": AudioFormat(8_000, encoding="mulaw"),
}
_KNOWN = "chunk, timestamps, phoneme_timestamps, flush_done, done or error"


class CartesiaCodec:
    """Keeps only the format."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self, query: Mapping[str, str]) -> None:
        self._format = query_format(query, _ENCODINGS)

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        fields = read_object(message, self.MAX_MESSAGE_BYTES)
        context = fields.optional_name("context_id")
        if fields.flag("cancel", False):
            return [Interrupt(context)]
        if "transcript" in fields:  # the bot's own request
            return []
        match fields.text("type"):
            case "chunk":
                data = fields.audio("data")
                return [SpeechAudio(data, self._format, context)] if data else []
            case "timestamps":
                return [Words(context, _words(fields.inner("word_timestamps")))]
            case "done" | "error":
                return [SpeechEnd(context)]
            case "phoneme_timestamps" | "flush_done":
                return []
            case kind:
                raise unknown_type(kind, _KNOWN)

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case Problem(code) as problem:
                error = {"type": "error", "done": False, "title": "Message not understood", "message": problem.text}
                return [json.dumps({**error, "error_code": code, "status_code": 400, "context_id": None})]
            case _:
                return [native_json(event)]


def _words(stamps: Fields) -> tuple[Word, ...]:
    texts, starts, ends = stamps.texts("words"), stamps.numbers("start"), stamps.numbers("end")
    if not len(texts) == len(starts) == len(ends):
        got = f"word_timestamps of {len(texts)} words, {len(starts)} starts, {len(ends)} ends"
        raise WireError("bad_field", got, "arrays of the same length")
    return tuple(
        make_word(text, 1000 * start, 1000 * end) for text, start, end in zip(texts, starts, ends, strict=True)
    )
