"""Simli: binary messages of 16 kHz PCM, and single words as text.

`SKIP` drops all audio sent before, `DONE` says that the last has been sent (the vendor's Python
client sends it as a binary message). `PLAY_IMMEDIATE` before the audio asks for no waiting at the
start of an utterance; nothing waits here, so it is audio like any other, but may be longer.

`START`, `SPEAK` and `SILENT` go back. There is no word for anything else that a client survives:
at `ERROR` the vendor's clients hang up, which a mistake is not worth.
Source: docs.simli.com, websockets; the clients simli-client and simli-ai.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from stream.dialects.fields import check_size, shown
from stream.dialects.formats import fixed_format
from stream.pcm.formats import AudioFormat
from stream.wire import (
    EventIn,
    EventOut,
    Interrupt,
    KeepAlive,
    Ready,
    SpeechAudio,
    SpeechEnd,
    StateChanged,
    WireError,
)

_FORMAT = AudioFormat(16_000)
_IMMEDIATE = b"PLAY_IMMEDIATE"
_MAX_IMMEDIATE = 131_072
_MAX_USUAL = 65_536


class SimliCodec:
    """Knows whether the presenter speaks, to tell only of changes."""

    MAX_MESSAGE_BYTES: ClassVar[int] = _MAX_IMMEDIATE

    def __init__(self, query: Mapping[str, str]) -> None:
        self._format = fixed_format(query, _FORMAT)
        self._speaking = False

    def decode(self, message: str | bytes) -> list[EventIn]:
        """See `stream.wire.Codec`."""
        immediate = isinstance(message, bytes) and message.startswith(_IMMEDIATE)
        check_size(message, _MAX_IMMEDIATE if immediate else _MAX_USUAL)
        match message:
            case "DONE" | b"DONE":
                return [SpeechEnd()]
            case "SKIP" | b"SKIP":
                return [Interrupt()]
            case bytes():
                data = message.removeprefix(_IMMEDIATE)
                return [SpeechAudio(data, self._format)] if data else []
            case str() if message.startswith("ping"):
                return [KeepAlive()]
        raise WireError("unknown_type", f"text message {shown(message)}", "SKIP, DONE, ping, or binary PCM at 16 kHz")

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case Ready():
                return ["START"]
            case StateChanged(state) if (state == "speaking") != self._speaking:
                self._speaking = state == "speaking"
                return ["SPEAK" if self._speaking else "SILENT"]
            case _:
                return []
