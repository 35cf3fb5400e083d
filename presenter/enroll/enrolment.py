"""From a photo or a video on disk to a stored presenter, or to a temporary one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from presenter.config import AppConfig, EngineConfig
from presenter.errors import EnrollError, IdentityNotFoundError
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity, consent_now
from presenter.runtime.networks import load_networks
from presenter.runtime.progress import Progress
from presenter.video.swap import check_consent

Warn = Callable[[str], None]
"""Called with each warning about a photo that is used nevertheless."""

_ENROL_SHARE = 0.1  # of the time that enrolling and personalising take
_CUT_FROM = 0.8  # of the enrolment: then frames are cut for personalising, now or later

_log = logging.getLogger(__name__)


def enroll_presenter(
    store: IdentityStore,
    engine: EngineConfig,
    source: Path,
    name: str,
    progress: Progress = lambda fraction, message: None,
    *,
    consent_by: str = "",
    stop: threading.Event | None = None,
    face: int | None = None,
    personalise: bool = False,
    warn: Warn = _log.warning,
) -> StoredIdentity:
    """Make a presenter from a photo or a video and save it.

    Args:
        store: Where it is kept.
        engine: Names the networks.
        source: The photo or video, recognised by content.
        name: The presenter's name.
        progress: Called with the progress.
        consent_by: Who agreed to be shown; kept with the presenter, and when.
        stop: Set from another thread to cancel.
        face: Which of several faces of a photo, counted from the left from 1.
        personalise: Tune the generator to the person in a video. The presenter is saved before; if this is
            interrupted, another call with the same name and video continues. What it needs of a video is kept in any
            case, so that it can be done later by `personalise_presenter`.
        warn: Called with each warning about what is used nevertheless.

    Raises:
        EnrollError: If the photo or video can't be used; says why.
    """
    from presenter.enroll.from_video import enroll_video
    from presenter.enroll.personal import WorkFolder, personalise_presenter
    from presenter.enroll.photo import enroll_photo
    from presenter.enroll.video import DecodedVideo, is_video  # imports the tracker, which a live session never needs

    _check_readable(source)
    consent = consent_now(consent_by)
    if not is_video(source):
        if personalise:
            raise EnrollError(f"{source.name}: expected a video to personalise with, found a photo")
        identity = enroll_photo(source, name, progress, load_networks(engine), stop, face=face, warn=warn)
        stored = store.save(identity, consent)
        progress(1.0, "Ready")
        return stored
    if face is not None:
        raise EnrollError("a face can be chosen in a photo only; video the person alone")
    work = WorkFolder.of(store, name)
    share = _ENROL_SHARE if personalise else 1.0
    if not (personalise and can_continue(store, name, source)):
        identity, filmed = enroll_video(
            DecodedVideo(source, stop),
            name,
            lambda done, message: progress(done * share * _CUT_FROM, message),
            load_networks(engine),
            warn=warn,
        )
        stored = store.save(identity, consent)
        progress(share * _CUT_FROM, "Keeping frames to learn from")
        try:
            work.fill(source, filmed)
        except (EnrollError, OSError) as error:
            if personalise:
                raise
            warn(f"it can't be personalised later: {error}")
        if not personalise:
            progress(1.0, "Ready")
            return stored
    return personalise_presenter(
        store, engine, name, lambda done, message: progress(share + done * (1 - share), message), stop
    ).stored


def can_continue(store: IdentityStore, name: str, source: Path) -> bool:
    """Whether a presenter of this name was made of this video, and its personalisation was interrupted."""
    from presenter.enroll.personal import WorkFolder

    return source.is_file() and WorkFolder.of(store, name).is_of(source) and name in store.names()


def _check_readable(source: Path) -> None:
    try:
        with source.open("rb"):
            pass
    except OSError as error:
        raise EnrollError(
            f"{source.name}: expected a photo or a video, could not read it ({error.strerror})"
        ) from error


def consented_face(config: AppConfig, name_or_photo: str, consent_by: str) -> StoredIdentity:
    """Return a presenter or a photo whose face may be put on somebody else.

    Args:
        config: Names networks and folders.
        name_or_photo: As of `find_presenter`.
        consent_by: Who agreed to the use of the photo; presenters have their own record.

    Raises:
        ConsentError: If nobody's consent is recorded.
        PresenterError: If it can't be used; see `find_presenter`.
    """
    stored = find_presenter(config, name_or_photo)
    if stored.consent is None:
        stored = replace(stored, consent=consent_now(consent_by))
    check_consent(stored)
    return stored


def find_presenter(config: AppConfig, name_or_file: str) -> StoredIdentity:
    """Return a presenter by its name, or a temporary one made from a photo or a video.

    Raises:
        IdentityNotFoundError: If it is neither.
        IdentityDamagedError: If the presenter can't be read.
        EnrollError: If the photo or video can't be used.
    """
    store = IdentityStore(config.presenters_dir)
    path = Path(name_or_file)
    try:
        return store.load(name_or_file)
    except IdentityNotFoundError as error:
        if not path.is_file():
            raise IdentityNotFoundError(
                f"expected a presenter ({', '.join(store.names())}) or a photo or video, found no {name_or_file!r}"
            ) from error
    from presenter.enroll.from_video import enroll_video
    from presenter.enroll.photo import enroll_photo
    from presenter.enroll.video import DecodedVideo, is_video  # imports the tracker

    networks = load_networks(config.engine)
    if is_video(path):
        return StoredIdentity(
            enroll_video(DecodedVideo(path), path.stem, _untold, networks, warn=_log.warning)[0], None
        )
    return StoredIdentity(enroll_photo(path, path.stem, _untold, networks, warn=_log.warning), None)


def _untold(fraction: float, message: str) -> None:
    pass
