"""The speaking style of a person in a video: how they move the mouth, from the tracked face.

Source: ReSyncer (ECCV 2024): the style comes from a person's own facial dynamics, and moves any other face.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from models.identity import SpeakingStyle
from models.mesh import Floats, aperture, topology
from models.syncformer import StyleSyncFormer
from presenter.config import AppConfig
from presenter.errors import MediaError, StyleNotFoundError
from presenter.runtime.networks import load_networks
from presenter.runtime.progress import Progress, tracked
from presenter.runtime.styles import StyleStore
from presenter.video.face_track import Face, track_face
from stream.files.reader import TimedFrame, iter_video, video_format
from stream.media import FPS

MIN_SECONDS = 2
"""Of speech that a style needs; a few seconds already say how far someone opens the mouth, half a minute is better."""
_TALKS = 0.01  # standard deviation of the lip opening within a second of speech, inter-ocular distances


def speaking_style(faces: list[Face | None], neutral: Floats, network: StyleSyncFormer) -> SpeakingStyle | None:
    """The style of a tracked person; None where there is too little speech.

    Args:
        faces: Of each frame, 25 a second.
        neutral: The person's closed-mouth mesh `[478, 3]`.
        network: Its encoder and its basis are used.
    """
    talking: list[Floats] = []
    for start in range(0, len(faces), FPS):
        meshes = [face.mesh for face in faces[start : start + FPS] if face is not None]
        if len(meshes) > FPS // 2 and float(np.std(aperture(np.stack(meshes)))) > _TALKS:
            talking += meshes
    if len(talking) < MIN_SECONDS * FPS:
        return None
    displacement = (np.stack(talking) - neutral) * topology().lower_face[:, None]
    return SpeakingStyle(network.speaking_style(displacement.astype(np.float32)))


def style_of_clip(clip: Path, network: StyleSyncFormer, progress: Progress | None = None) -> SpeakingStyle:
    """The style of the largest face of a video.

    Raises:
        MediaError: If it shows no face that can be used, or too little speech.
        MediaFileError: If it can't be read.
    """
    timing = video_format(clip)
    total = timing.frames and round(timing.frames / timing.rate * FPS)
    timed = (TimedFrame(rgb, Fraction(k, FPS)) for k, rgb in enumerate(iter_video(clip)))
    try:
        track = track_face(tracked(timed, total, f"tracking {clip.name}", progress))
    except MediaError as error:
        raise MediaError(f"{clip}: {error}") from error
    style = speaking_style(track.faces, track.neutral, network)
    if style is None:
        raise MediaError(
            f"{clip}: expected at least {MIN_SECONDS} s of a person who talks, found less; use a longer clip"
        )
    return style


def find_style(config: AppConfig, name_or_clip: str, progress: Progress | None = None) -> SpeakingStyle:
    """Return a style by its name, or that of a video.

    Raises:
        StyleNotFoundError: If it is neither.
        MediaError: If the video can't be used.
    """
    store = StyleStore(config.presenters_dir)
    try:
        return store.load(name_or_clip).style
    except StyleNotFoundError as error:
        if not Path(name_or_clip).is_file():
            known = ", ".join(store.names()) or "none"
            raise StyleNotFoundError(
                f"expected a speaking style ({known}) or a video, found no {name_or_clip!r}"
            ) from error
    return style_of_clip(Path(name_or_clip), load_networks(config.engine).syncformer, progress)
