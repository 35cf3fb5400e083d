"""The speaking styles of a machine, each a file with a name: codes of how someone moves the mouth."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import CheckpointError
from models.identity import SpeakingStyle
from presenter.errors import PresenterError, StyleDamagedError, StyleNotFoundError
from presenter.runtime.identity_folder import StoredIdentity
from presenter.runtime.names import check_name, folder_of, name_key, name_of

MAX_STRENGTH = 1.5
_SUFFIX = ".safetensors"
_STYLE = "speaking_style"


@dataclass(frozen=True)
class StoredStyle:
    """A speaking style.

    Attributes:
        name: What users call it.
        style: The code; a multiple of it is a weaker or stronger style.
        clip: The name of the video that it was taken from.
    """

    name: str
    style: SpeakingStyle
    clip: str


def styled(stored: StoredIdentity, style: SpeakingStyle | None, strength: float = 1.0) -> StoredIdentity:
    """A presenter that speaks in another style.

    Args:
        stored: The presenter.
        style: None for the presenter's own.
        strength: 0 is the neutral style, 1 the style itself, up to `MAX_STRENGTH`.

    Raises:
        PresenterError: If the strength is out of bounds.
    """
    return with_style(stored, scaled(stored.identity.speaking_style if style is None else style, strength))


def with_style(stored: StoredIdentity, style: SpeakingStyle | None) -> StoredIdentity:
    """The same presenter with another speaking style, None for the neutral one."""
    return dataclasses.replace(stored, identity=dataclasses.replace(stored.identity, speaking_style=style))


def scaled(style: SpeakingStyle | None, strength: float) -> SpeakingStyle | None:
    """A style, weaker or stronger.

    Raises:
        PresenterError: If the strength is not from 0 to `MAX_STRENGTH`.
    """
    check_strength(strength)
    return None if style is None else SpeakingStyle(strength * style)


def check_strength(strength: float) -> None:
    """Raise `PresenterError` unless it is from 0 to `MAX_STRENGTH`."""
    if not 0 <= strength <= MAX_STRENGTH:
        raise PresenterError(f"style strength: expected 0 to {MAX_STRENGTH:g}, got {strength:g}")


class StyleStore:
    """The styles below a folder, looked up by name in any case and Unicode form.

    Args:
        presenters: The folder of the user's presenters.
    """

    def __init__(self, presenters: Path) -> None:
        self._folder = presenters / ".styles"

    def names(self) -> list[str]:
        """Of all styles."""
        found = [name_of(path.name.removesuffix(_SUFFIX)) for path in self._folder.glob(f"*{_SUFFIX}")]
        return sorted(found, key=name_key)

    def load(self, name: str) -> StoredStyle:
        """Read a style.

        Raises:
            StyleNotFoundError: If there is none of this name.
            StyleDamagedError: If it can't be read.
        """
        path = self._path(name)
        try:
            tensors, facts = load_checkpoint(path)
            style = tensors[_STYLE].float()
            if style.ndim != 1 or not bool(torch.isfinite(style).all()):
                raise ValueError(f"expected a finite vector, found {list(style.shape)}")
            return StoredStyle(str(facts["name"]), SpeakingStyle(style), str(facts["clip"]))
        except (CheckpointError, KeyError, TypeError, ValueError) as error:
            raise StyleDamagedError(
                f"the style {name!r} is damaged; delete it (presenter styles delete {name!r}), and make it again"
            ) from error

    def save(self, name: str, style: SpeakingStyle, clip: str) -> str:
        """Keep a style under a new name; returns the name as it is stored.

        Raises:
            EnrollError: If the name can't be used, or is taken.
        """
        name = check_name(name, self.names(), "speaking style")
        facts = {"name": name, "clip": clip, "made_at": datetime.now(UTC).isoformat(timespec="seconds")}
        save_checkpoint(self._folder / f"{folder_of(name)}{_SUFFIX}", {_STYLE: style}, facts)
        return name

    def delete(self, name: str) -> None:
        """Remove a style for good.

        Raises:
            StyleNotFoundError: If there is none of this name.
        """
        self._path(name).unlink()

    def _path(self, name: str) -> Path:
        for path in self._folder.glob(f"*{_SUFFIX}"):
            if name_key(name_of(path.name.removesuffix(_SUFFIX))) == name_key(name):
                return path
        known = ", ".join(self.names()) or "none"
        raise StyleNotFoundError(f"no speaking style named {name[:80]!r}; there are: {known}")
