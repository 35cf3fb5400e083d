"""Presenters on disk: named as people are, checked when they are listed, renamed and deleted whole."""

from __future__ import annotations

import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.generator import Generator
from presenter.config import load_config
from presenter.errors import EnrollError, IdentityDamagedError, IdentityNotFoundError, PresenterError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore, shipped_dir
from presenter.runtime.identity_folder import GENERATOR, consent_now, load_identity, save_identity
from presenter.runtime.names import check_name, folder_of, name_key, name_of
from presenter.studio.character import CHARACTERS

SHIPPED = sorted(folder.name for folder in shipped_dir().iterdir())


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    """Holds `Ada` beside those that ship."""
    save_identity(tmp_path / "own" / "Ada", load_identity(shipped_dir() / "default").identity)
    return IdentityStore(tmp_path / "own")


@pytest.mark.parametrize(
    "name",
    [
        "Zoë",
        "O'Brien",
        "D’Arcy",
        "J. R. R. Tolkien",
        "अनुष्का",
        "Nguyễn Thị",
        "名前",
        "Ana-María_2",
        "٣ سارة",
        "Ada L.",
        "Con",
    ],
)
def test_names_are_kept_as_people_write_them(name: str) -> None:
    assert check_name(unicodedata.normalize("NFD", f" {name} "), []) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    "name", ["", "  ", ".", "..", "../x", "a/b", "a\\b", "a:b", "a\nb", "-x", "'x", "x" * 41, "\u0301a", "a%2E"]
    + ["a\u202eb", "a\u200bb", "a\0b", "a*", "a?b", 'a"b', "a|b", "<a>"],
)  # fmt: skip
def test_names_that_are_no_folder_somewhere_are_refused(name: str) -> None:
    with pytest.raises(EnrollError):
        check_name(name, [])


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Ada", "Ada"),
        ("Jr.", "Jr%2E"),
        ("Con", "%Con"),
        ("aux .x", "%aux .x"),
        ("LPT1.", "%LPT1%2E"),
        ("Conny", "Conny"),
    ],
)
def test_a_folder_stands_for_its_name_on_every_system(name: str, folder: str) -> None:
    assert folder_of(name) == folder
    assert name_of(folder) == name


@pytest.mark.parametrize("other", ["ADA", "ada", " Ada "])
def test_names_are_compared_in_one_form(store: IdentityStore, other: str) -> None:
    with pytest.raises(EnrollError, match="already"):
        check_name(other, store.taken_names())
    assert store.load(other).identity.name == "Ada"
    assert name_key("Straße") == name_key("STRASSE")
    assert name_key("Zoe\u0308") == name_key("ZOË")


def test_a_folder_of_another_unicode_form_is_found(store: IdentityStore) -> None:
    (store.own / "Ada").rename(store.own / unicodedata.normalize("NFD", "Zoë"))
    assert store.names() == ["default", "sam", "Zoë"]
    assert store.load("zoë").identity.name == "Zoë"


def damage(folder: Path, how: str) -> None:
    if how == "no identity":
        (folder / "identity.safetensors").unlink()
    elif how == "half identity":
        path = folder / "identity.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "no picture":
        (folder / "frame.png").unlink()
    elif how == "half picture":
        path = folder / "frame.png"
        path.write_bytes(path.read_bytes()[:5000])
    elif how == "other matte":
        shutil.copy(shipped_dir().parent.parent / "web" / "favicon.svg", folder / "matte.png")
    elif how == "empty":
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        (folder / GENERATOR).write_bytes(b"no generator")


HOW = ["no identity", "half identity", "no picture", "half picture", "other matte", "empty", "generator"]


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_presenter_is_shown_as_damaged(store: IdentityStore, how: str) -> None:
    assert store.names() == ["default", "sam", "Ada"]
    damage(store.own / "Ada", how)
    assert store.names() == ["default", "sam"]
    assert "Ada" in store.taken_names()
    problem = store.entry("ada").problem
    assert "'Ada' is damaged" in problem
    assert "delete" in problem
    for use in (store.load, store.thumbnail):
        with pytest.raises(IdentityDamagedError, match="delete it"):
            use("Ada")
    store.delete("Ada")
    assert list(store.own.iterdir()) == []


def test_a_generator_of_another_network_is_damage(store: IdentityStore) -> None:
    shutil.copy(store.own / "Ada" / "identity.safetensors", store.own / "Ada" / GENERATOR)
    with pytest.raises(IdentityDamagedError, match="no generator of this version"):
        Engine.load(load_config("tiny")).renderer(store.load("Ada"))


def test_renaming_and_deleting(store: IdentityStore) -> None:
    assert store.rename("ada", " Ada L. ") == "Ada L."
    assert store.names() == ["default", "sam", "Ada L."]
    assert store.rename("Ada L.".casefold(), "ADA L.x") == "ADA L.x"
    assert store.rename("ADA L.x", "ada l.x") == "ada l.x", "only its case changes"
    with pytest.raises(EnrollError, match="already"):
        store.rename("ada l.x", "Default")
    with pytest.raises(EnrollError, match="already"):
        store.rename("ada l.x", "eve", ["Eve"])
    for change in (lambda: store.rename("default", "x"), lambda: store.delete("default")):
        with pytest.raises(PresenterError, match="comes with the package"):
            change()
    store.delete("ADA L.X")
    assert store.names() == ["default", "sam"]
    with pytest.raises(IdentityNotFoundError, match="there are: default"):
        store.delete("Ada")


def test_consent_is_kept(tmp_path: Path) -> None:
    identity = load_identity(shipped_dir() / "default").identity
    save_identity(tmp_path / "x", identity, consent=consent_now(" Ada Lovelace "))
    stored = load_identity(tmp_path / "x")
    assert stored.consent is not None
    assert stored.consent.by == "Ada Lovelace"
    assert stored.consent.at.endswith("+00:00")
    assert consent_now("  ") is None
    np.testing.assert_array_equal(stored.identity.frame, identity.frame)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_matte_holds_no_background(name: str) -> None:
    """No patch of opaque pixels has the colour of the background next to it."""
    identity = load_identity(shipped_dir() / name).identity.shrunk(512)
    assert identity.matte is not None
    behind = identity.matte == 0
    _, labels = cv2.distanceTransformWithLabels(
        (~behind).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros((labels.max() + 1, 3), int)
    nearest[labels[behind]] = identity.frame[behind]
    alike = (np.abs(nearest[labels] - identity.frame).max(-1) < 10) & (identity.matte > 200)
    patches = cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    assert not patches.any(), f"{patches.sum()} pixels, first at {np.argwhere(patches)[0]}"


def test_the_studio_knows_those_that_ship() -> None:
    assert set(CHARACTERS) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_presenter_is_whole_and_small(name: str) -> None:
    """Its generator has a painted interior and is the one whose style code is stored."""
    folder = shipped_dir() / name
    stored = load_identity(folder)
    assert stored.identity.name == name
    assert stored.generator is not None
    generator = Generator.load(stored.generator)
    assert generator.config.painted_interior
    assert stored.identity.style_of == generator.fingerprint
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12e6


def test_sunk_teeth_are_kept(tmp_path: Path) -> None:
    identity = replace(load_identity(shipped_dir() / "default").identity, sunk_teeth=0.07)
    save_identity(tmp_path / "Ada", identity)
    assert load_identity(tmp_path / "Ada").identity.sunk_teeth == pytest.approx(0.07)
    save_identity(tmp_path / "Eve", replace(identity, sunk_teeth=float("nan")))
    with pytest.raises(IdentityDamagedError, match="sunk_teeth"):
        load_identity(tmp_path / "Eve")
