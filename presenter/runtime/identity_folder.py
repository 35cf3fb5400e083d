"""One presenter on disk: written atomically, read with every part checked.

A presenter is a folder: `frame.png` (the image), `matte.png` (the person's opacity in it; older
folders have none), `identity.safetensors` (meshes, pose, codes, eyelids, who consented) and, if it was made from a
video, `template.safetensors` and `references.safetensors` (older folders have none), if its photo shows more than the
frame, `photo.jpg`, and, if the generator was
personalised, `generator.safetensors`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import ModelError
from models.identity import Identity, SpeakingStyle, StyleCode, WholePhoto
from models.mesh import Pose
from models.still import Blinks
from models.template import compress
from presenter.errors import IdentityDamagedError
from presenter.runtime.names import name_of
from presenter.runtime.references_file import load_references, save_references
from presenter.runtime.template_file import load_template, save_template

IDENTITY, FRAME, MATTE, GENERATOR = "identity.safetensors", "frame.png", "matte.png", "generator.safetensors"
TEMPLATE, REFERENCES, PHOTO = "template.safetensors", "references.safetensors", "photo.jpg"
FILES = (IDENTITY, FRAME, MATTE, GENERATOR, TEMPLATE, REFERENCES, PHOTO)
"""All that a presenter's folder may hold."""
Figures = dict[str, dict[str, float]]
"""Of personalisation, measured on frames that were kept back: by name, `before` and `after`."""
_PNG_END = b"IEND\xaeB`\x82"
_POINTS = 478
_MOST_PHOTO = 4096  # pixels; more is no photo that was kept at enrolment
_SHAPES = {"mesh": (_POINTS, 3), "neutral": (_POINTS, 3), "rotation": (3, 3), "translation": (3,)}


@dataclass(frozen=True)
class Consent:
    """Who agreed that the face is shown, and when that was recorded (ISO 8601, UTC)."""

    by: str
    at: str


@dataclass(frozen=True, eq=False)
class StoredIdentity:
    """An identity, the path of its own generator, if it has one, who consented, and what personalisation gained."""

    identity: Identity
    generator: Path | None
    consent: Consent | None = None
    personalised: Figures | None = None

    def shrunk(self, height: int) -> StoredIdentity:
        """The same with a picture that is no higher than `height` pixels."""
        return replace(self, identity=self.identity.shrunk(height))


def consent_now(by: str) -> Consent | None:
    """Consent given now; None if no name is given."""
    return Consent(by.strip()[:200], datetime.now(UTC).isoformat(timespec="seconds")) if by.strip() else None


def save_identity(
    folder: Path,
    identity: Identity,
    generator: Path | None = None,
    consent: Consent | None = None,
    personalised: Figures | None = None,
) -> None:
    """Write an identity's folder atomically.

    Args:
        folder: Where; an existing one is replaced.
        identity: What to write.
        generator: Checkpoint of its personal generator, to be copied along.
        consent: Who agreed to be shown.
        personalised: What its generator is better by.

    Raises:
        OSError: If it can't be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".enrolling-") as temporary:
        partial = Path(temporary) / folder.name
        partial.mkdir()
        pictures = {FRAME: cv2.cvtColor(identity.frame, cv2.COLOR_RGB2BGR)}
        if identity.matte is not None:
            pictures[MATTE] = identity.matte
        for name, picture in pictures.items():
            # Encoded here and written by Python, because OpenCV opens no names beyond ASCII on Windows.
            (partial / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        if identity.photo is not None:
            (partial / PHOTO).write_bytes(compress(identity.photo.picture))
        if identity.template is not None:
            save_template(partial / TEMPLATE, identity.template)
        if identity.references is not None:
            save_references(partial / REFERENCES, identity.references)
        if generator is not None:
            shutil.copy(generator, partial / GENERATOR)
        save_checkpoint(partial / IDENTITY, _tensors(identity), _facts(identity, consent, personalised))
        if folder.exists():
            os.replace(folder, Path(temporary) / "replaced")
        os.replace(partial, folder)


def _tensors(identity: Identity) -> dict[str, torch.Tensor]:
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
    return tensors


def _facts(identity: Identity, consent: Consent | None, personalised: Figures | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": identity.name,
        "style_of": identity.style_of,
        "scale": identity.pose.scale,
        "blink_box": identity.blinks.box,
        "sunk_teeth": identity.sunk_teeth,
        "enrolled_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if identity.photo is not None:
        facts["photo_box"] = identity.photo.box
    if consent is not None:
        facts["consent"] = {"by": consent.by, "at": consent.at}
    if personalised is not None:
        facts["personalised"] = personalised
    return facts


def load_identity(folder: Path) -> StoredIdentity:
    """Read what `save_identity` wrote.

    Raises:
        IdentityDamagedError: If a part is missing or damaged; says which.
    """
    try:
        return _load(folder)
    except (ModelError, OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, cv2.error) as error:
        said = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
        what = said.partition("\n")[0]
        name = name_of(folder.name)
        raise IdentityDamagedError(
            f"the presenter {name!r} is damaged ({what}); delete it (presenter presenters delete {name!r})"
            " and enrol it again"
        ) from error


def _load(folder: Path) -> StoredIdentity:
    if not (folder / IDENTITY).is_file():
        raise ValueError(f"{IDENTITY} is missing")
    tensors, facts = load_checkpoint(folder / IDENTITY)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    for name, shape in _SHAPES.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name}: expected finite {list(shape)}, found {list(arrays[name].shape)}")
    frame = cv2.cvtColor(_read_png(folder / FRAME, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    matte = _read_png(folder / MATTE, cv2.IMREAD_GRAYSCALE) if (folder / MATTE).is_file() else None
    if matte is not None and matte.shape != frame.shape[:2]:
        raise ValueError(f"{MATTE}: expected the size of {FRAME}, {frame.shape[:2]}, found {matte.shape}")
    style = tensors.get("speaking_style")
    top, left = (int(edge) for edge in facts["blink_box"])
    height, width = arrays["blinks"].shape[1:3]
    if min(top, left) < 0 or top + height > frame.shape[0] or left + width > frame.shape[1]:
        raise ValueError("the eyelids lie outside the picture")
    sunk = float(facts.get("sunk_teeth", 0.0))  # older ones don't say
    if not abs(sunk) <= 1.0:
        raise ValueError(f"sunk_teeth: expected at most an inter-ocular distance, found {sunk}")
    identity = Identity(
        name=name_of(folder.name),
        frame=frame.astype(np.uint8),
        mesh=arrays["mesh"],
        neutral=arrays["neutral"],
        pose=Pose(float(facts["scale"]), arrays["rotation"], arrays["translation"]),
        style_code=StyleCode(tensors["style_code"].float()),
        style_of=str(facts["style_of"]),
        speaking_style=None if style is None else SpeakingStyle(style.float()),
        blinks=Blinks((top, left), arrays["blinks"]),
        matte=matte,
        sunk_teeth=sunk,
        photo=_load_photo(folder / PHOTO, facts["photo_box"]) if (folder / PHOTO).is_file() else None,
        template=load_template(folder / TEMPLATE, frame.shape[:2]) if (folder / TEMPLATE).is_file() else None,
        references=load_references(folder / REFERENCES) if (folder / REFERENCES).is_file() else None,
    )
    generator = folder / GENERATOR
    if generator.is_file():
        load_checkpoint(generator)
    given = facts.get("consent")
    consent = Consent(str(given["by"]), str(given["at"])) if given else None
    return StoredIdentity(identity, generator if generator.is_file() else None, consent, facts.get("personalised"))


def _load_photo(path: Path, box: Sequence[float]) -> WholePhoto:
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    left, top, side = (float(edge) for edge in box)
    if picture is None:
        raise ValueError(f"{path.name} can't be read")
    height, width = picture.shape[:2]
    if max(height, width) > _MOST_PHOTO or not 0 < side <= max(height, width) or not (left >= 0 <= top):
        raise ValueError(
            f"{path.name}: expected at most {_MOST_PHOTO} pixels around the face, found {width} x {height}"
        )
    return WholePhoto(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8), (left, top, side))


def small_png(data: bytes, height: int) -> bytes:
    """A PNG no higher than so many pixels: the same, or shrunk."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[0] <= height:
        return data
    size = (round(picture.shape[1] * height / picture.shape[0]), height)
    return cv2.imencode(".png", cv2.resize(picture, size, interpolation=cv2.INTER_AREA))[1].tobytes()


def _read_png(path: Path, how: int) -> NDArray[np.uint8]:
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    data = path.read_bytes()
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data.endswith(_PNG_END) else None
    if picture is None:
        raise ValueError(f"{path.name} can't be read")
    return picture.astype(np.uint8, copy=False)
