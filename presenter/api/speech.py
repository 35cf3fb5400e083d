"""Films of a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from presenter.api.settings import file_of, framing_of, settings_of, styled_presenter
from presenter.config import AppConfig
from presenter.runtime.output import Output, prepare_output
from presenter.runtime.progress import Progress

if TYPE_CHECKING:
    from presenter.runtime.identity_folder import StoredIdentity


@dataclass(frozen=True)
class Spoken:
    """A text that was spoken.

    Attributes:
        out: Where.
        seconds: Of speech.
    """

    out: Output
    seconds: float

    def __str__(self) -> str:
        """One line for the user."""
        return f"{self.out}: {self.seconds:.1f} s of speech"


def say(
    text: str,
    out: str | Path,
    *,
    presenter: str = "default",
    style: str | None = None,
    style_strength: float = 1.0,
    size: str = "own",
    framing: str = "medium",
    background: str = "own",
    overwrite: bool = False,
    config: AppConfig | str | Path = "cpu",
    progress: Progress | None = None,
    confirm: Callable[[str], bool] = lambda problem: False,
) -> Spoken:
    """Speak a text; needs the extra `[voice]`.

    Args:
        text: In English.
        out: As of `render`, or a name in `.wav` for the sound alone.
        presenter: A presenter's name, or a photo or video of someone.
        style: As of `render`.
        style_strength: As of `render`.
        size: As of `render`.
        framing: As of `render`.
        background: As of `render`.
        overwrite: Whether a file of that name is replaced.
        config: A preset's name, a YAML file, or settings.
        progress: As of `render`.
        confirm: Asks whether an existing file may be replaced.

    Raises:
        VoiceMissingError: If the extra is missing.
        PresenterError: If the presenter, the text or the output can't be used; says why.
        MediaFileError: If the file can't be written.
    """
    from presenter.tts.say import SOUND_SUFFIX, say_file

    read = [Path(presenter), Path(background), *file_of(config)]
    target = prepare_output(str(out), read, overwrite=overwrite, others=(SOUND_SUFFIX,), confirm=confirm)
    settings = settings_of(config)
    shown = framing_of(size, framing, background, target)

    def stored() -> StoredIdentity:
        return styled_presenter(settings, presenter, style, style_strength)

    return Spoken(target, say_file(settings, text, stored, target, progress, shown))
