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
from presenter.enroll.from_video import FilmedFace
from presenter.enroll.photo import style_code_of
from presenter.enroll.video import Watch
from presenter.enroll.video_crops import write_crops
from presenter.errors import EnrollError
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity

TRAINING_S = 420.0
"""Of computing, so that enrolling and personalising take ten minutes at the most on two free cores."""
_WALL_S = 1800.0
_WORKER = Path(__file__).with_name("personal_worker.py")
_OF, _CROPS, _OUT = "video.sha256", "crops", "generator.safetensors"
Progress = Callable[[float, str], None]


class WorkFolder(NamedTuple):
    """Where a personalisation is kept until it is done, so that it can be continued."""

    path: Path

    @classmethod
    def of(cls, store: IdentityStore, name: str) -> WorkFolder:
        """The folder for a presenter."""
        return cls(store.work_folder(name))

    def is_of(self, video: Path) -> bool:
        """Whether it holds what was begun with this video."""
        mark = self.path / _OF
        return mark.is_file() and mark.read_text() == _digest(video)

    def fill(self, video: Path, filmed: FilmedFace) -> None:
        """Cut the crops of a video."""
        self.remove()
        if not write_crops(self.path / _CROPS, filmed):
            raise EnrollError("no frame of the video can be learnt from; video the face from the front")
        (self.path / _OF).write_text(_digest(video))  # last: without it the folder is incomplete

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.path, ignore_errors=True)


def personalise_presenter(
    store: IdentityStore,
    engine: EngineConfig,
    name: str,
    progress: Progress,
    stop: threading.Event | None = None,
    seconds: float = TRAINING_S,
) -> StoredIdentity:
    """Tune the generator of a stored presenter on the crops in its work folder.

    Args:
        store: Where the presenter is.
        engine: Names the base generator and how many threads there are.
        name: The presenter's.
        progress: Called with the share of the work that is done, 0..1, and a message.
        stop: Set from another thread to cancel; the work folder stays, and another call continues.
        seconds: Of training.

    Raises:
        EnrollError: If the training fails.
        DecodingStoppedError: If `stop` was set.
    """
    work = WorkFolder.of(store, name)
    init = Path(engine.generator) if engine.generator else generator_path()
    settings: dict[str, Any] = {
        "crops": str(work.path / _CROPS),
        "out": str(work.path / _OUT),
        "init": str(init.absolute()),
        "threads": min(os.cpu_count() or 1, 2),
        "seconds": seconds,
    }
    outcome = _run(settings, progress, stop or threading.Event())
    stored = store.load(name)
    if outcome["generator"] is None:
        progress(1.0, f"After: {_text(outcome['after'])}: no better, so the base generator stays")
        work.remove()
        return stored
    path = Path(outcome["generator"])
    generator = Generator.load(path)
    style = style_code_of(stored.identity.reference, generator)
    identity = replace(stored.identity, style_code=style, style_of=generator.fingerprint)
    figures = {"before": outcome["before"], "after": outcome["after"]}
    saved = store.save(identity, stored.consent, path, figures)
    work.remove()
    progress(1.0, f"After: {_text(outcome['after'])}")
    return saved


def _run(settings: dict[str, Any], progress: Progress, stop: threading.Event) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", str(_WORKER), json.dumps(settings)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(settings["threads"])},
    )  # fmt: skip
    watch = Watch(process, stop, _WALL_S)
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
