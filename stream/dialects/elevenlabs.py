"""ElevenLabs text to speech, with one context per connection or several.

The bot relays what ElevenLabs sends: `audio` with `alignment`, and `isFinal`. The utterance is the
context. Of the client's messages only `close_context` counts: it interrupts, as in the vendor's
guide to barge-in, so a bot that also closes a context once all text is sent must not relay that one.
Character times count from the start of their own message's audio; earlier audio is added here.

The SDK's `stream` and `convert_realtime` yield bytes instead: these are relayed as binary messages
and belong to the connection without contexts. `{"isFinal": true}` ends them, or two seconds without audio.

Clients ignore messages without a known key, so events are sent as the presenter's own JSON.
Source: the API reference of `stream-input` and `multi-stream-input`; the Python SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from stream.dialects.fields import NAME_LENGTH, Fields, check_size, is_json, make_word, read_object, shown
from stream.dialects.native import native_json
from stream.pcm.formats import AudioFormat
from stream.wire import (
    MAX_MESSAGE_BYTES,
    EventIn,
    EventOut,
    Interrupt,
    SpeechAudio,
    SpeechEnd,
    WireError,
    Word,
    Words,
)

_FORMATS = {f"pcm_{rate}": AudioFormat(rate) for rate in (24_000, 16_000, 22_050, 44_100, 8_000, 32_000, 48_000)}
_FORMATS["ulaw_8000"] = AudioFormat(8_000, encoding="mulaw")
_SILENT_KEYS = {"text", "flush", "close_socket", "voice_settings", "generation_config", "error", "message"}
_CONTEXTS = 16  # ElevenLabs allows five at a time


@dataclass(slots=True)
class _Spoken:
    """How much audio a context has had, and the word that the next message may continue."""

    audio_bytes: int = 0
    partial: str = ""
    start_ms: float = 0.0
    end_ms: float = 0.0

    def add(self, chars: list[tuple[str, float, float]]) -> list[Word]:
        """Return the words completed by characters with their start and end in ms."""
        words = []
        for char, start_ms, end_ms in chars:
            if char.isspace() or len(self.partial) >= NAME_LENGTH:
                words += self.rest()
            if not char.isspace():
                self.start_ms = self.start_ms if self.partial else start_ms
                self.partial, self.end_ms = self.partial + char, end_ms
        return words

    def rest(self) -> list[Word]:
        """Return the word begun so far, if any, as complete."""
        text, self.partial = self.partial, ""
        return [make_word(text, self.start_ms, max(self.start_ms, self.end_ms))] if text else []


class ElevenLabsCodec:
    """Counts the audio of each context, to place its words."""

    MAX_MESSAGE_BYTES: ClassVar[int] = MAX_MESSAGE_BYTES

    def __init__(self, query: Mapping[str, str]) -> None:
        name = query.get("output_format", "pcm_24000")
        if name not in _FORMATS:
            raise WireError("bad_query", f"output_format={shown(name)}", " or ".join(_FORMATS))
        self._format = _FORMATS[name]
        self._spoken: dict[str | None, _Spoken] = {}

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        if isinstance(message, bytes) and not is_json(message):
            check_size(message, self.MAX_MESSAGE_BYTES)
            self._context(None).audio_bytes += len(message)
            return [SpeechAudio(message, self._format)] if message else []
        fields = read_object(message, self.MAX_MESSAGE_BYTES)
        context = fields.optional_name("contextId") or fields.optional_name("context_id")
        if fields.flag("close_context", False):
            self._spoken.pop(context, None)
            return [Interrupt(context)]
        if fields.values.keys() & {"audio", "isFinal", "is_final"}:
            return self._output(fields, context)
        if fields.values.keys() & _SILENT_KEYS:
            return []
        raise WireError("unknown_type", "message without a known key", "audio, isFinal, text, flush or close_context")

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        return [native_json(event)]

    def _output(self, fields: Fields, context: str | None) -> list[EventIn]:
        data = fields.audio("audio") if "audio" in fields else b""
        final = fields.flag("isFinal", False) or fields.flag("is_final", False)
        chars = _characters(fields)
        spoken = self._context(context)
        offset_ms = 1000 * spoken.audio_bytes / self._format.bytes_per_second
        words = spoken.add([(char, offset_ms + start, offset_ms + end) for char, start, end in chars])
        spoken.audio_bytes += len(data)
        if final:
            words += spoken.rest()
            del self._spoken[context]
        events: list[EventIn] = []
        if data:
            events.append(SpeechAudio(data, self._format, context))
        if words:
            events.append(Words(context, tuple(words)))
        return [*events, SpeechEnd(context)] if final else events

    def _context(self, context: str | None) -> _Spoken:
        spoken = self._spoken.setdefault(context, _Spoken())
        if len(self._spoken) > _CONTEXTS:
            del self._spoken[next(iter(self._spoken))]
        return spoken


def _characters(fields: Fields) -> list[tuple[str, float, float]]:
    """Return each character with its start and end, in ms from the start of the message's audio."""
    # The text as written; the normalised one spells out numbers and is romanised.
    name = "alignment" if "alignment" in fields else "normalizedAlignment"
    if name not in fields:
        return []
    alignment = fields.inner(name)
    chars, starts = alignment.texts("chars"), alignment.numbers("charStartTimesMs")
    lengths = alignment.numbers("charDurationsMs" if "charDurationsMs" in alignment else "charsDurationsMs")
    if not len(chars) == len(starts) == len(lengths):
        got = f"{name} of {len(chars)} chars, {len(starts)} starts, {len(lengths)} durations"
        raise WireError("bad_field", got, "arrays of the same length")
    if any(value < 0 for value in starts + lengths):
        raise WireError("bad_field", f"{name} with negative times", "times of 0 ms or more")
    return [(char, start, start + length) for char, start, length in zip(chars, starts, lengths, strict=True)]
