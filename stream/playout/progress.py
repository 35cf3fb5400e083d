"""What has been played of what was pushed: follows the ticks of a playout and turns them into playback events.

Sans-I/O. Positions are true to the tick (20 ms): the sound that has left the server. What the listener has heard is
later by the playout delay; `interrupt` takes that into account, because a bot cuts its transcript there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stream.clock import ms, samples
from stream.media import CHUNK_SAMPLES
from stream.playout.playout import TICK_SAMPLES, Tick
from stream.playout.speech import SpeechChunk, Utterance
from stream.wire import MarkReached, Playback, SpeakEnded, SpeakStarted, Word

_REPORT_MS = 200.0  # between two reports of the position
_WORDS_PER_TICK = 20  # more than can be spoken in 20 ms; the rest of a burst follows with the next ticks
_HISTORY_TICKS = 150  # 3 s of positions, for listeners that are late


@dataclass(frozen=True, slots=True)
class WordBegins:
    """A word begins to be played at `time`, samples at 16 kHz of the session's clock."""

    word: Word
    time: int


PlaybackEvent = SpeakStarted | Playback | MarkReached | SpeakEnded | WordBegins


class Progress:
    """Follows one playout."""

    def __init__(self) -> None:
        """Begin with nothing played."""
        self._expected: dict[int, SpeechChunk] = {}
        self._playing: Utterance | None = None
        self._played_ms = self._reported_ms = 0.0
        self._history: deque[tuple[int, Utterance, float]] = deque(maxlen=_HISTORY_TICKS)

    @property
    def pending(self) -> bool:
        """Whether speech is queued for playout, or its end has not been reported yet."""
        return bool(self._expected) or self._playing is not None

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun to play and has not ended."""
        return self._playing is not None

    def expects(self, pts: int) -> bool:
        """Whether the chunk at `pts` of the session's timeline is speech that has not been played."""
        return pts in self._expected

    def is_saying(self, utterance: str) -> bool:
        """Whether some of an utterance is queued for playout, or its end has not been reported."""
        coming = (speech.utterance for speech in self._expected.values())
        return any(known is not None and known.id == utterance for known in (self._playing, *coming))

    def expect(self, pts: int, speech: SpeechChunk) -> None:
        """Note that the chunk at `pts` of the session's timeline is this piece of speech."""
        self._expected[pts] = speech

    def follow(self, tick: Tick) -> list[PlaybackEvent]:
        """Take one tick; return the playback events that it brings, in order."""
        return [*self._advance(tick), *self._finish()]

    def interrupt(self, heard_time: int) -> tuple[str | None, float]:
        """Drop what was not played.

        Args:
            heard_time: release time of the sound heard last, samples at 16 kHz of the session's clock.

        Returns:
            The utterance that was being played, or None, and how much of it was heard, in ms.
        """
        waiting = next(iter(self._expected.values()), None)
        current = self._playing or (waiting.utterance if waiting else None)
        heard_ms = current.begun_ms if current else 0.0
        for time, utterance, played_ms in self._history:
            if utterance is current and time <= heard_time:
                heard_ms = played_ms
        self._expected.clear()
        self._playing, self._played_ms = None, 0.0
        return (current.id if current else None), heard_ms

    def _advance(self, tick: Tick) -> Iterator[PlaybackEvent]:
        if tick.source_pts is None:
            return
        pts = tick.source_pts - tick.source_pts % CHUNK_SAMPLES
        for missed in [known for known in self._expected if known < pts]:  # dropped as a pause
            del self._expected[missed]
        speech = self._expected.get(pts)
        if speech is None:
            return
        passed = tick.source_pts - pts + TICK_SAMPLES
        if ms(passed) >= speech.length_ms:
            del self._expected[pts]
        if speech.utterance is not self._playing:
            yield from self._begin(speech.utterance)
        played_before_ms = speech.start_ms + min(speech.length_ms, ms(passed - TICK_SAMPLES))
        self._played_ms = speech.start_ms + min(speech.length_ms, ms(passed))
        self._history.append((tick.time, speech.utterance, self._played_ms))
        yield from self._places(speech.utterance, tick.time, played_before_ms)

    def _begin(self, utterance: Utterance) -> Iterator[PlaybackEvent]:
        if self._playing is not None:
            yield from self._end(self._playing)
        self._playing, self._reported_ms = utterance, 0.0
        yield SpeakStarted(utterance.id)

    def _places(self, utterance: Utterance, time: int, before_ms: float) -> Iterator[PlaybackEvent]:
        for _ in range(_WORDS_PER_TICK):
            if not utterance.words or utterance.words[0].start_ms >= self._played_ms:
                break
            word = utterance.words.popleft()
            yield WordBegins(word, time + samples(max(0.0, word.start_ms - before_ms)))
        while utterance.marks and utterance.marks[0][0] <= self._played_ms:
            yield MarkReached(utterance.marks.popleft()[1], round(self._played_ms))
        if self._played_ms - self._reported_ms >= _REPORT_MS:
            self._reported_ms = self._played_ms
            yield Playback(utterance.id, round(self._played_ms))

    def _finish(self) -> Iterator[PlaybackEvent]:
        done = self._playing
        if done is not None and done.given_out and self._played_ms >= done.taken_ms:
            yield from self._end(done)

    def _end(self, utterance: Utterance) -> Iterator[PlaybackEvent]:
        played_ms = round(self._played_ms)
        self._playing = None
        while utterance.marks:
            yield MarkReached(utterance.marks.popleft()[1], played_ms)
        yield SpeakEnded(utterance.id, played_ms)
