"""LiveAvatar's LITE mode: the bot sends what it would send to LiveAvatar's socket.

The utterance is the `event_id` of `agent.speak`, where a bot gives one. `agent.interrupt` interrupts
everything, with or without an `event_id`, as the protocol says.

`session.state_updated`, `agent.speak_started` and `agent.speak_ended` are sent back as documented,
the latter with `played_ms` and `interrupted` added. Clients ignore unknown types, so other events
are sent as the presenter's own JSON.
Source: docs.liveavatar.com, LITE mode, events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from stream.dialects.fields import Fields, read_object, unknown_type
from stream.dialects.formats import fixed_format
from stream.dialects.native import native_json
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    EventIn,
    EventOut,
    Interrupt,
    Interrupted,
    KeepAlive,
    Listening,
    Ready,
    SpeakEnded,
    SpeakStarted,
    SpeechAudio,
    SpeechEnd,
)

_FORMAT = AudioFormat(24_000)
_KNOWN = (
    "agent.speak, agent.speak_end, agent.interrupt, agent.start_listening, agent.stop_listening or session.keep_alive"
)


class LiveAvatarCodec:
    """Keeps the name of the latest audio, for an end that has another."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self, query: Mapping[str, str]) -> None:
        self._format = fixed_format(query, _FORMAT)
        self._utterance: str | None = None

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        fields = read_object(message, self.MAX_MESSAGE_BYTES)
        match fields.text("type"):
            case "agent.speak":
                return self._speak(fields)
            case "agent.speak_end":
                # The documented `agent.speak` has no id while its end has one: both are of one utterance.
                return [SpeechEnd(self._utterance)]
            case "agent.interrupt":
                return [Interrupt()]
            case "agent.start_listening":
                return [Listening(True)]
            case "agent.stop_listening":
                return [Listening(False)]
            case "session.keep_alive":
                return [KeepAlive()]
            case kind:
                raise unknown_type(kind, _KNOWN)

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case Ready():
                return [json.dumps({"type": "session.state_updated", "state": "connected"})]
            case SpeakStarted(utterance):
                return _agent("agent.speak_started", utterance)
            case SpeakEnded(utterance, played_ms):
                return _agent("agent.speak_ended", utterance, played_ms=played_ms, interrupted=False)
            case Interrupted(utterance, played_ms):
                return _agent("agent.speak_ended", utterance, played_ms=played_ms, interrupted=True)
            case _:
                return [native_json(event)]

    def _speak(self, fields: Fields) -> list[EventIn]:
        data, utterance = fields.audio("audio"), fields.optional_name("event_id")
        self._utterance = utterance
        return [SpeechAudio(data, self._format, utterance)] if data else []


def _agent(kind: str, utterance: str | None, **more: Any) -> list[str | bytes]:
    return [json.dumps({"type": kind, "event_id": utterance, "task": {"id": utterance}, **more})]
