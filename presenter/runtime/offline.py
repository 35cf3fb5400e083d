"""Offline rendering: the live path with a file as source and a file as sink."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from presenter.runtime.engine import Engine
from presenter.runtime.framing import DEFAULT_FRAMING, Film, Framing
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.output import Output
from presenter.runtime.progress import Progress, tracked
from presenter.runtime.renderer import Renderer
from stream.files.movie import SoundFormat
from stream.files.reader import Sound
from stream.media import FPS, FloatArray, VideoFrame
from stream.pcm.chunker import Chunker


def render_frames(
    renderer: Renderer, sound: Sound, keep: Callable[[FloatArray], None] = lambda piece: None
) -> Iterator[VideoFrame]:
    """Frames for a whole recording, exactly one per chunk of 40 ms.

    Args:
        renderer: Fresh; it is flushed at the end.
        sound: The recording, taken piece by piece.
        keep: Called with each piece before its frames.
    """
    chunker = Chunker()
    for piece in sound.pieces():
        keep(piece)
        for chunk in chunker.push(piece.T, sound.rate):
            yield from (frame for _, frame in renderer.push(chunk))
    for chunk in chunker.flush():
        yield from (frame for _, frame in renderer.push(chunk))
    yield from (frame for _, frame in renderer.flush())


def render_audio(
    engine: Engine,
    sound: Sound,
    stored: StoredIdentity,
    out: Output,
    progress: Progress | None = None,
    framing: Framing = DEFAULT_FRAMING,
) -> int:
    """Render a recording to a film; the sound is encoded once, from the original samples.

    Args:
        engine: Makes the renderer.
        sound: The recording; read in pieces, so that memory does not depend on its length.
        stored: The presenter.
        out: The output; a file is written atomically.
        progress: Called after each frame; None draws a bar on the terminal.
        framing: How the presenter is shown.

    Returns:
        How many frames were written.

    Raises:
        MediaFileError: If the recording can't be decoded or the film can't be written.
        MattingError: If the background is to be replaced and there is no matte and none can be made.
    """
    renderer = engine.renderer(stored, framing=framing)
    total = None if sound.duration_s is None else math.ceil(sound.duration_s * FPS)
    count = 0
    try:
        audio = SoundFormat(sound.rate, sound.channels)
        with Film(out, framing, renderer.size, audio, sound.duration_s, renderer.add_matte) as film:
            frames = render_frames(renderer, sound, film.write_sound)
            name = "stdout" if out.path is None else out.path.name
            for frame in tracked(frames, total, name, progress):
                film.write(frame)
                count += 1
    finally:
        renderer.close()
    return count
