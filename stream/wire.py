"""What a voice bot and the presenter say to each other over the speech socket, as typed events.

A `Codec` turns the messages of one vendor's protocol (a dialect) into these events and back. It
does no I/O and keeps no clock. Times are milliseconds of speech; `played_ms` counts from the start
of the utterance and says what has left this server, and in `Interrupted` what was heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from stream.errors import StreamError
from stream.pcm.formats import AudioFormat

State = Literal["idle", "listening", "speaking"]

MAX_MESSAGE_BYTES = 1 << 20
"""The longest message where a dialect doesn't say otherwise: 1 MiB, 16 s of base64 PCM at 24 kHz."""


class WireError(StreamError):
    """A message, or a parameter of the socket's address, that can't be understood."""

    def __init__(self, code: str, message: str, expected: str | None = None) -> None:
        """Set what is sent back: `code` for programs, `message` for people, `expected` to learn from."""
        super().__init__(f"{message}; expected {expected}" if expected else message)
        self.code = code
        self.message = message
        self.expected = expected


# --- from the bot ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """An utterance begins anew, whatever became of an earlier one of the same name."""

    utterance: str


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """A piece of speech; it may begin or end within a sample, and all pieces join up."""

    data: bytes
    format: AudioFormat
    utterance: str | None = None
    """The dialect's own name for what is being said; `None` where it has no such name."""


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """No more audio of this utterance will come; `None` means the one last spoken."""

    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Fall silent now, and drop what still arrives of this utterance; `None` means of all before now."""

    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Report back with this name when all audio sent before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word and when it sounds, from the start of its utterance."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Words:
    """When the words of an utterance sound; times count from the start of the utterance."""

    utterance: str | None
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The bot is still there."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The bot has begun (`on`) or stopped listening to the user."""

    on: bool


EventIn = SpeechStart | SpeechAudio | SpeechEnd | Interrupt | Mark | Words | KeepAlive | Listening

# --- to the bot ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Speech may be sent: `sample_rate` in Hz is what needs no resampling, `credit_ms` fits now."""

    session: str
    sample_rate: int
    credit_ms: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What the presenter is doing from now on."""

    state: State


@dataclass(frozen=True, slots=True)
class SpeakStarted:
    """The first audio of an utterance is being played."""

    utterance: str | None


@dataclass(frozen=True, slots=True)
class MarkReached:
    """All audio sent before a mark has been played."""

    name: str
    played_ms: int


@dataclass(frozen=True, slots=True)
class Playback:
    """How much of an utterance has been played; sent now and then while it is."""

    utterance: str | None
    played_ms: int


@dataclass(frozen=True, slots=True)
class SpeakEnded:
    """An utterance has been played to its end."""

    utterance: str | None
    played_ms: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An utterance was cut off after `played_ms`; the rest will not be heard."""

    utterance: str | None
    played_ms: int


@dataclass(frozen=True, slots=True)
class Credit:
    """How much more audio fits now, and how much is waiting to be played.

    In all, `received_ms + free_ms` may be sent on this connection by now; so what is still on its way counts as well.
    """

    free_ms: int
    buffered_ms: int
    received_ms: int = 0
    """Audio that has arrived on this connection, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the session: name to number or text."""

    figures: Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the bot sent could not be used; the session goes on."""

    code: str
    message: str
    expected: str | None = None

    @property
    def text(self) -> str:
        """The message and what was expected, in one line."""
        return f"{self.message}; expected {self.expected}" if self.expected else self.message


EventOut = (
    Ready | StateChanged | SpeakStarted | MarkReached | Playback | SpeakEnded | Interrupted | Credit | Stats | Problem
)


class Codec(Protocol):
    """One dialect of the speech socket, for one connection.

    `stream.dialects.open_codec` makes one.
    """

    MAX_MESSAGE_BYTES: ClassVar[int]
    """The longest message the dialect allows, in bytes on the wire."""

    def decode(self, message: str | bytes) -> list[EventIn]:
        """Return what one message says; nothing where it says nothing that matters here.

        Args:
            message: `str` of a text message or `bytes` of a binary one.

        Raises:
            WireError: if the message is none of the dialect. The codec can take the next one.
        """

    def encode(self, event: EventOut) -> list[str | bytes]:
        """Return the messages that say `event`; none where the dialect has no word for it."""
