"""Presenters and speaking styles: made, and listed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from presenter.api.settings import settings_of
from presenter.config import AppConfig
from presenter.errors import PresenterError
from presenter.runtime.progress import Progress

if TYPE_CHECKING:
    from presenter.runtime.identities import Entry


class Personalised(NamedTuple):
    """The outcome of a personalisation.

    Attributes:
        better: Whether the presenter has the tuned generator now; else it keeps the one it had.
        before: How like the video what it rendered was, on frames that were kept back: `psnr_db`, `ssim`, `lmd_px`
            (lips' landmarks, pixels of a frame of 512) and `sharpness` (in relation to the video's).
        after: The same of the tuned generator.
    """

    better: bool
    before: dict[str, float]
    after: dict[str, float]


def _warn(doubt: str) -> None:
    print(f"Warning: {doubt}", file=sys.stderr)


def enroll(
    photo: str | Path,
    name: str,
    *,
    consent_by: str = "",
    face: int | None = None,
    personalise: bool = False,
    config: AppConfig | str | Path = "cpu",
    progress: Progress = lambda fraction, what: None,
    warn: Callable[[str], None] = _warn,
) -> str:
    """Make a presenter from a photo or a video.

    Args:
        photo: One frontal face, well lit: JPEG, PNG, WebP or AVIF; or 10 to 60 s of one person, first with closed lips,
            then talking: MP4, MOV, WebM or MKV.
        name: What to call the presenter.
        consent_by: Who agreed to be shown; kept with the presenter, and when.
        face: Which of several faces in a photo, counted from the left from 1.
        personalise: Learn the mouth of the person in the video, which takes up to ten minutes; if it was interrupted,
            the same call continues.
        config: A preset's name, a YAML file, or settings.
        progress: Called with the share that is done, 0..1, and what is being done.
        warn: Called with each warning about what is used nevertheless; prints it by default.

    Returns:
        The name under which it is stored.

    Raises:
        EnrollError: If the name, the photo or the video can't be used; says why.
    """
    from presenter.enroll.enrolment import can_continue, enroll_presenter
    from presenter.runtime.identities import IdentityStore
    from presenter.runtime.names import check_name

    settings = settings_of(config)
    store = IdentityStore(settings.presenters_dir)
    taken = store.taken_names()
    if personalise and can_continue(store, name, Path(photo)):
        taken.discard(name)
    checked = check_name(name, taken)
    enroll_presenter(
        store,
        settings.engine,
        Path(photo),
        checked,
        progress,
        consent_by=consent_by,
        face=face,
        personalise=personalise,
        warn=warn,
    )
    return checked


def personalise(
    name: str,
    *,
    sheet: str | Path | None = None,
    config: AppConfig | str | Path = "cpu",
    progress: Progress = lambda fraction, what: None,
) -> Personalised:
    """Learn the mouth of a presenter from the frames that are kept of its video; keep what was learnt if it is better.

    Takes up to ten minutes; if it was interrupted, the same call continues. Afterwards the frames are deleted.

    Args:
        name: The presenter's.
        sheet: Where to write mouths as filmed, before and after, a JPEG; None for nowhere.
        config: A preset's name, a YAML file, or settings.
        progress: Called with the share that is done, 0..1, and what is being done.

    Raises:
        IdentityNotFoundError: If there is none of this name.
        EnrollError: If no frames of a video are kept, or the training fails.
    """
    from presenter.enroll.personal import personalise_presenter
    from presenter.runtime.identities import IdentityStore

    settings = settings_of(config)
    store = IdentityStore(settings.presenters_dir)
    if sheet is not None and Path(sheet).suffix.lower() not in (".jpg", ".jpeg"):
        raise PresenterError(f"{sheet}: expected a name that ends in .jpg")
    done = personalise_presenter(store, settings.engine, store.entry(name).name, progress)
    if sheet is not None:
        Path(sheet).write_bytes(done.sheet)
    return Personalised(done.better, done.figures["before"], done.figures["after"])


def make_style(
    clip: str | Path, name: str, *, config: AppConfig | str | Path = "cpu", progress: Progress | None = None
) -> str:
    """Keep the speaking style of the person in a video under a name; returns the name as it is stored.

    Args:
        clip: A video of a person who talks, a few seconds to a minute; with or without sound.
        name: What to call the style.
        config: A preset's name, a YAML file, or settings.
        progress: As of `render`.

    Raises:
        EnrollError: If the name can't be used, or is taken.
        MediaError: If the video shows no face that can be used, or too little speech.
        MediaFileError: If it can't be read.
    """
    from presenter.runtime.names import check_name
    from presenter.runtime.networks import load_networks
    from presenter.runtime.styles import StyleStore
    from presenter.video.speaking_style import style_of_clip

    settings = settings_of(config)
    store = StyleStore(settings.presenters_dir)
    check_name(name, store.names(), "speaking style")  # before the work
    style = style_of_clip(Path(clip), load_networks(settings.engine).syncformer, progress)
    return store.save(name, style, Path(clip).name)


def presenters(config: AppConfig | str | Path = "cpu") -> list[Entry]:
    """All presenters on disk, the damaged too."""
    from presenter.runtime.identities import IdentityStore

    return IdentityStore(settings_of(config).presenters_dir).entries()
