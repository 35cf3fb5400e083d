"""From a photo on disk to a stored presenter, or to a temporary one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from presenter.config import AppConfig, EngineConfig
from presenter.errors import IdentityNotFoundError
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity, consent_now
from presenter.runtime.networks import load_networks
from presenter.runtime.progress import Progress

Warn = Callable[[str], None]
"""Called with each warning about a photo that is used nevertheless."""

_log = logging.getLogger(__name__)


def enroll_presenter(
    store: IdentityStore,
    engine: EngineConfig,
    photo: Path,
    name: str,
    progress: Progress = lambda fraction, message: None,
    *,
    consent_by: str = "",
    stop: threading.Event | None = None,
    face: int | None = None,
    warn: Warn = _log.warning,
) -> StoredIdentity:
    """Make a presenter from a photo and save it.

    Args:
        store: Where it is kept.
        engine: Names the networks.
        photo: The photo.
        name: The presenter's name.
        progress: Called with the progress.
        consent_by: Who agreed to be shown; kept with the presenter, and when.
        stop: Set from another thread to cancel the decoding of the photo.
        face: Which of several faces, counted from the left from 1.
        warn: Called with each warning about a photo that is used nevertheless.

    Raises:
        EnrollError: If the photo can't be used; says why.
    """
    from presenter.enroll.photo import enroll_photo  # imports the tracker, which a live session never needs

    identity = enroll_photo(photo, name, progress, load_networks(engine), stop, face=face, warn=warn)
    stored = store.save(identity, consent_now(consent_by))
    progress(1.0, "Ready")
    return stored


def find_presenter(config: AppConfig, name_or_photo: str) -> StoredIdentity:
    """Return a presenter by its name, or a temporary one made from a photo.

    Raises:
        IdentityNotFoundError: If it is neither.
        IdentityDamagedError: If the presenter can't be read.
        EnrollError: If the photo can't be used.
    """
    store = IdentityStore(config.presenters_dir)
    path = Path(name_or_photo)
    try:
        return store.load(name_or_photo)
    except IdentityNotFoundError as error:
        if not path.is_file():
            raise IdentityNotFoundError(
                f"expected a presenter ({', '.join(store.names())}) or a photo, found no {name_or_photo!r}"
            ) from error
    from presenter.enroll.photo import enroll_photo  # imports the tracker

    networks = load_networks(config.engine)
    identity = enroll_photo(path, path.stem, lambda fraction, message: None, networks, warn=_log.warning)
    return StoredIdentity(identity, None)
