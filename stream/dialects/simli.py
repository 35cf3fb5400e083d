"""Simli: binary messages of 16 kHz PCM, and single words as text.

`SKIP` drops all audio sent before, `DONE` ends the audio; clients send both as text or binary.
`PLAY_IMMEDIATE` before the audio asks the vendor not to buffer the start of an utterance; this
server never does, so it is audio like any other, but may be longer. `CAM_`, `BG_` and `FG_` set
camera, background and foreground, which this server does not have.

`START`, `SPEAK` and `SILENT` are sent back, and errors as `WARNING: …`, which the vendor's clients
log; at `ERROR` they would close the connection.
Source: docs.simli.com, websockets; the clients simli-client 3.0.2 and simli-ai 2.1.0.
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
    Problem,
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
_SCENE = ("CAM_", "BG_", "FG_")
_MAX_SCENE = 64


class SimliCodec:
    """Keeps whether the presenter speaks, to report only changes."""

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
            case str() if message.startswith(("ping", *_SCENE)):
                return [KeepAlive()]
            case bytes() if len(message) <= _MAX_SCENE and message.startswith(tuple(map(str.encode, _SCENE))):
                return [KeepAlive()]
            case bytes():
                data = message.removeprefix(_IMMEDIATE)
                return [SpeechAudio(data, self._format)] if data else []
        raise WireError("unknown_type", f"text message {shown(message)}", "SKIP, DONE, ping, or binary PCM at 16 kHz")

    def encode(self, event: EventOut) -> list[str | bytes]:
        """See `stream.wire.Codec`."""
        match event:
            case Ready():
                return ["START"]
            case StateChanged(state) if (state == "speaking") != self._speaking:
                self._speaking = state == "speaking"
                return ["SPEAK" if self._speaking else "SILENT"]
            case Problem() as problem:
                return [f"WARNING: {problem.text}"]
            case _:
                return []
