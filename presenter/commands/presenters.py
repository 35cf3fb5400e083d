"""`presenter presenters`: list, show, rename, delete, export and import those on disk."""

from __future__ import annotations

import argparse
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from presenter.commands.terminal import confirm, has_terminal
from presenter.config import AppConfig
from presenter.errors import IdentityDamagedError, PresenterError
from presenter.runtime.identities import Entry, IdentityStore
from presenter.runtime.identity_folder import FILES, IDENTITY, Figures
from stream.files.output import PartialFile, check_output, errors_of
from stream.media import FPS

_MAX_BYTES = 200 << 20  # of a presenter; a personal generator takes 4 to 100 MB


def run(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Do what `arguments.what` says; returns the exit status."""
    store = IdentityStore(config.presenters_dir)
    verbs: dict[str, Callable[[IdentityStore, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "rename": _rename,
        "delete": _delete,
        "export": _export,
        "import": _import,
    }
    return verbs[arguments.what](store, arguments)


def _list(store: IdentityStore, arguments: argparse.Namespace) -> int:
    rows = [_facts(store, entry) for entry in store.entries()]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        consent = f", consent: {row['consent']['by']} ({row['consent']['at']})" if row["consent"] else ""
        print(f"{row['name']}: {row['problem'] or row['kind'] + consent}")
    return 0


def _show(store: IdentityStore, arguments: argparse.Namespace) -> int:
    row = _facts(store, store.entry(arguments.name))
    if arguments.json:
        print(json.dumps(row, indent=1))
        return 0
    consent = row.pop("consent")
    row["consent"] = f"{consent['by']}, {consent['at']}" if consent else "not recorded"
    row["personalised"] = _gain(row["personalised"])
    for key, value in row.items():
        if value:
            print(f"{key + ':':<14}{value}")
    return 0


def _gain(personalised: Figures | None) -> str:
    if personalised is None:
        return ""
    before, after = personalised["before"], personalised["after"]
    return ", ".join(f"{name} {before[name]:.3g} -> {after[name]:.3g}" for name in after if name in before)


def _facts(store: IdentityStore, entry: Entry) -> dict[str, Any]:
    consent, template, style, personalised = None, None, False, None
    if not entry.problem:
        stored = store.load(entry.name)
        consent, personalised = stored.consent, stored.personalised
        template, style = stored.identity.template, stored.identity.speaking_style is not None
    return {
        "name": entry.name,
        "kind": "enrolled here" if entry.own else "comes with the package",
        "folder": str(entry.folder),
        "moves": "a picture" if template is None else f"a video of {len(template) / FPS:.1f} s",
        "style": "its own" if style else "",
        "personalised": personalised,
        "consent": None if consent is None else vars(consent),
        "problem": entry.problem,
    }


def _rename(store: IdentityStore, arguments: argparse.Namespace) -> int:
    print(f"{arguments.name} is now {store.rename(arguments.name, arguments.new_name)}")
    return 0


def _delete(store: IdentityStore, arguments: argparse.Namespace) -> int:
    entry = store.entry(arguments.name)
    if not arguments.yes:
        if not has_terminal():
            raise PresenterError(f"expected --yes to delete {entry.name} for good, as nobody can be asked here")
        if not confirm(f"Delete {entry.name} for good?"):
            return 1
    store.delete(entry.name)
    print(f"{entry.name} is deleted")
    return 0


def _export(store: IdentityStore, arguments: argparse.Namespace) -> int:
    entry = store.entry(arguments.name)
    if entry.problem:
        raise IdentityDamagedError(entry.problem)
    out = Path(arguments.out or f"{entry.name}.zip")
    if out.suffix.lower() != ".zip":
        raise PresenterError(f"{out}: expected a name that ends in .zip")
    check_output(out, overwrite=arguments.overwrite)
    with errors_of(out):
        partial = PartialFile(out, overwrite=arguments.overwrite)
    try:
        with errors_of(out), zipfile.ZipFile(partial.temporary, "w") as file:
            for name in FILES:
                if (entry.folder / name).is_file():
                    file.write(entry.folder / name, f"{entry.name}/{name}")
        with errors_of(out):
            partial.commit()
    finally:
        partial.discard()
    print(f"{out}: {entry.name}")
    return 0


def _import(store: IdentityStore, arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="presenter-import-") as temporary:
        folder = Path(temporary) / "presenter"
        folder.mkdir()
        try:
            with zipfile.ZipFile(arguments.file) as file:
                name = _unpack(file, folder)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, UnicodeError) as error:
            raise PresenterError(f"{arguments.file}: expected a ZIP from presenter presenters export") from error
        try:
            name = store.adopt(folder, arguments.name or name)
        except IdentityDamagedError as error:
            raise PresenterError(f"{arguments.file}: the presenter in it is damaged ({error.__cause__})") from error
    print(f"{name} is ready")
    return 0


def _unpack(file: zipfile.ZipFile, folder: Path) -> str:
    """Write the known files of a ZIP to a folder, and return the name of the folder that they were in."""
    members = {Path(info.filename).name: info for info in file.infolist() if not info.is_dir()}
    tops = {info.filename.partition("/")[0] for info in members.values()}
    if IDENTITY not in members or not set(members) <= set(FILES) or len(tops) != 1:
        raise PresenterError(f"{file.filename}: expected a ZIP from presenter presenters export")
    if sum(info.file_size for info in members.values()) > _MAX_BYTES:
        raise PresenterError(f"{file.filename}: expected at most {_MAX_BYTES >> 20} MB of presenter")
    for name, info in members.items():
        (folder / name).write_bytes(file.read(info))
    return tops.pop()
