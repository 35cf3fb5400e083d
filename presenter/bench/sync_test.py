"""A sync-test renderer instead of a presenter: white during a beep, so that sound and picture can be compared.

It goes the whole way of a presenter: session, playout, encoders, network, browser. `presenter bench voice` and a test
look at it to tell how far sound and picture are apart.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from typing import Any, cast

import numpy as np

from presenter.bench.beeps import LOUD
from presenter.config import AppConfig, ServerConfig
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server.app import create_app, serve_forever
from stream.media import CHUNK_SAMPLES, AudioChunk, VideoFrame, silence

SIZE = 256

_LOOK_AHEAD = 2  # chunks, as a presenter's


class SyncTestRenderer:
    """What `presenter.runtime.renderer.Renderer` is to a session."""

    latency_samples = _LOOK_AHEAD * CHUNK_SAMPLES
    size = (SIZE, SIZE)
    matte = False

    def __init__(self) -> None:
        """Start without input."""
        self._waiting: deque[AudioChunk] = deque()
        rng = np.random.default_rng(0)
        # A little noise, so that an encoder has something to send in every frame.
        self._dark = rng.integers(20, 60, (SIZE, SIZE, 3)).astype(np.uint8)
        self._shown = 0

    def push(self, chunk: AudioChunk) -> list[tuple[AudioChunk, VideoFrame]]:
        """Process a chunk; give the one before the look-ahead with its picture."""
        return [(heard, VideoFrame(self._picture(heard), heard.pts)) for heard in self.skip(chunk)]

    def skip(self, chunk: AudioChunk) -> list[AudioChunk]:
        """Process a chunk and give the one before the look-ahead."""
        self._waiting.append(chunk)
        return [self._waiting.popleft()] if len(self._waiting) > _LOOK_AHEAD else []

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Continue with silence."""
        self._waiting.clear()
        for _ in range(_LOOK_AHEAD):
            self._waiting.append(silence(pts))
            pts += CHUNK_SAMPLES
        return pts

    def close(self) -> None:
        """Nothing to give back."""

    def _picture(self, chunk: AudioChunk) -> np.ndarray[Any, np.dtype[np.uint8]]:
        if np.abs(chunk.voice.astype(np.int32)).max() >= LOUD:
            return np.full((SIZE, SIZE, 3), 255, np.uint8)
        self._shown += 1
        return np.roll(self._dark, self._shown, axis=1)


class _Props:
    """Lends sync-test renderers, as an engine lends renderers."""

    def renderer(self, _: object) -> SyncTestRenderer:
        return SyncTestRenderer()


def main() -> None:
    """Serve sync-test renderer: `python -m presenter.bench.sync_test PORT FOLDER`."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    config = AppConfig(server=ServerConfig(port=port, max_sessions=4))
    app = create_app(cast(Engine, _Props()), IdentityStore(folder), config)
    asyncio.run(serve_forever(app, "127.0.0.1", port, lambda url: print(url, flush=True)))


if __name__ == "__main__":
    main()
