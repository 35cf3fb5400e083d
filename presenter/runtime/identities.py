"""The presenters of a machine: those that ship and those that users enrol."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from models.identity import READ_HEIGHT, Identity
from presenter.errors import IdentityDamagedError, IdentityNotFoundError, PresenterError
from presenter.runtime.identity_folder import (
    FILES,
    FRAME,
    GENERATOR,
    Consent,
    Figures,
    StoredIdentity,
    load_identity,
    save_identity,
    small_png,
)
from presenter.runtime.names import check_name, folder_of, name_key, name_of

DEFAULT = "default"


def shipped_dir() -> Path:
    """Folder of the presenters that come with the package."""
    return Path(str(files("presenter").joinpath("presenters")))


@dataclass(frozen=True)
class Entry:
    """A presenter as it is listed."""

    name: str
    folder: Path
    own: bool
    """Whether it was enrolled here; the others come with the package."""
    problem: str = ""
    """What is damaged; empty if it can be used."""


class IdentityStore:
    """The presenters of a machine, looked up by name in any case and Unicode form.

    Args:
        own: Folder for presenters that users enrol.
        shipped: Folder of those that come with the package.
    """

    def __init__(self, own: Path, shipped: Path | None = None) -> None:
        self.own = own
        """Folder of those that users enrol."""
        self._shipped = shipped or shipped_dir()
        self._checked: dict[Path, tuple[object, str]] = {}

    def entries(self) -> list[Entry]:
        """All presenters, the damaged too: the default, those that ship, the user's.

        Each is read once and again when its files change.
        """
        found: dict[str, Entry] = {}
        for root in (self._shipped, self.own):
            for folder in _folders(root):
                name = name_of(folder.name)
                found[name_key(name)] = Entry(name, folder, root == self.own, self._problem(folder))
        return sorted(found.values(), key=lambda entry: (entry.name != DEFAULT, entry.own, name_key(entry.name)))

    def names(self) -> list[str]:
        """The names of those that can be used, the default first."""
        return [entry.name for entry in self.entries() if not entry.problem]

    def taken_names(self) -> set[str]:
        """The names that a new presenter can't have: of all, the damaged too."""
        return {entry.name for entry in self.entries()}

    def entry(self, name: str) -> Entry:
        """Find a presenter, which may be damaged.

        Raises:
            IdentityNotFoundError: If there is none of this name.
        """
        key, entries = name_key(name), self.entries()
        for entry in entries:
            if name_key(entry.name) == key:
                return entry
        known = ", ".join(entry.name for entry in entries) or "none"
        raise IdentityNotFoundError(f"no presenter named {name[:80]!r}; there are: {known}")

    def load(self, name: str) -> StoredIdentity:
        """Read a presenter.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            IdentityDamagedError: If it can't be read.
        """
        return load_identity(self.entry(name).folder)

    def thumbnail(self, name: str) -> bytes:
        """The presenter's image as PNG, no higher than 512 pixels.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            IdentityDamagedError: If it can't be read.
        """
        entry = self.entry(name)
        if entry.problem:
            raise IdentityDamagedError(entry.problem)
        return small_png((entry.folder / FRAME).read_bytes(), READ_HEIGHT)

    def save(
        self,
        identity: Identity,
        consent: Consent | None = None,
        generator: Path | None = None,
        personalised: Figures | None = None,
    ) -> StoredIdentity:
        """Save an enrolled presenter under its name, replacing the user's earlier one of that name.

        Args:
            identity: What to save.
            consent: Who agreed to be shown.
            generator: Checkpoint of its personal generator, to be copied along.
            personalised: What that is better by.

        Raises:
            OSError: If it can't be written.
        """
        folder = self.own / folder_of(identity.name)
        save_identity(folder, identity, generator, consent, personalised)
        return StoredIdentity(identity, None if generator is None else folder / GENERATOR, consent, personalised)

    def work_folder(self, name: str) -> Path:
        """Where what a presenter can be personalised with is kept; renamed and deleted with it."""
        return self.own / f".personalising-{folder_of(name)}"

    def rename(self, name: str, new_name: str, reserved: Iterable[str] = ()) -> str:
        """Rename a presenter of the user's; returns the name as it is stored.

        Args:
            name: Its present name.
            new_name: Its new name.
            reserved: Names that are about to be taken.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            EnrollError: If the name can't be used.
            PresenterError: If it comes with the package.
        """
        entry = self._own_entry(name, "renamed")
        taken = self.taken_names() - {entry.name} | set(reserved)
        new_name = check_name(new_name, taken)
        os.rename(entry.folder, self.own / folder_of(new_name))
        with contextlib.suppress(OSError):  # most have none
            os.rename(self.work_folder(entry.name), self.work_folder(new_name))
        return new_name

    def delete(self, name: str) -> None:
        """Delete a presenter of the user's; sessions that show it continue.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            PresenterError: If it comes with the package.
        """
        entry = self._own_entry(name, "deleted")
        shutil.rmtree(self.work_folder(entry.name), ignore_errors=True)
        if entry.folder.is_symlink():
            entry.folder.unlink()
            return
        with tempfile.TemporaryDirectory(dir=self.own, prefix=".deleting-") as temporary:
            os.rename(entry.folder, Path(temporary) / "gone")  # atomic, so that no reader finds an incomplete folder
            shutil.rmtree(Path(temporary) / "gone", ignore_errors=True)

    def adopt(self, folder: Path, name: str) -> str:
        """Move a folder that holds a presenter here; returns the name as it is stored.

        Raises:
            IdentityDamagedError: If it can't be read.
            EnrollError: If the name can't be used.
        """
        name = check_name(name, self.taken_names())
        load_identity(folder)
        self.own.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, self.own / folder_of(name))
        return name

    def _own_entry(self, name: str, what: str) -> Entry:
        entry = self.entry(name)
        if not entry.own:
            raise PresenterError(f"{entry.name} comes with the package and can't be {what}")
        return entry

    def _problem(self, folder: Path) -> str:
        """What is damaged in a folder; empty if nothing is."""
        try:
            state = tuple(sorted((one.name, one.stat().st_mtime_ns, one.stat().st_size) for one in folder.iterdir()))
        except OSError as error:
            return f"the presenter {folder.name!r} can't be read ({error.strerror})"
        known = self._checked.get(folder)
        if known is None or known[0] != state:
            problem = ""
            try:
                load_identity(folder)
            except IdentityDamagedError as error:
                problem = str(error)
            known = self._checked[folder] = (state, problem)
        return known[1]


def _folders(root: Path) -> list[Path]:
    """Folders that hold a presenter, complete or not."""
    if not root.is_dir():
        return []
    found = []
    for folder in sorted(root.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            inside = {one.name for one in folder.iterdir()}
        except OSError:
            inside = set()
        if not inside or inside & set(FILES):
            found.append(folder)
    return found
