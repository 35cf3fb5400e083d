"""Offline rendering: the live path with a file as source and a file as sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from presenter.config import AppConfig
from presenter.engine import Engine
from presenter.errors import IdentityNotFoundError
from presenter.identities import IdentityStore, StoredIdentity
from presenter.networks import load_networks
from presenter.renderer import Renderer
from stream.files import AudioFile, read_audio
from stream.media import VideoFrame
from stream.mp4 import Mp4Writer


def render_frames(renderer: Renderer, audio: AudioFile) -> Iterator[VideoFrame]:
    """Frames for a whole recording, exactly one per chunk of 40 ms."""
    for chunk in audio.chunks():
        for _, frame in renderer.push(chunk):
            yield frame
    for _, frame in renderer.flush():
        yield frame


def find_presenter(config: AppConfig, name_or_photo: str) -> StoredIdentity:
    """A presenter by name, or one made from a photo for this once.

    Raises:
        IdentityNotFoundError: If it is neither.
        EnrollError: If the photo can't be used.
    """
    store = IdentityStore(config.presenters_dir, config.engine)
    if name_or_photo in store.names():
        return store.load(name_or_photo)
    path = Path(name_or_photo)
    if not path.is_file():
        raise IdentityNotFoundError(
            f"expected a presenter ({', '.join(store.names())}) or a photo, found no {name_or_photo!r}"
        )
    from presenter.photo import enroll_photo  # brings the tracker

    networks = load_networks(config.engine)
    return StoredIdentity(enroll_photo(path, path.stem, lambda fraction, message: None, networks), None)


def render_file(config: AppConfig, audio_path: Path, name_or_photo: str, out: Path) -> int:
    """Render a recording to an MP4; the voice is encoded once, from the original samples.

    Args:
        config: Which networks and presenters.
        audio_path: Any file with sound.
        name_or_photo: A presenter's name, or a photo.
        out: The MP4 to write; it appears whole or not at all.

    Returns:
        How many frames were written.
    """
    return render_audio(config, read_audio(audio_path), name_or_photo, out)


def render_audio(config: AppConfig, audio: AudioFile, name_or_photo: str, out: Path) -> int:
    """Render sound that is already in memory; otherwise as `render_file`."""
    stored = find_presenter(config, name_or_photo)
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
