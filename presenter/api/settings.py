"""What the functions share: settings by name, and a presenter in a style."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from presenter.config import AppConfig, load_config
from presenter.errors import PresenterError

if TYPE_CHECKING:
    from models.identity import SpeakingStyle
    from presenter.runtime.framing import Framing
    from presenter.runtime.identity_folder import StoredIdentity
    from presenter.runtime.output import Output

DRIVEN = ("lips", "brows", "eyes", "head")
"""What a driver can move: lips with jaw and cheeks, brows, eyelids with gaze, head pose."""


def settings_of(config: AppConfig | str | Path) -> AppConfig:
    """Settings, or those that a preset or a file holds."""
    return config if isinstance(config, AppConfig) else load_config(str(config))


def file_of(config: AppConfig | str | Path) -> list[Path]:
    """The file that settings come from, which no output may replace."""
    return [] if isinstance(config, AppConfig) else [Path(config)]


def styled_presenter(settings: AppConfig, presenter: str, style: str | None, strength: float) -> StoredIdentity:
    """A presenter that speaks in a style."""
    from presenter.enroll.enrolment import find_presenter
    from presenter.runtime.styles import check_strength, styled
    from presenter.video.speaking_style import find_style

    check_strength(strength)  # before the work
    return styled(find_presenter(settings, presenter), find_style(settings, style) if style else None, strength)


def style_for(settings: AppConfig, style: str | None, strength: float) -> SpeakingStyle | None:
    """A style for a person who has none of their own."""
    from presenter.runtime.styles import check_strength, scaled
    from presenter.video.speaking_style import find_style

    check_strength(strength)  # before the work
    return scaled(find_style(settings, style) if style else None, strength)


def parts_of(names: str | Iterable[str]) -> frozenset[str]:
    """What a driver is to move, by names, or by names with commas between them.

    Raises:
        PresenterError: If one is not of `DRIVEN`, or there is none.
    """
    parts = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if not parts or not set(parts) <= set(DRIVEN):
        raise PresenterError(f"driving parts: expected some of {', '.join(DRIVEN)}, got {', '.join(parts) or 'none'}")
    return frozenset(parts)


def fingerprint(
    settings: AppConfig,
    files: Iterable[str | Path | None],
    *facts: object,
) -> str:
    """Stands for a film by what it is made of: the contents of files and networks, options, styles and faces."""
    import torch

    from models.weights import generator_path, syncformer_path
    from presenter.runtime.identity_folder import StoredIdentity

    engine, digest = settings.engine, hashlib.sha256()
    networks = (engine.syncformer or syncformer_path(), engine.generator or generator_path())
    for name in (*files, *networks):
        if name is not None:
            with Path(name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update(b".")
    for fact in (engine.device, engine.threads, *facts):
        if isinstance(fact, torch.Tensor):
            digest.update(fact.numpy().tobytes())
        elif isinstance(fact, StoredIdentity):
            for part in (fact.identity.frame, fact.identity.mesh, fact.identity.neutral):
                digest.update(part.tobytes())
        else:
            digest.update(repr(fact).encode())
        digest.update(b".")
    return digest.hexdigest()


def framing_of(size: str, framing: str, background: str, out: Output) -> Framing:
    """How a presenter is to be shown, checked before any work is done."""
    from presenter.runtime.framing import Framing

    wanted = Framing(size=size, distance=framing, background=background)
    wanted.check(out)
    return wanted
