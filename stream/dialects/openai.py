"""OpenAI Realtime: the bot relays the server's events, and the client's that interrupt.

Both the released names (`response.output_audio.*`) and the beta's (`response.audio.*`) are accepted.
The utterance is the `item_id`, as `conversation.item.truncate` requires. The server's voice
detection (`speech_started`) interrupts, unless the session was configured with
`turn_detection.interrupt_response: false`.

Only events of the protocol are sent back, as its clients refuse others: an interruption is a
complete `conversation.item.truncate`, to be passed on to OpenAI as it is; playback is reported by
`output_audio_buffer.started` and `.stopped`, and errors by `error`.
Source: the Realtime API reference, client and server events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from stream.dialects.fields import Fields, read_object, unknown_type
from stream.dialects.formats import query_format
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    EventIn,
    EventOut,
    Interrupt,
    Interrupted,
    Listening,
    Problem,
    SpeakEnded,
    SpeakStarted,
    SpeechAudio,
    SpeechEnd,
)

_PCM, _MULAW = AudioFormat(24_000), AudioFormat(8_000, encoding="mulaw")
_ENCODINGS = {"audio/pcm": _PCM, "audio/pcmu": _MULAW, "pcm16": _PCM, "g711_ulaw": _MULAW}
_FAMILIES = (
    "session.",
    "transcription_session.",
    "conversation.",
    "input_audio_buffer.",
    "output_audio_buffer.",
    "response.",
    "rate_limits.",
    "mcp_list_tools.",
    "error",
)
_KNOWN = "an event of the Realtime API, such as response.output_audio.delta"
_REMEMBERED = 32


class OpenAICodec:
    """Keeps the open item, the response of each item, and whether the user's voice interrupts."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self, query: Mapping[str, str]) -> None:
        self._format = query_format(query, _ENCODINGS)
        self._open: str | None = None
        self._responses: dict[str, str] = {}
        self._sent = 0
        self._voice_interrupts = True

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        fields = read_object(message, self.MAX_MESSAGE_BYTES)
        match fields.text("type"):
            case "response.output_audio.delta" | "response.audio.delta":
                return self._audio(fields)
            case "response.output_audio.done" | "response.audio.done":
                return self._end(fields.name("item_id"))
            case "response.done":
                return self._end(self._open) if self._open else []
            case "input_audio_buffer.speech_started":
                return [Interrupt(), Listening(True)] if self._voice_interrupts else [Listening(True)]
            case "input_audio_buffer.speech_stopped":
                return [Listening(False)]
            case "response.cancel" | "output_audio_buffer.clear" | "output_audio_buffer.cleared":
                return [Interrupt()]
            case "session.created" | "session.updated" | "session.update":
                return self._configure(fields)
            case kind if kind.startswith(_FAMILIES):
                return []
            case kind:
                raise unknown_type(kind, _KNOWN)

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case SpeakStarted(str(item)):
                return self._message("output_audio_buffer.started", response_id=self._responses.get(item))
            case SpeakEnded(str(item)):
                return self._message("output_audio_buffer.stopped", response_id=self._responses.pop(item, None))
            case Interrupted(str(item), played_ms):
                # The content index is always 0, says the reference.
                return self._message(
                    "conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=played_ms
                )
            case Problem(code) as problem:
                error = {"type": "invalid_request_error", "code": code, "message": problem.text, "param": None}
                return self._message("error", error=error)
            case _:
                return []

    def _audio(self, fields: Fields) -> list[EventIn]:
        item, data = fields.name("item_id"), fields.audio("delta")
        response = fields.optional_name("response_id")
        self._open = item
        if response is not None and item not in self._responses:
            self._responses[item] = response
            if len(self._responses) > _REMEMBERED:
                del self._responses[next(iter(self._responses))]
        return [SpeechAudio(data, self._format, item)] if data else []

    def _configure(self, fields: Fields) -> list[EventIn]:
        """Take over `interrupt_response` of the turn detection: released and beta sessions place it differently."""
        session = parent = fields.inner("session") if "session" in fields else Fields({})
        for name in ("audio", "input"):
            parent = parent.inner(name) if name in parent else Fields({})
        for holder in (parent, session):
            if "turn_detection" in holder:
                self._voice_interrupts = holder.inner("turn_detection").flag("interrupt_response", True)
        return []

    def _end(self, item: str) -> list[EventIn]:
        self._open = None
        return [SpeechEnd(item)]

    def _message(self, kind: str, **fields: Any) -> list[str | bytes]:
        self._sent += 1
        return [json.dumps({"type": kind, "event_id": f"presenter_{self._sent}", **fields})]
