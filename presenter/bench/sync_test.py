"""A renderer for sync tests instead of a presenter: its frame is white while there is a beep.

It takes the whole path of a presenter: session, playout, encoders, network, browser. `presenter bench voice` and a test
measure the offset of audio and video by it.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from models.head_motion import HeadMotion, IdleMotion
from models.identity import SpeakingStyle
from models.matting import MattingError
from presenter.bench.beeps import LOUD
from presenter.config import AppConfig, ServerConfig
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity
from presenter.server.app import create_app, serve_forever
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame, silence

SIZE = 256

_LOOK_AHEAD = 2  # chunks, as a presenter's


class SyncTestRenderer:
    """A `FrameRenderer` without a face: noise, or white while its chunk beeps."""

    latency_samples = _LOOK_AHEAD * CHUNK_SAMPLES
    size = (SIZE, SIZE)
    matte = False

    def __init__(self) -> None:
        """Process nothing yet."""
        self.motion: HeadMotion = IdleMotion()
        self.speaking_style: SpeakingStyle | None = None
        self._waiting: deque[AudioChunk] = deque()
        rng = np.random.default_rng(0)
        # A little noise, so that an encoder has something to send in every frame.
        self._dark = rng.integers(20, 60, (SIZE, SIZE, 3)).astype(np.uint8)
        self._shown = 0

    def advance(self, chunk: AudioChunk) -> list[tuple[AudioChunk, RenderFrame]]:
        """Process a chunk; return the one before the look-ahead."""
        self._waiting.append(chunk)
        if len(self._waiting) <= _LOOK_AHEAD:
            return []
        complete = self._waiting.popleft()
        return [(complete, lambda **_: VideoFrame(self._picture(complete), complete.pts))]

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Continue with silence."""
        self._waiting.clear()
        for _ in range(_LOOK_AHEAD):
            self._waiting.append(silence(pts))
            pts += CHUNK_SAMPLES
        return pts

    def add_matte(self) -> None:
        """Refuse: there is no face to cut out."""
        raise MattingError("expected a presenter, got the sync test's renderer, which has no matte")

    def remove_matte(self) -> None:
        """Nothing to change: there is never a matte."""

    def take_over(self, other: FrameRenderer) -> None:
        """Continue where another one stops."""
        if not isinstance(other, SyncTestRenderer):
            raise TypeError(f"take_over: expected a SyncTestRenderer, got {type(other).__name__}")
        self._waiting = other._waiting

    def close(self) -> None:
        """Nothing to release."""

    def _picture(self, chunk: AudioChunk) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if np.abs(chunk.audio.astype(np.int32)).max() >= LOUD:
            return np.full((SIZE, SIZE, 3), 255, np.uint8)
        self._shown += 1
        return np.roll(self._dark, self._shown, axis=1)


class _SyncTestPool:
    """Provides sync-test renderers, as an engine provides renderers."""

    slots = None
    is_full = False

    def renderer(
        self, _: StoredIdentity, *, framing: Framing = DEFAULT_FRAMING, replaces: bool = False
    ) -> SyncTestRenderer:
        return SyncTestRenderer()


def main() -> None:
    """Serve the sync test: `python -m presenter.bench.sync_test PORT FOLDER`."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    config = AppConfig(server=ServerConfig(port=port))
    app = create_app(_SyncTestPool(), IdentityStore(folder), config)
    asyncio.run(serve_forever(app, "127.0.0.1", port, lambda url: print(url, flush=True)))


if __name__ == "__main__":
    main()
