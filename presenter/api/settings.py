"""What the functions share: settings by name, and a presenter in a style."""

from __future__ import annotations

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


def framing_of(size: str, framing: str, background: str, out: Output) -> Framing:
    """How a presenter is to be shown, checked before any work is done."""
    from presenter.runtime.framing import Framing

    wanted = Framing(size=size, distance=framing, background=background)
    wanted.check(out)
    return wanted
