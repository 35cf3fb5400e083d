"""Speech that may arrive faster than real time: buffered, bounded, cut into chunks on demand.

A TTS sends a sentence in a fraction of its duration. `SpeechQueue` stores audio as received and
resamples only what the renderer requests, so that a long message never blocks the event loop. Reading never
blocks: a sender is told how much more fits (credit), and what does not fit is refused as a whole.

Not thread-safe: it belongs to the event loop.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.clock import ms
from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, SAMPLE_RATE, AudioChunk, Int16Array, silence
from stream.pcm.chunker import MAX_RATE, MIN_RATE, Chunker
from stream.wire import WireError, Word

_PIECE_MS = 200  # resampled at a time
_REMEMBERED = 64  # utterances kept, for late words, marks and audio
_MAX_WORDS, _MAX_MARKS = 5000, 256  # waiting in one utterance


class SpeechFullError(StreamError):
    """There is no room for this much speech now."""


@dataclass(slots=True, eq=False)
class Utterance:
    """One utterance: audio, and the words and marks at positions in it. Times in ms from its start."""

    id: str
    rate: int
    ended: bool = False
    """No more sound will be added."""
    received: int = 0
    """Samples at `rate` that have come."""
    begun_ms: float = 0.0
    """Where it continues from, if it was taken to have ended before."""
    taken: bool = False
    """Whether any of it was taken."""
    taken_ms: float = 0.0
    """Sound taken as chunks, without the silence that fills the last one."""
    marks: deque[tuple[float, str]] = field(default_factory=deque)
    """Names to be reported when `played_ms` has reached their position."""
    words: deque[Word] = field(default_factory=deque)
    """Words not yet reported."""

    @property
    def received_ms(self) -> float:
        """Sound that has come, in ms."""
        return 1000 * self.received / self.rate

    @property
    def given_out(self) -> bool:
        """Whether the utterance has ended and all of it was taken."""
        return self.ended and self.taken and self.taken_ms >= self.received_ms


@dataclass(frozen=True, slots=True, eq=False)
class SpeechChunk:
    """The next 40 ms to play, and their position in the utterance."""

    chunk: AudioChunk
    utterance: Utterance
    start_ms: float
    length_ms: float
    """40; less in the last chunk of an utterance, which is filled up with silence; 0 in an utterance without sound."""


class _Source:
    """The sound of one utterance, not yet chunked."""

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance
        self._chunker = Chunker()
        self._pieces: deque[Int16Array] = deque()
        self._chunks: deque[AudioChunk] = deque()
        self._flushed = False

    def add(self, pcm: Int16Array) -> None:
        size = self.utterance.rate * _PIECE_MS // 1000
        self._pieces.extend(pcm[at : at + size] for at in range(0, len(pcm), size))
        self.utterance.received += len(pcm)
        self._flushed = False

    def prepare(self, count: int) -> int:
        """Make up to `count` chunks; return how many there are."""
        while len(self._chunks) < count and self._pieces:
            self._chunks.extend(self._chunker.push(self._pieces.popleft(), self.utterance.rate))
        if len(self._chunks) < count and self.utterance.ended:
            self.flush()
            if not self._chunks and not self.utterance.taken:
                # Without audio there are still a beginning and an end to report, in order.
                self._chunks.append(silence(0))
        return len(self._chunks)

    def flush(self) -> None:
        """Complete the last chunk with silence; sound may still follow."""
        if not self._flushed and not self._pieces:
            self._chunks.extend(self._chunker.flush())
            self._flushed = True

    def take(self) -> SpeechChunk:
        utterance, start_ms = self.utterance, self.utterance.taken_ms
        last = self._flushed and len(self._chunks) == 1
        length_ms = min(ms(CHUNK_SAMPLES), utterance.received_ms - start_ms) if last else ms(CHUNK_SAMPLES)
        utterance.taken_ms = utterance.received_ms if last else start_ms + length_ms
        utterance.taken = True
        return SpeechChunk(self._chunks.popleft(), utterance, start_ms, length_ms)


class SpeechQueue:
    """Utterances in the order in which they began."""

    def __init__(self, limit_ms: float = 300_000.0) -> None:
        """Hold at most `limit_ms` of speech that was not taken yet."""
        self.limit_ms = limit_ms
        self._sources: deque[_Source] = deque()
        self._recent: deque[Utterance] = deque(maxlen=_REMEMBERED)
        self._ignored: deque[str] = deque(maxlen=_REMEMBERED)
        self._numbers = itertools.count(1)

    @property
    def buffered_ms(self) -> float:
        """Speech that waits, in ms."""
        return sum(source.utterance.received_ms - source.utterance.taken_ms for source in self._sources)

    @property
    def free_ms(self) -> float:
        """How much more fits: the sender's credit, in ms."""
        return max(0.0, self.limit_ms - self.buffered_ms)

    @property
    def open(self) -> bool:
        """Whether an utterance has begun that has not ended: more sound is expected."""
        return any(not source.utterance.ended for source in self._sources)

    def push(self, pcm: npt.NDArray[np.int16], rate: int, utterance: str | None = None) -> None:
        """Add sound to an utterance, which begins with it; without an id, to the present one or a new one.

        Sound for an utterance that was interrupted is ignored: it was in transit then.

        Args:
            pcm: int16 `[N]` or `[N, C]` with C of 1 or 2, any N.
            rate: samples per second, 8000..192000; the same within an utterance.
            utterance: the caller's id.

        Raises:
            SpeechFullError: if it does not fit; nothing of it is kept.
            StreamError: if type, shape or rate can't be used, or the rate changes within the utterance.
        """
        if pcm.dtype != np.int16 or pcm.ndim not in (1, 2) or (pcm.ndim == 2 and pcm.shape[1] not in (1, 2)):
            raise StreamError(f"speech: expected int16 [N], [N, 1] or [N, 2], got {pcm.dtype.name} {list(pcm.shape)}")
        if not MIN_RATE <= rate <= MAX_RATE:
            raise StreamError(f"speech: expected a rate of {MIN_RATE}..{MAX_RATE} Hz, got {rate} Hz")
        if utterance in self._ignored or not len(pcm):
            return
        length_ms = 1000 * len(pcm) / rate
        if length_ms > self.free_ms:
            raise SpeechFullError(
                f"speech: expected at most {self.free_ms:.0f} ms now (credit), got {length_ms:.0f} ms"
            )
        source = self._find(utterance) or self._begin(utterance, rate)
        if source.utterance.rate != rate:
            raise StreamError(
                f"utterance {source.utterance.id}: expected {source.utterance.rate} Hz as before, got {rate} Hz"
            )
        # The output is mono: two channels are averaged here, so that their number may change within an utterance.
        source.add(pcm if pcm.ndim == 1 else np.round(pcm.mean(axis=1)).astype(np.int16))

    def end(self, utterance: str | None = None) -> None:
        """Note that an utterance is complete; without an id, the present one.

        One without sound begins and ends in order, as 40 ms of silence. One that was interrupted, or
        has ended before, is ignored.
        """
        if (source := self._find(utterance)) is not None:
            source.utterance.ended = True
        elif utterance is not None and utterance not in self._ignored and self.recent(utterance) is None:
            self._append(Utterance(utterance, SAMPLE_RATE, ended=True))

    def begin(self, utterance: str) -> None:
        """Begin a new utterance of this name, also if one of the same name was interrupted."""
        if (source := self._find(utterance)) is not None:
            source.utterance.ended = True
        self._ignored = deque((known for known in self._ignored if known != utterance), _REMEMBERED)
        self._recent = deque((known for known in self._recent if known.id != utterance), _REMEMBERED)

    def recent(self, utterance: str | None = None) -> Utterance | None:
        """Return one of the latest utterances, also when all of it was taken; without an id, the latest."""
        wanted = (known for known in reversed(self._recent) if utterance in (None, known.id))
        return next(wanted, None)

    def add_words(self, words: Iterable[Word], utterance: str | None = None) -> None:
        """Add words with their times; those of an unknown utterance are ignored.

        Raises:
            WireError: if too many words wait already.
        """
        if (known := self.recent(utterance)) is None:
            return
        added = list(words)
        if len(known.words) + len(added) > _MAX_WORDS:
            raise WireError("too_many", f"{len(known.words) + len(added)} words wait", f"at most {_MAX_WORDS}")
        known.words.extend(added)

    @staticmethod
    def add_mark(utterance: Utterance, name: str) -> None:
        """Tie a name to the end of what an utterance has received.

        Raises:
            WireError: if too many marks wait already.
        """
        if len(utterance.marks) >= _MAX_MARKS:
            raise WireError("too_many", f"{_MAX_MARKS} marks wait", f"at most {_MAX_MARKS}")
        utterance.marks.append((utterance.received_ms, name))

    def has(self, count: int) -> bool:
        """Whether `count` chunks can be taken now."""
        found = 0
        for source in self._sources:
            found += source.prepare(count - found)
            if found >= count:
                return True
        return False

    def take(self) -> SpeechChunk | None:
        """Return the next chunk, or None if there is none yet."""
        while self._sources:
            head = self._sources[0]
            if head.prepare(1):
                return head.take()
            if any(source.utterance.received for source in list(self._sources)[1:]):
                head.utterance.ended = True  # another one has begun
                if head.prepare(1):
                    continue
            if not head.utterance.ended:
                return None
            self._sources.popleft()
        return None

    def flush(self) -> None:
        """Release the last part of a chunk: the sender paused, and what it has sent should be played."""
        if self._sources:
            self._sources[0].flush()

    def clear(self) -> list[str]:
        """Interrupt: drop all that was not taken, and what still arrives for it; returns the ids."""
        dropped = [source.utterance.id for source in self._sources]
        for name in dropped:
            self.drop(name)
        return dropped

    def drop(self, utterance: str) -> None:
        """Drop one utterance as `clear` drops all, also if none of it has arrived yet."""
        for source in [source for source in self._sources if source.utterance.id == utterance]:
            source.utterance.ended = True
            self._sources.remove(source)
        self._recent = deque((known for known in self._recent if known.id != utterance), _REMEMBERED)
        self._ignored.append(utterance)

    def _find(self, utterance: str | None) -> _Source | None:
        wanted = (s for s in reversed(self._sources) if not s.utterance.ended and utterance in (None, s.utterance.id))
        return next(wanted, None)

    def _begin(self, utterance: str | None, rate: int) -> _Source:
        begun = Utterance(utterance or f"unnamed-{next(self._numbers)}", rate)
        if utterance is not None and (earlier := self.recent(utterance)) is not None and earlier.rate == rate:
            # It was taken to have ended, and continues: so do its positions.
            begun.received, begun.begun_ms, begun.taken_ms = earlier.received, earlier.received_ms, earlier.received_ms
        return self._append(begun)

    def _append(self, utterance: Utterance) -> _Source:
        source = _Source(utterance)
        self._sources.append(source)
        self._recent.append(utterance)
        return source
