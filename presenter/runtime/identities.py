"""Presenters on disk: those that ship and those that users enrol.

A presenter is a folder: `frame.png` (the picture), `matte.png` (where in it the person is; older
folders have none), `identity.safetensors` (meshes, pose, codes, eyelids) and, when the generator was
personalised, `generator.safetensors`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import ModelError
from models.identity import Identity, SpeakingStyle, StyleCode
from models.mesh import Pose
from models.still import Blinks
from presenter.errors import IdentityDamagedError, IdentityNotFoundError

DEFAULT = "default"


@dataclass(frozen=True, eq=False)
class StoredIdentity:
    """An identity and where its own generator lies, if it has one."""

    identity: Identity
    generator: Path | None


def shipped_dir() -> Path:
    """Folder of the presenters that come with the package."""
    return Path(str(files("presenter").joinpath("presenters")))


def save_identity(folder: Path, identity: Identity, generator: Path | None = None) -> None:
    """Write an identity's folder; it appears whole or not at all.

    Args:
        folder: Where; what was there is replaced.
        identity: What to write.
        generator: Checkpoint of its personal generator, to be copied along.

    Raises:
        OSError: If it can't be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".enrolling-") as temporary:
        partial = Path(temporary) / folder.name
        partial.mkdir()
        pictures = {"frame.png": cv2.cvtColor(identity.frame, cv2.COLOR_RGB2BGR)}
        if identity.matte is not None:
            pictures["matte.png"] = identity.matte
        for name, picture in pictures.items():
            if not cv2.imwrite(str(partial / name), picture):
                raise OSError(f"{folder}: {name} can't be written")
        if generator is not None:
            shutil.copy(generator, partial / "generator.safetensors")
        tensors = {
            "mesh": torch.from_numpy(identity.mesh),
            "neutral": torch.from_numpy(identity.neutral),
            "rotation": torch.from_numpy(identity.pose.rotation),
            "translation": torch.from_numpy(identity.pose.translation),
            "style_code": identity.style_code,
            "blinks": torch.from_numpy(identity.blinks.overlays),
        }
        if identity.speaking_style is not None:
            tensors["speaking_style"] = identity.speaking_style
        facts = {
            "name": identity.name,
            "style_of": identity.style_of,
            "scale": identity.pose.scale,
            "blink_box": identity.blinks.box,
        }
        save_checkpoint(partial / "identity.safetensors", tensors, facts)
        if folder.exists():
            os.replace(folder, Path(temporary) / "replaced")
        os.replace(partial, folder)


def load_identity(folder: Path) -> StoredIdentity:
    """Read what `save_identity` wrote.

    Raises:
        IdentityDamagedError: If the folder lacks something, or a file in it can't be read.
    """
    try:
        return _read_identity(folder)
    except (ModelError, KeyError, TypeError, ValueError, OSError, cv2.error) as error:
        reason = str(error).partition("\n")[0]
        raise IdentityDamagedError(
            f"presenter {folder.name!r}: expected a folder as `presenter enroll` writes it, got a damaged one"
            f" ({type(error).__name__}: {reason}); enrol it again"
        ) from error


def _read_identity(folder: Path) -> StoredIdentity:
    tensors, facts = load_checkpoint(folder / "identity.safetensors")
    frame = cv2.cvtColor(cv2.imread(str(folder / "frame.png")), cv2.COLOR_BGR2RGB)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    style = tensors.get("speaking_style")
    matte = folder / "matte.png"
    top, left = facts["blink_box"]
    identity = Identity(
        name=folder.name,
        frame=frame.astype(np.uint8),
        mesh=arrays["mesh"],
        neutral=arrays["neutral"],
        pose=Pose(float(facts["scale"]), arrays["rotation"], arrays["translation"]),
        style_code=StyleCode(tensors["style_code"].float()),
        style_of=str(facts["style_of"]),
        speaking_style=None if style is None else SpeakingStyle(style.float()),
        blinks=Blinks((int(top), int(left)), arrays["blinks"]),
        matte=cv2.imread(str(matte), cv2.IMREAD_GRAYSCALE) if matte.is_file() else None,
    )
    generator = folder / "generator.safetensors"
    return StoredIdentity(identity, generator if generator.is_file() else None)


class IdentityStore:
    """The presenters of a machine.

    Args:
        own: Folder for presenters that users enrol.
        shipped: Folder of those that come with the package.
    """

    def __init__(self, own: Path, shipped: Path | None = None) -> None:
        self.own = own
        self._shipped = shipped or shipped_dir()

    def names(self) -> list[str]:
        """All names, the default first."""
        found = {
            folder.name
            for root in (self._shipped, self.own)
            if root.is_dir()
            for folder in root.iterdir()
            if (folder / "identity.safetensors").is_file()
        }
        return sorted(found, key=lambda name: (name != DEFAULT, name.casefold()))

    def folder(self, name: str) -> Path:
        """Where a presenter lies.

        Raises:
            IdentityNotFoundError: If there is none of this name.
        """
        if name in self.names():
            for root in (self.own, self._shipped):
                if (root / name / "identity.safetensors").is_file():
                    return root / name
        raise IdentityNotFoundError(f"no presenter named {name!r}; there are: {', '.join(self.names()) or 'none'}")

    def load(self, name: str) -> StoredIdentity:
        """Read a presenter.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            IdentityDamagedError: If it can't be read.
        """
        return load_identity(self.folder(name))

    def thumbnail(self, name: str) -> bytes:
        """The presenter's picture as PNG.

        Raises:
            IdentityNotFoundError: If there is none of this name.
            IdentityDamagedError: If it has none.
        """
        path = self.folder(name) / "frame.png"
        try:
            return path.read_bytes()
        except OSError as error:
            raise IdentityDamagedError(f"presenter {name!r}: expected a picture, found none; enrol it again") from error

    def save(self, identity: Identity) -> StoredIdentity:
        """Keep an enrolled presenter under its name, instead of the user's earlier one of that name.

        Raises:
            OSError: If it can't be written.
        """
        save_identity(self.own / identity.name, identity)
        return StoredIdentity(identity, None)
