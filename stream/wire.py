"""Events of the speech socket between a voice bot and the presenter, typed.

A `Codec` converts the messages of one vendor's protocol (a dialect) to these events and back. It
does no I/O and keeps no clock. Times are milliseconds of speech. `played_ms` counts from the start
of the utterance: the audio that has left this server and, in `Interrupted`, the audio that was heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from stream.errors import StreamError
from stream.pcm.formats import AudioFormat

State = Literal["idle", "listening", "speaking"]

MAX_MESSAGE_BYTES = 1 << 20
"""The longest message where a dialect sets no other limit: 1 MiB, 16 s of base64 PCM at 24 kHz."""


class WireError(StreamError):
    """A message, or a parameter of the socket's address, that is invalid."""

    def __init__(self, code: str, message: str, expected: str | None = None) -> None:
        """Set what is sent back: `code` for programs, `message` for people, `expected` for the fix."""
        super().__init__(f"{message}; expected {expected}" if expected else message)
        self.code = code
        self.message = message
        self.expected = expected


# --- from the bot ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """An utterance begins; an earlier one of the same name is superseded."""

    utterance: str


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """A piece of speech; it may begin or end within a sample, and the pieces are joined."""

    data: bytes
    format: AudioFormat
    utterance: str | None = None
    """The dialect's own name of the utterance; `None` where it has none."""


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """The utterance is complete; `None` means the latest one."""

    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop now, and drop audio of this utterance that still arrives; `None` means all utterances so far."""

    utterance: str | None = None
    request_id: str | None = None
    """Chosen by the bot; the `Interrupted` that answers this request carries it. `None` where the dialect has none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Report this name when all audio sent before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word and its times, from the start of its utterance."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Words:
    """Times of the words of an utterance, from its start."""

    utterance: str | None
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The bot is still connected."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The bot has begun (`on`) or stopped listening to the user."""

    on: bool


EventIn = SpeechStart | SpeechAudio | SpeechEnd | Interrupt | Mark | Words | KeepAlive | Listening

# --- to the bot ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Speech may be sent: `sample_rate` in Hz needs no resampling, `credit_ms` of speech fits now."""

    session: str
    sample_rate: int
    credit_ms: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The presenter's new state."""

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
    """How much of an utterance has been played; sent every 200 ms while it plays."""

    utterance: str | None
    played_ms: int


@dataclass(frozen=True, slots=True)
class SpeakEnded:
    """An utterance has been played to its end."""

    utterance: str | None
    played_ms: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An utterance was interrupted after `played_ms`; the rest is dropped.

    One request may interrupt several utterances. Its answer is the one that was playing (or the one that was
    named); the utterances that waited behind it are reported with 0 ms and without the request's id.
    """

    utterance: str | None
    """`None` if nothing was playing or waiting."""
    played_ms: int
    request_id: str | None = None
    """Of the `Interrupt` that this answers; only for the connection that sent it."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How much more audio fits now, and how much is waiting to be played.

    In total, `received_ms + free_ms` may be sent on this connection by now, audio in transit included.
    """

    free_ms: int
    buffered_ms: int
    received_ms: int = 0
    """Audio that has arrived on this connection, dropped audio included."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the session, by name."""

    figures: Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class Problem:
    """A message of the bot was refused; the session continues."""

    code: str
    message: str
    expected: str | None = None
    count: int = 1
    """How many messages in a row were refused like this."""

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
        """Return the events of one message; none where it has no meaning for the presenter.

        Args:
            message: `str` of a text message or `bytes` of a binary one.

        Raises:
            WireError: if the message is not part of the dialect. The codec can decode the next one.
        """

    def encode(self, event: EventOut) -> list[str | bytes]:
        """Return the messages for `event`; none where the dialect has none for it."""
