"""Speaks texts in a live session with the voice built in, sentence by sentence, with captions."""

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from presenter.runtime.session import Session
from presenter.runtime.sink import Flush, SessionEvent
from presenter.tts.voice import SpokenPiece, Voice
from stream.media import Int16Array
from stream.wire import Word

PAUSE_MS = 250
"""Between two sentences."""

_FULL_S = 0.1  # between two attempts to push into a full queue
_log = logging.getLogger(__name__)


class SpeechSynthesizer:
    """The one voice of a server, loaded when it is first needed, in a thread of its own."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="voice")
        self._voice: Voice | None = None

    async def speak(self, text: str) -> Iterator[SpokenPiece]:
        """Return the pieces of a text, each to be made by `next_piece`.

        Raises:
            VoiceMissingError: if the extra `[voice]` is not installed.
            PresenterError: if the text can't be spoken.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._begin, text)

    async def next_piece(self, pieces: Iterator[SpokenPiece]) -> SpokenPiece | None:
        """Synthesise the next sentence; None after the last."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, next, pieces, None)

    def _begin(self, text: str) -> Iterator[SpokenPiece]:
        if self._voice is None:
            self._voice = Voice.load()
        return self._voice.speak(text)

    def close(self) -> None:
        """End the thread after its present job; safe twice."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class TextSpeaker:
    """Speaks texts in one session, one after the other; an interrupt drops the queued ones too."""

    def __init__(self, session: Session, synthesizer: SpeechSynthesizer) -> None:
        """Begin without a text."""
        self._session = session
        self._synthesizer = synthesizer
        self._flushes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        session.subscribe(self._follow)

    async def say(self, text: str) -> str:
        """Begin to speak a text; returns the id of its utterance.

        Raises:
            VoiceMissingError: if the extra `[voice]` is not installed.
            PresenterError: if the text can't be spoken.
        """
        flushes = self._flushes
        pieces = await self._synthesizer.speak(text)
        utterance = f"text-{secrets.token_hex(4)}"
        if flushes != self._flushes:
            return utterance  # interrupted while the voice was being loaded
        task = asyncio.create_task(self._push(pieces, utterance))
        self._tasks.add(task)
        task.add_done_callback(partial(self._finish, utterance))
        return utterance

    async def _push(self, pieces: Iterator[SpokenPiece], utterance: str) -> None:
        said_ms = 0.0
        async with self._turn:
            piece = await self._synthesizer.next_piece(pieces)
            while piece is not None:
                following = await self._say_piece(piece, pieces, utterance, said_ms)
                said_ms += 1000 * len(piece.pcm) / piece.rate + PAUSE_MS
                piece = following

    async def _say_piece(
        self, piece: SpokenPiece, pieces: Iterator[SpokenPiece], utterance: str, at_ms: float
    ) -> SpokenPiece | None:
        """Push one sentence, and synthesise the next one while it plays; a pause follows if there is a next one."""
        words = [Word(w.text, round(at_ms + w.start_ms), round(at_ms + w.end_ms)) for w in piece.words]
        await self._put(piece.pcm, piece.rate, utterance, words)
        following = await self._synthesizer.next_piece(pieces)
        if following is not None:
            await self._put(np.zeros(piece.rate * PAUSE_MS // 1000, np.int16), piece.rate, utterance)
        return following

    async def _put(self, pcm: Int16Array, rate: int, utterance: str, words: Iterable[Word] = ()) -> None:
        """Push audio with its words as the queue has room: a sentence may be longer than the queue's limit."""
        while len(pcm):
            fits = int(self._session.free_ms * rate / 1000)
            if not fits:
                await asyncio.sleep(_FULL_S)
                continue
            self._session.push(pcm[:fits], rate, utterance)
            self._session.add_words(words, utterance)
            pcm, words = pcm[fits:], ()

    def _follow(self, event: SessionEvent) -> None:
        if isinstance(event, Flush):
            self.stop()

    def stop(self) -> None:
        """Drop the texts that are playing, being synthesised or queued."""
        self._flushes += 1
        for task in self._tasks:
            task.cancel()

    def _finish(self, utterance: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return  # an interrupt has dropped the utterance, or the session has ended
        self._session.end(utterance)
        if (error := task.exception()) is not None:
            _log.error("a text could not be said to its end", exc_info=error)
