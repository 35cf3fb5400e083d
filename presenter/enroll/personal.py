"""Personalises a presenter made from a video: its generator is tuned in another process, and kept if it is better."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from models.generator import Generator
from models.weights import generator_path
from presenter.config import EngineConfig
from presenter.enroll.filmed import FilmedFace
from presenter.enroll.photo import style_code_of
from presenter.enroll.video import Watch
from presenter.enroll.video_crops import pack_crops, unpack_crops, write_crops
from presenter.errors import EnrollError
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import Figures, StoredIdentity

_WALL_TIMES = 4.0  # as long as it may learn, a personalisation may take on a busy machine; and it has to load
_LOADING_S = 120.0
_WORKER = Path(__file__).with_name("personal_worker.py")
_OF, _CROPS, _OUT, _SHEET = "video.sha256", "crops", "generator.safetensors", "sheet.jpg"
Progress = Callable[[float, str], None]


class Outcome(NamedTuple):
    """Of a personalisation.

    Attributes:
        stored: The presenter, with the generator that renders it from now on.
        better: Whether that is the tuned one.
        figures: `before` and `after`, see `models.training.personal.Figures`.
        sheet: Mouths from frames that were kept back, a JPEG; the columns are: as filmed, before, after.
    """

    stored: StoredIdentity
    better: bool
    figures: Figures
    sheet: bytes


class WorkFolder(NamedTuple):
    """What a presenter can be personalised with: crops of its video, and what was learnt from them so far."""

    path: Path

    @classmethod
    def of(cls, store: IdentityStore, name: str) -> WorkFolder:
        """The folder for a presenter."""
        return cls(store.work_folder(name))

    def is_of(self, video: Path) -> bool:
        """Whether it holds what was begun with this video."""
        mark = self.path / _OF
        return mark.is_file() and mark.read_text() == _digest(video)

    @property
    def is_filled(self) -> bool:
        """Whether there is anything to learn from."""
        return (self.path / _OF).is_file()

    def fill(self, video: Path, filmed: FilmedFace) -> None:
        """Keep the crops of a video: about 20 MB.

        Raises:
            EnrollError: If there are none.
            OSError: If they can't be written.
        """
        self.remove()
        try:
            if not write_crops(self.path / _CROPS, filmed):
                raise EnrollError("no frame of the video can be learnt from; video the face from the front")
            pack_crops(self.path / _CROPS)
            (self.path / _OF).write_text(_digest(video))  # last: without it the folder is incomplete
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)


def personalise_presenter(
    store: IdentityStore,
    engine: EngineConfig,
    name: str,
    progress: Progress,
    stop: threading.Event | None = None,
) -> Outcome:
    """Tune the generator of a stored presenter on the crops that were kept of its video, and keep it if it is better.

    The crops are deleted then: the same video would teach the same again.

    Args:
        store: Where the presenter is.
        engine: Names the base generator, and how long it learns.
        name: The presenter's.
        progress: Called with the share of the work that is done, 0..1, and a message.
        stop: Set from another thread to cancel; the work folder stays, and another call continues.

    Raises:
        EnrollError: If there is nothing to learn from, or the training fails.
        DecodingStoppedError: If `stop` was set.
    """
    work = WorkFolder.of(store, name)
    if not work.is_filled:
        raise EnrollError(
            f"expected a presenter with frames of a video to learn from, {name} has none; enrol it from a video"
        )
    unpack_crops(work.path / _CROPS)
    init = Path(engine.generator) if engine.generator else generator_path()
    settings: dict[str, Any] = {
        "crops": str(work.path / _CROPS),
        "out": str(work.path / _OUT),
        "init": str(init.absolute()),
        "sheet": str(work.path / _SHEET),
        "threads": min(os.cpu_count() or 1, 2),
        "seconds": engine.personalise_s,
    }
    outcome = _run(settings, progress, stop or threading.Event())
    from models.training.crop_dataset import Crops
    from models.training.personal_pairs import references_of

    stored = store.load(name)
    references = references_of(Crops.load(work.path / _CROPS))  # what it learnt with, whatever was chosen before
    figures = {"before": outcome["before"], "after": outcome["after"]}
    sheet = (work.path / _SHEET).read_bytes()
    if outcome["generator"] is None:
        work.remove()
        progress(1.0, f"After: {_text(outcome['after'])}: no better, so the base generator stays")
        return Outcome(stored, False, figures, sheet)
    path = Path(outcome["generator"])
    generator = Generator.load(path)
    style = style_code_of(stored.identity.reference, generator)
    identity = replace(stored.identity, style_code=style, style_of=generator.fingerprint, references=references)
    saved = store.save(identity, stored.consent, path, figures)
    work.remove()
    progress(1.0, f"After: {_text(outcome['after'])}")
    return Outcome(saved, True, figures, sheet)


def _run(settings: dict[str, Any], progress: Progress, stop: threading.Event) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", str(_WORKER), json.dumps(settings)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(settings["threads"])},
    )  # fmt: skip
    watch = Watch(process, stop, _LOADING_S + _WALL_TIMES * settings["seconds"])
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    listener = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    listener.start()
    outcome: dict[str, Any] | None = None
    try:
        for line in process.stdout:
            said = json.loads(line)
            if "progress" in said:
                progress(said["progress"], said["message"])
            else:
                outcome = said
    finally:
        watch.end()
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()
    watch.check_stopped("the generator was personalised")
    if outcome is None:
        reason = errors[-1].strip() if errors else f"status {process.returncode}"
        raise EnrollError(f"personalising failed ({reason}); the presenter works with the base generator")
    return outcome


def _text(figures: dict[str, float]) -> str:
    from models.training.personal import Figures

    return str(Figures(**figures))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
