"""From a photo on disk to a stored presenter, or to one that is used once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from presenter.config import AppConfig, EngineConfig
from presenter.errors import EnrollError, IdentityNotFoundError
from presenter.runtime.identities import IdentityStore, StoredIdentity
from presenter.runtime.networks import load_networks

Progress = Callable[[float, str], None]
"""Called with the share of the work that is done, 0..1, and a message."""

_NAME = re.compile(r"[^\W_][\w -]{0,39}")


def check_name(name: str, taken: set[str]) -> str:
    """Return the trimmed name.

    Raises:
        EnrollError: if it is not 1-40 letters, digits, spaces, "-" or "_" starting with a letter or digit, or is taken.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise EnrollError(
            f'A name is 1 to 40 letters, digits, spaces, "-" or "_", a letter or digit first; got {name[:60]!r}.'
        )
    if name.casefold() in {other.casefold() for other in taken}:
        raise EnrollError(f"There is a presenter named {name} already; choose another name.")
    return name


def enroll_presenter(
    store: IdentityStore,
    engine: EngineConfig,
    photo: Path,
    name: str,
    progress: Progress = lambda fraction, message: None,
) -> StoredIdentity:
    """Make a presenter from a photo and save it.

    Args:
        store: Where it is kept.
        engine: Names the networks.
        photo: The photo.
        name: What to call the presenter.
        progress: Told how far the work is.

    Raises:
        EnrollError: If the photo can't be used; says why.
    """
    from presenter.enroll.photo import enroll_photo  # brings the tracker, which a live session never needs

    stored = store.save(enroll_photo(photo, name, progress, load_networks(engine)))
    progress(1.0, "Ready")
    return stored


def find_presenter(config: AppConfig, name_or_photo: str) -> StoredIdentity:
    """Return a presenter by its name, or one made from a photo for this once.

    Raises:
        IdentityNotFoundError: If it is neither.
        EnrollError: If the photo can't be used.
    """
    store = IdentityStore(config.presenters_dir)
    if name_or_photo in store.names():
        return store.load(name_or_photo)
    path = Path(name_or_photo)
    if not path.is_file():
        raise IdentityNotFoundError(
            f"expected a presenter ({', '.join(store.names())}) or a photo, found no {name_or_photo!r}"
        )
    from presenter.enroll.photo import enroll_photo  # brings the tracker

    networks = load_networks(config.engine)
    return StoredIdentity(enroll_photo(path, path.stem, lambda fraction, message: None, networks), None)
