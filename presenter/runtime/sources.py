"""What a renderer processes next: speech that was pushed, the microphone, or silence. No clock, no threads."""

from typing import NamedTuple

from presenter.runtime.microphone import MicrophoneQueue
from stream.clock import ms
from stream.media import CHUNK_SAMPLES, AudioChunk, silence
from stream.playout.playout import TICK_SAMPLES
from stream.playout.speech import SpeechChunk, SpeechQueue

IDLE_MS = 80
"""Silence held ready while nobody speaks."""
STARVED_MS = 40
"""With this little left of an utterance whose rest has not arrived, silence is inserted."""
STALLED_MS = 400
"""After this much inserted silence the incomplete last chunk is played."""
GIVEN_UP_MS = 2000
"""After this much of it the utterance is taken to have ended."""
_SLACK_MS = 20.0  # silence is made this much earlier than its frame needs


class Work(NamedTuple):
    """The next chunk to process."""

    chunk: AudioChunk
    speech: SpeechChunk | None = None
    """Its position in the utterance, if it is speech that was pushed."""
    arrived: int | None = None
    """When the microphone's chunk arrived, session time."""
    at_once: bool = False
    """Speech begins and its look-ahead is available: what is queued before it is silence, which may be dropped."""


class Sources:
    """Chooses, in this order: speech, the microphone, silence once it is due."""

    def __init__(self, speech: SpeechQueue, microphone: MicrophoneQueue, look_ahead: int) -> None:
        """Begin with silence.

        Args:
            speech: the queue of pushed speech.
            microphone: the queue of the microphone's chunks.
            look_ahead: chunks that the model needs after the one it moves the mouth for.
        """
        self._speech = speech
        self._microphone = microphone
        self._look_ahead = look_ahead
        self._fillers = 0  # chunks of silence in a row
        self._stalled = 0  # those of them that replaced an utterance's late sound

    @property
    def has_speech(self) -> bool:
        """Whether speech that was pushed waits."""
        return self._speech.buffered_ms > 0

    def clear(self) -> list[str]:
        """Interrupt: drop what waits, and return which utterances that were; silence follows."""
        self._microphone.clear()
        self._fillers, self._stalled = self._look_ahead, 0
        return self._speech.clear()

    def choose(self, now: int, queued_ms: float, frame_ms: float) -> Work | None:
        """Take what to process next, or None if nothing is due.

        Args:
            now: session time, samples at 16 kHz.
            queued_ms: sound that is ready to be played.
            frame_ms: how long rendering a frame takes.
        """
        self._settle_stalled()
        if (speech := self._speech.take()) is not None:
            self._microphone.clear()
            at_once = self._fillers >= self._look_ahead and self._speech.has(self._look_ahead)
            self._fillers = self._stalled = 0
            return Work(speech.chunk, speech=speech, at_once=at_once)
        if (taken := self._microphone.take()) is not None:
            self._fillers = 0
            chunk, arrived = taken
            return Work(chunk, arrived=arrived)
        if self._is_filler_due(now, queued_ms, frame_ms):
            self._fillers += 1
            self._stalled += self._speech.open
            return Work(silence(0))
        return None

    def _settle_stalled(self) -> None:
        """Play what there is of an utterance whose sound is late, and end it after a time-out."""
        stalled_ms = ms(self._stalled * CHUNK_SAMPLES)
        if not self._speech.open:
            self._stalled = 0
        elif stalled_ms >= GIVEN_UP_MS:
            self._speech.end()
        elif stalled_ms >= STALLED_MS:
            self._speech.flush()

    def _is_filler_due(self, now: int, queued_ms: float, frame_ms: float) -> bool:
        """Whether silence has to replace late audio."""
        if self._microphone.is_expected(now):
            return False
        if self._speech.open and ms(self._stalled * CHUNK_SAMPLES) < STALLED_MS:
            return queued_ms <= STARVED_MS
        # Early enough for the frame: levels are checked once a tick.
        return queued_ms <= max(IDLE_MS, frame_ms + ms(TICK_SAMPLES) + _SLACK_MS)
