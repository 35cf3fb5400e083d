"""New pictures for a shipped presenter whose geometry, camera and light are as before: its generator stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from models.identity import READ_HEIGHT
from models.mesh import topology
from presenter.recipe.shipped_crops import Pictures, track
from presenter.runtime.identities import DEFAULT, shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity


@dataclass(frozen=True, kw_only=True)
class ShippedPictures:
    """Settings of the step.

    Attributes:
        name: Of the presenter.
        renders: Folder that `presenter.studio.render` wrote: frame, matte and eyelids.
        out: Folder of the presenter; where it ships if None.
    """

    name: str = DEFAULT
    renders: Path
    out: Path | None = None


def replace_pictures(settings: ShippedPictures) -> None:
    """Write the presenter anew: the lower face's mesh and the pose stay, brows and eyes are tracked in the frame."""
    stored, pictures = load_identity(shipped_dir() / settings.name), Pictures.read(settings.renders)
    before = stored.identity.shrunk(READ_HEIGHT)
    pose = before.pose
    seen = pose.unproject(track(pictures.canvas))
    mesh = seen + topology().lower_face[:, None] * (before.mesh - seen)
    identity = replace(
        before,
        frame=pictures.rest,
        mesh=mesh,
        neutral=mesh.copy(),
        pose=pose.enlarged(pictures.rest.shape[0] / before.frame.shape[0]),
        blinks=pictures.blinks(),
        matte=pictures.matte,
    )
    save_identity(settings.out or shipped_dir() / settings.name, identity, stored.generator)
