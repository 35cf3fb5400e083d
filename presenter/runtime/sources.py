"""What a presenter hears next: speech that was pushed, the microphone, or silence. No clock, no threads."""

from collections import deque
from typing import NamedTuple

from stream.clock import ms, samples
from stream.media import CHUNK_SAMPLES, AudioChunk, is_quiet, silence
from stream.playout.playout import TICK_SAMPLES
from stream.playout.speech import SpeechChunk, SpeechQueue

PATIENCE_MS = 100
"""With a microphone's chunk this late, silence may take its place."""
MAX_BACKLOG_MS = 1000
"""Microphone sound waiting for a compute thread that is too slow; beyond it the oldest is lost, and counted."""
IDLE_MS = 80
"""Silence held ready while nobody speaks."""
STARVED_MS = 40
"""With this little left of an utterance whose rest has not come, silence takes its place."""
STALLED_MS = 400
"""After this much of such silence what was sent is taken to be all for now."""
GIVEN_UP_MS = 2000
"""After this much of it the utterance is taken to have ended."""
MARGIN_MS = 10.0
"""A painted frame has to be ready this long before its turn."""
HALF_RATE_MS = 38.0
"""Where a picture takes longer than this, every second one is left out: 12.5 a second at a steady pace look better than
as many as happen to fit."""

_BEHIND = 2  # chunks waiting: a picture is left out, so that the voice does not wait for it
_TOO_MANY = 3  # chunks waiting: the thread does not keep up, so pauses are shortened before speech is delayed further


class Work(NamedTuple):
    """The next chunk to hear."""

    chunk: AudioChunk
    speech: SpeechChunk | None = None
    """Its place in what is said, if it is speech that was pushed."""
    arrived: int | None = None
    """When the microphone's chunk arrived, session time."""
    at_once: bool = False
    """Speech begins and its future is here: what waits before it is silence, which may be left out."""


class Sources:
    """Chooses, in this order: speech, the microphone, silence once it is due."""

    def __init__(self, speech: SpeechQueue, look_ahead: int) -> None:
        """Begin with silence.

        Args:
            speech: what is to be said.
            look_ahead: chunks that the model must hear after the one it moves the mouth for.
        """
        self.speech = speech
        self.lost_ms = 0.0
        """Microphone sound that found no room."""
        self.trimmed_ms = 0.0
        """Pauses left out to catch up."""
        self._look_ahead = look_ahead
        self._heard: deque[tuple[AudioChunk, int]] = deque(maxlen=samples(MAX_BACKLOG_MS) // CHUNK_SAMPLES)
        self._microphone_due: int | None = None
        self._fillers = 0  # chunks of silence in a row

    @property
    def waiting_ms(self) -> float:
        """Microphone sound that waits."""
        return ms(len(self._heard) * CHUNK_SAMPLES)

    @property
    def is_behind(self) -> bool:
        """Whether so much microphone sound waits that a picture has to be left out."""
        return len(self._heard) >= _BEHIND

    def hear(self, chunk: AudioChunk, now: int) -> None:
        """Take a chunk of the microphone, which arrived at session time `now`."""
        if len(self._heard) == self._heard.maxlen:
            self.lost_ms += ms(CHUNK_SAMPLES)
        self._heard.append((chunk, now))

    def clear(self) -> list[str]:
        """Interrupt: forget what waits, and return which utterances that were; the model hears silence instead."""
        self._heard.clear()
        self._fillers = self._look_ahead
        return self.speech.clear()

    def choose(self, now: int, queued_ms: float, paint_ms: float) -> Work | None:
        """Return what to hear next, or None if nothing is due.

        Args:
            now: session time, samples at 16 kHz.
            queued_ms: sound that is ready to be played.
            paint_ms: how long the picture of one chunk takes.
        """
        if (speech := self.speech.take()) is not None:
            self._heard.clear()
            at_once = self._fillers >= self._look_ahead and self.speech.has(self._look_ahead)
            self._fillers = 0
            return Work(speech.chunk, speech=speech, at_once=at_once)
        if self._heard:
            self._fillers = 0
            return self._take_heard()
        if self._is_filler_due(now, queued_ms, paint_ms):
            self._fillers += 1
            return Work(silence(0))
        return None

    def _take_heard(self) -> Work:
        while len(self._heard) > _TOO_MANY and is_quiet(self._heard[0][0]):
            self._heard.popleft()
            self.trimmed_ms += ms(CHUNK_SAMPLES)
        chunk, arrived = self._heard.popleft()
        self._microphone_due = arrived + CHUNK_SAMPLES + samples(PATIENCE_MS)
        return Work(chunk, arrived=arrived)

    def _is_filler_due(self, now: int, queued_ms: float, paint_ms: float) -> bool:
        if self._microphone_due is not None and now < self._microphone_due:
            return False
        quiet_ms = ms(self._fillers * CHUNK_SAMPLES)
        if self.speech.open and quiet_ms < STALLED_MS:
            return queued_ms <= STARVED_MS
        if self.speech.open and quiet_ms < GIVEN_UP_MS:
            self.speech.flush()
        elif self.speech.open:
            self.speech.end()
        # Early enough for the picture: levels are looked at once a tick.
        return queued_ms <= max(IDLE_MS, paint_ms + ms(TICK_SAMPLES) + 2 * MARGIN_MS)
