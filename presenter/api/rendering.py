"""Films: of a presenter or of a video, for a recording, a driver or a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from presenter.api.settings import (
    file_of,
    fingerprint,
    framing_of,
    parts_of,
    settings_of,
    style_for,
    styled_presenter,
)
from presenter.config import AppConfig
from presenter.errors import PresenterError
from presenter.runtime.output import Output, prepare_output
from presenter.runtime.progress import Progress

_TRACKING = 0.3  # share of the time that tracking a driver takes


@dataclass(frozen=True)
class Rendered:
    """A film that was written.

    Attributes:
        out: Where.
        frames: How many.
        unchanged: Frames of the video that stay as they are, by reason.
        continued_from: How many frames an interrupted call had made.
    """

    out: Output
    frames: int
    unchanged: dict[str, int]
    continued_from: int = 0

    def __str__(self) -> str:
        """One line for the user."""
        made = f"{self.frames} frames" + (f", continued from {self.continued_from}" if self.continued_from else "")
        if not self.unchanged:
            return f"{self.out}: {made}"
        why = ", ".join(f"{count} {reason}" for reason, count in self.unchanged.items())
        return f"{self.out}: {made}; of the video's frames left as they are: {why}"


def render(
    audio: str | Path | None,
    out: str | Path,
    *,
    presenter: str = "default",
    video: str | Path | None = None,
    driving: str | Path | None = None,
    driving_parts: str | Iterable[str] = "lips",
    style: str | None = None,
    style_strength: float = 1.0,
    face: str | None = None,
    consent_by: str = "",
    face_index: int | None = None,
    loop: bool = False,
    audio_stream: int | None = None,
    size: str = "own",
    framing: str = "medium",
    background: str = "own",
    overwrite: bool = False,
    config: AppConfig | str | Path = "cpu",
    progress: Progress | None = None,
    confirm: Callable[[str], bool] = lambda problem: False,
) -> Rendered:
    """Render a presenter, or the person in a video: a recording moves the mouth, or another person's face does.

    With `face` the person in the video gets another face, with a visible label; then neither sound nor driver is
    needed, and without them mouth and sound stay the video's. A film of a video that was interrupted is continued by
    the same call; what was done lies in a hidden folder beside `out` until then.

    Args:
        audio: Any file with sound; None for that of `driving`, or of `video`.
        out: A name in `.mp4`, `.mov` or `.webm`, or, without `video`, pictures (`frames/`, `frame_%05d.png`) or `-`.
        presenter: A presenter's name, or a photo or video of someone.
        video: Show this video instead, its mouth moved.
        driving: A video of a person whose mouth, jaw and cheeks move the face, instead of the recording.
        driving_parts: What of the presenter the driver moves: `lips` (with jaw and cheeks), `brows`, `eyes` (lids and
            gaze), `head`, also several with commas between; a video keeps all but its lips. Without `lips` the
            recording moves the mouth.
        style: A speaking style by its name, or a video of whose speaker it is; None for the presenter's own.
        style_strength: 0 (neutral) to 1.5.
        face: Whose face the person in the video gets: a presenter's name, or a photo.
        consent_by: Who agreed to the use of that photo; presenters have their own record.
        face_index: Whose face of the video, counted from 0 by size; None for the largest.
        loop: Play the video back and forth until the motion ends; else the film ends with the video.
        audio_stream: Which sound of the file, counted from 1; None for what players choose.
        size: Of the picture: the presenter's own, `720p`, `1080p`, `portrait` or `WIDTHxHEIGHT`; not with `video`.
        framing: How near the presenter is: `wide`, `medium` or `close`; not with `video`.
        background: `own`, `blur`, a colour, an image file or `transparent`; not with `video`.
        overwrite: Whether a file of that name is replaced.
        config: A preset's name, a YAML file, or settings.
        progress: Called with the share that is done, 0..1; None draws a bar on the terminal.
        confirm: Asks whether an existing file may be replaced.

    Raises:
        ConsentError: If nobody's consent to the use of `face` is recorded.
        PresenterError: If the presenter, the photo, a video or the output can't be used; says why.
        MediaFileError: If a file can't be read or written.
    """
    from stream.files.reader import Recording, Sound

    settings = settings_of(config)
    read = [Path(name) for name in (audio, presenter, video, driving, style, face, background) if name is not None]
    target = prepare_output(str(out), [*read, *file_of(config)], overwrite=overwrite, confirm=confirm)
    if face is not None and video is None:
        raise PresenterError("expected a video (--video) whose person gets the face, got none")
    if audio is None and driving is None and face is None:
        raise PresenterError("expected a recording (--audio) or a driver (--driving), got neither")
    parts = parts_of(driving_parts)
    if driving is not None and "lips" not in parts and audio is None:
        raise PresenterError("expected a recording (--audio) for the mouth, which the driver does not move, got none")
    shown = framing_of(size, framing, background, target)
    if video is not None:
        _check_resync(target, face_index, parts)
        if (size, framing, background) != ("own", "medium", "own"):
            raise PresenterError("a video keeps its size and background; leave out size, framing and background")
    recording = None if audio is None else Recording(Path(audio), stream=audio_stream)

    # Slow to import: what is wrong with the files is said first.
    from presenter.enroll.enrolment import consented_face
    from presenter.runtime.engine import Engine
    from presenter.runtime.offline import render_audio
    from presenter.video.driving import render_driven, sound_of, track_driver
    from presenter.video.motion import MouthMotion, SpeechMotion
    from presenter.video.resync import resync_video

    other = None if face is None else consented_face(settings, face, consent_by)
    stored = None if video is not None else styled_presenter(settings, presenter, style, style_strength)
    engine = Engine.load(settings)
    motion: MouthMotion | None = None
    span = 0.0, 1.0
    if driving is not None:
        motion = driven = track_driver(Path(driving), progress, (0.0, _TRACKING))
        sound: Sound = recording or sound_of(Path(driving), driven.duration)
        span = _TRACKING, 1.0
        if stored is not None:
            mouth = None
            if recording is not None and "lips" not in parts:
                mouth = SpeechMotion(engine.syncformer, recording, engine.device, stored.identity.speaking_style)
            count = render_driven(
                engine, stored, driven, sound, target,
                parts=parts, mouth=mouth, progress=progress, span=span, framing=shown,
            )  # fmt: skip
            return Rendered(target, count, {})
    elif recording is not None:
        if stored is not None:
            return Rendered(target, render_audio(engine, recording, stored, target, progress, shown), {})
        wanted = style_for(settings, style, style_strength)
        motion, sound = SpeechMotion(engine.syncformer, recording, engine.device, wanted), recording
    else:
        assert video is not None
        sound = sound_of(Path(video))
    assert video is not None
    assert target.path is not None
    key = fingerprint(
        settings, [audio, video, driving], engine.backend, audio_stream, face_index, loop,
        style_for(settings, style, style_strength), other,
    )  # fmt: skip
    done = resync_video(
        engine, Path(video), motion, sound, target.path, key,
        face=other, face_index=face_index, loop=loop, overwrite=target.overwrite, progress=progress, span=span,
    )  # fmt: skip
    return Rendered(target, done.frames, done.unchanged, done.continued_from)


def _check_resync(out: Output, face_index: int | None, parts: frozenset[str]) -> None:
    from stream.files.movie import MOVIE_SUFFIXES

    if out.path is None or out.path.suffix.lower() not in MOVIE_SUFFIXES:
        raise PresenterError(f"{out}: with a video, expected a name in {', '.join(MOVIE_SUFFIXES)}")
    if face_index is not None and face_index < 0:
        raise PresenterError(f"face index: expected 0 or more, got {face_index}")
    if parts != {"lips"}:
        raise PresenterError("head, eyes and brows of a video stay as they are; drive a presenter's, or leave them out")
