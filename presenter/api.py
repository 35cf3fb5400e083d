"""The verbs of the command line as functions; the command line itself calls them.

    from presenter import api

    api.enroll("ada.jpg", "Ada", consent_by="Ada L.")
    api.render("speech.wav", "ada.mp4", presenter="Ada")
    api.render("speech.wav", "dubbed.mp4", video="talk.mp4")

Each function blocks until its work is done; heavy packages are imported by the first call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from presenter.config import AppConfig, load_config
from presenter.errors import PresenterError
from presenter.runtime.output import prepare_output
from presenter.runtime.progress import Progress

if TYPE_CHECKING:
    from presenter.runtime.identities import Entry
    from presenter.runtime.output import Output

__all__ = ["Rendered", "Spoken", "enroll", "presenters", "render", "say"]

_TRACKING = 0.3  # share of the time that tracking a driver takes


@dataclass(frozen=True)
class Rendered:
    """A film that was written.

    Attributes:
        out: Where.
        frames: How many.
        unchanged: Frames of the video that stay as they are, by reason.
    """

    out: Output
    frames: int
    unchanged: dict[str, int]

    def __str__(self) -> str:
        """One line for the user."""
        if not self.unchanged:
            return f"{self.out}: {self.frames} frames"
        why = ", ".join(f"{count} {reason}" for reason, count in self.unchanged.items())
        return f"{self.out}: {self.frames} frames; of the video's frames left as they are: {why}"


@dataclass(frozen=True)
class Spoken:
    """A text that was spoken.

    Attributes:
        out: Where.
        seconds: Of speech.
    """

    out: Output
    seconds: float

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.out}: {self.seconds:.1f} s of speech"


def render(
    audio: str | Path | None,
    out: str | Path,
    *,
    presenter: str = "default",
    video: str | Path | None = None,
    driving: str | Path | None = None,
    driving_head: bool = False,
    face_index: int | None = None,
    loop: bool = False,
    audio_stream: int | None = None,
    overwrite: bool = False,
    config: AppConfig | str | Path = "cpu",
    progress: Progress | None = None,
    confirm: Callable[[str], bool] = lambda problem: False,
) -> Rendered:
    """Render a presenter, or the person in a video: a recording moves the mouth, or another person's face does.

    Args:
        audio: Any file with sound; None for that of `driving`.
        out: A name in `.mp4`, `.mov` or `.webm`, or, without `video`, pictures (`frames/`, `frame_%05d.png`) or `-`.
        presenter: A presenter's name, or a photo.
        video: Show this video instead, its mouth moved.
        driving: A video of a person whose mouth, jaw and cheeks move the face, instead of the recording.
        driving_head: Whether the driver's head and eyelids move the presenter's as well; not with `video`.
        face_index: Whose face of the video, counted from 0 by size; None for the largest.
        loop: Play the video back and forth until the motion ends; else the film ends with the video.
        audio_stream: Which sound of the file, counted from 1; None for what players choose.
        overwrite: Whether a file of that name is replaced.
        config: A preset's name, a YAML file, or settings.
        progress: Called with the share that is done, 0..1; None draws a bar on the terminal.
        confirm: Asks whether an existing file may be replaced.

    Raises:
        PresenterError: If the presenter, the photo, a video or the output can't be used; says why.
        MediaFileError: If a file can't be read or written.
    """
    from stream.files.reader import Recording, Sound

    settings = _settings(config)
    read = [Path(name) for name in (audio, presenter, video, driving) if name is not None]
    target = prepare_output(_name(out), [*read, *_file(config)], overwrite=overwrite, confirm=confirm)
    if audio is None and driving is None:
        raise PresenterError("expected a recording (--audio) or a driver (--driving), got neither")
    if video is not None:
        _check_resync(target, face_index, driving_head)
    recording = None if audio is None else Recording(Path(audio), stream=audio_stream)

    # Slow to import: what is wrong with the files is said first.
    from presenter.enroll.enrolment import find_presenter
    from presenter.runtime.engine import Engine
    from presenter.runtime.offline import render_audio
    from presenter.video.driving import render_driven, sound_of, track_driver
    from presenter.video.motion import MouthMotion, SpeechMotion
    from presenter.video.resync import resync_video

    stored = None if video is not None else find_presenter(settings, presenter)
    engine = Engine.load(settings)
    if driving is None:
        assert recording is not None
        if stored is not None:
            return Rendered(target, render_audio(engine, recording, stored, target, progress), {})
        motion: MouthMotion = SpeechMotion(engine.syncformer, recording, engine.device)
        sound: Sound = recording
        span = 0.0, 1.0
    else:
        motion = driven = track_driver(Path(driving), progress, (0.0, _TRACKING))
        sound = recording or sound_of(Path(driving), driven.duration)
        span = _TRACKING, 1.0
        if stored is not None:
            count = render_driven(
                engine, stored, driven, sound, target, head=driving_head, progress=progress, span=span
            )  # fmt: skip
            return Rendered(target, count, {})
    assert video is not None
    assert target.path is not None
    frames, unchanged = resync_video(
        engine, Path(video), motion, sound, target.path,
        face_index=face_index, loop=loop, overwrite=target.overwrite, progress=progress, span=span,
    )  # fmt: skip
    return Rendered(target, frames, unchanged)


def _check_resync(out: Output, face_index: int | None, driving_head: bool) -> None:
    from stream.files.movie import MOVIE_SUFFIXES

    if out.path is None or out.path.suffix.lower() not in MOVIE_SUFFIXES:
        raise PresenterError(f"{out}: with a video, expected a name in {', '.join(MOVIE_SUFFIXES)}")
    if face_index is not None and face_index < 0:
        raise PresenterError(f"face index: expected 0 or more, got {face_index}")
    if driving_head:
        raise PresenterError("the head of a video stays as it is; drive a presenter's head, or leave it out")


def say(
    text: str,
    out: str | Path,
    *,
    presenter: str = "default",
    overwrite: bool = False,
    config: AppConfig | str | Path = "cpu",
    progress: Progress | None = None,
    confirm: Callable[[str], bool] = lambda problem: False,
) -> Spoken:
    """Speak a text; needs the extra `[voice]`.

    Args:
        text: In English.
        out: As of `render`, or a name in `.wav` for the sound alone.
        presenter: A presenter's name, or a photo.
        overwrite: Whether a file of that name is replaced.
        config: A preset's name, a YAML file, or settings.
        progress: As of `render`.
        confirm: Asks whether an existing file may be replaced.

    Raises:
        VoiceMissingError: If the extra is missing.
        PresenterError: If the presenter, the text or the output can't be used; says why.
        MediaFileError: If the file can't be written.
    """
    from presenter.tts.say import SOUND_SUFFIX, say_file

    read = [Path(presenter), *_file(config)]
    target = prepare_output(_name(out), read, overwrite=overwrite, others=(SOUND_SUFFIX,), confirm=confirm)
    return Spoken(target, say_file(_settings(config), text, presenter, target, progress))


def _warn(doubt: str) -> None:
    print(f"Warning: {doubt}", file=sys.stderr)


def enroll(
    photo: str | Path,
    name: str,
    *,
    consent_by: str = "",
    face: int | None = None,
    config: AppConfig | str | Path = "cpu",
    progress: Progress = lambda fraction, what: None,
    warn: Callable[[str], None] = _warn,
) -> str:
    """Make a presenter from a photo.

    Args:
        photo: One frontal face, well lit: JPEG, PNG, WebP or AVIF.
        name: What to call the presenter.
        consent_by: Who agreed to be shown; kept with the presenter, and when.
        face: Which of several faces, counted from the left from 1.
        config: A preset's name, a YAML file, or settings.
        progress: Called with the share that is done, 0..1, and what is being done.
        warn: Called with each warning about a photo that is used nevertheless; prints it by default.

    Returns:
        The name under which it is stored.

    Raises:
        EnrollError: If the name or the photo can't be used; says why.
    """
    from presenter.enroll.enrolment import enroll_presenter
    from presenter.runtime.identities import IdentityStore
    from presenter.runtime.names import check_name

    settings = _settings(config)
    store = IdentityStore(settings.presenters_dir)
    checked = check_name(name, store.taken_names())
    enroll_presenter(
        store, settings.engine, Path(photo), checked, progress, consent_by=consent_by, face=face, warn=warn
    )
    return checked


def presenters(config: AppConfig | str | Path = "cpu") -> list[Entry]:
    """All presenters on disk, the damaged too."""
    from presenter.runtime.identities import IdentityStore

    return IdentityStore(_settings(config).presenters_dir).entries()


def _settings(config: AppConfig | str | Path) -> AppConfig:
    return config if isinstance(config, AppConfig) else load_config(str(config))


def _file(config: AppConfig | str | Path) -> list[Path]:
    """The file that settings come from, which no output may replace."""
    return [] if isinstance(config, AppConfig) else [Path(config)]


def _name(out: str | Path) -> str:
    return out if isinstance(out, str) else str(out)
