"""Offline rendering: the live path with a file as source and a file as sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from presenter.config import AppConfig
from presenter.runtime.engine import Engine
from presenter.runtime.identities import StoredIdentity
from presenter.runtime.renderer import Renderer
from stream.files.mp4 import Mp4Writer
from stream.files.reader import AudioFile
from stream.media import VideoFrame


def render_frames(renderer: Renderer, audio: AudioFile) -> Iterator[VideoFrame]:
    """Frames for a whole recording, exactly one per chunk of 40 ms."""
    for chunk in audio.chunks():
        for _, frame in renderer.push(chunk):
            yield frame
    for _, frame in renderer.flush():
        yield frame


def render_audio(config: AppConfig, audio: AudioFile, stored: StoredIdentity, out: Path) -> int:
    """Render a recording to an MP4; the sound is encoded once, from the original samples.

    Args:
        config: Names the networks.
        audio: The recording.
        stored: Who says it.
        out: The MP4 to write; it appears whole or not at all.

    Returns:
        How many frames were written.
    """
    renderer = Engine.load(config).renderer(stored)
    out.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with Mp4Writer(out, renderer.size, audio=audio) as writer:
            for frame in tqdm(render_frames(renderer, audio), total=audio.chunk_count, unit="frame", desc=out.name):
                writer.write(frame.rgb)
                count += 1
    finally:
        renderer.close()
    return count
