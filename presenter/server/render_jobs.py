"""Rendering of uploads: one at a time, each in a process of its own, with progress to query and a film to fetch."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presenter.config import AppConfig, ServerConfig
from presenter.errors import JobNotFoundError
from presenter.runtime.identities import IdentityStore
from presenter.server.bodies import RenderTexts
from presenter.server.error_responses import DISK_FULL, is_disk_full
from presenter.server.uploads import Uploads

MAX_RENDERS = 6
"""Renders at a time that are arriving, waiting or running, and films that are kept."""
KEPT_S = 3600.0
"""A film that is done can be fetched for this long, unless newer ones take its place."""
MAX_RUNNING_S = 2 * 3600.0

_OUT = "film.mp4"
_ROOT = str(Path(__file__).resolve().parents[2])
_FAILED = "The server failed on these files; its log says why."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """What to render.

    Attributes:
        place: Path of an upload; its folder holds the files, and is removed with the job.
        files: Files of it, by the names that `presenter.api.render` has for them: `audio`, `video`, `driving`.
        texts: The other arguments of `presenter.api.render`, with names of presenters and styles that there are.
    """

    place: Path
    files: dict[str, Path]
    texts: RenderTexts


@dataclass(kw_only=True)
class RenderJob:
    """State of one render."""

    id: str
    request: RenderRequest
    state: str = "queued"  # queued, running, done, failed
    progress: float = 0.0
    message: str = "Waiting"
    error: dict[str, str] | None = None
    result: dict[str, Any] = field(default_factory=dict)
    ended: float | None = None
    fetched: bool = False

    @property
    def film(self) -> Path:
        """Where the film is once the state is `done`."""
        return self.request.place.parent / _OUT

    def as_json(self) -> dict[str, Any]:
        """Return the body of `GET /api/renders/{id}`."""
        body: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "progress": round(self.progress, 3),
            "message": self.message,
        }
        if self.state == "done":
            body |= {"file": f"/api/renders/{self.id}/file", **self.result}
        if self.error is not None:
            body["error"] = self.error
        return body


class Renders:
    """Runs renders one after another and keeps their films for a while."""

    def __init__(self, store: IdentityStore, config: AppConfig) -> None:
        """Start nothing yet."""
        # The worker needs no secret of the server, and the presenters of this store.
        self._config = dataclasses.replace(config, server=ServerConfig(), presenters=str(store.own))
        self._jobs: dict[str, RenderJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self.uploads = Uploads(
            store.own / ".renders",
            "upload",
            MAX_RENDERS,
            "Several films are being rendered already; delete one, or try again when one is done.",
        )
        """Where recordings, videos and films are kept until their job is deleted."""

    def job(self, job_id: str) -> RenderJob:
        """Return a job.

        Raises:
            JobNotFoundError: if there is none of this id, or it is no longer kept.
        """
        self.drop_old()
        if (job := self._jobs.get(job_id)) is None:
            raise JobNotFoundError("There is no such render, or its film is no longer kept.")
        return job

    def submit(self, request: RenderRequest) -> RenderJob:
        """Queue a render; the folder of `request.place` is removed when the job is deleted.

        Raises:
            CapacityError: if the server is shutting down.
        """
        self.uploads.check_open()
        job = RenderJob(id=secrets.token_urlsafe(12), request=request)
        self._jobs[job.id] = job
        self._tasks[job.id] = asyncio.create_task(self._run(job))
        return job

    async def delete(self, job_id: str) -> None:
        """Stop a job if it runs, and delete its files.

        Raises:
            JobNotFoundError: if there is none of this id.
        """
        job = self.job(job_id)
        del self._jobs[job_id]
        await self._stop(job)

    def drop_old(self) -> None:
        """Delete films that have been kept long enough."""
        for job in [job for job in self._jobs.values() if job.ended and time.monotonic() - job.ended > KEPT_S]:
            del self._jobs[job.id]
            self.uploads.discard(job.request.place)

    def place(self) -> Path:
        """Return a path for a new upload; no film is given up for it before it is one itself.

        Raises:
            CapacityError: if as many renders are arriving, waiting and running as there may be.
        """
        return self.uploads.open("", finished=len(self._films()))

    def _films(self) -> list[RenderJob]:
        return [job for job in self._jobs.values() if job.state == "done"]

    def _keep(self, job: RenderJob) -> None:
        """Keep a film that was just made, without what it was made of, instead of an old one: one that was fetched."""
        for path in job.request.files.values():
            path.unlink(missing_ok=True)
        others = sorted((film for film in self._films() if film is not job), key=lambda film: not film.fetched)
        if len(others) >= self.uploads.limit:
            del self._jobs[others[0].id]
            self.uploads.discard(others[0].request.place)

    async def close(self) -> None:
        """Stop all jobs and delete their files; safe twice."""
        self.uploads.refuse()
        jobs = list(self._jobs.values())
        self._jobs.clear()
        for task in self._tasks.values():  # all at once: the end of one would let the next begin
            task.cancel()
        for job in jobs:
            await self._stop(job)
        self.uploads.close()

    async def _stop(self, job: RenderJob) -> None:
        if (task := self._tasks.pop(job.id, None)) is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.uploads.discard(job.request.place)

    async def _run(self, job: RenderJob) -> None:
        try:
            async with self._turn, asyncio.timeout(MAX_RUNNING_S):
                job.state, job.message = "running", "Loading"
                await self._render(job)
        except TimeoutError:
            job.error = {"code": "timeout", "message": f"Took more than {MAX_RUNNING_S / 3600:.0f} hours."}
        except Exception as error:
            _log.exception("render %s failed", job.id)
            full = is_disk_full(error)
            job.error = (
                {"code": "disk_full", "message": DISK_FULL} if full else {"code": "internal", "message": _FAILED}
            )
        self._tasks.pop(job.id, None)
        job.ended = time.monotonic()
        if job.error is None:
            job.state, job.progress, job.message = "done", 1.0, "Ready"
            self._keep(job)
        else:
            job.state = "failed"
            self.uploads.discard(job.request.place)

    async def _render(self, job: RenderJob) -> None:
        """Run the worker to its end, and follow what it says."""
        request, folder = job.request, job.request.place.parent
        settings = folder / "config.yaml"  # JSON is YAML
        settings.write_text(json.dumps(dataclasses.asdict(self._config)))
        arguments = request.texts.model_dump(exclude_none=True) | {"audio": None}
        arguments |= {name: str(path) for name, path in request.files.items()}
        arguments |= {"out": str(job.film), "config": str(settings)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "presenter.server.render_worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=_environment(),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(arguments).encode() + b"\n")
            process.stdin.close()
            async for line in process.stdout:
                self._note(job, json.loads(line))
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode and job.error is None:
            _log.error("render %s: the worker ended with status %d", job.id, process.returncode)
            job.error = {"code": "internal", "message": _FAILED}

    @staticmethod
    def _note(job: RenderJob, told: dict[str, Any]) -> None:
        if "error" in told:
            text = told["error"].replace(f"{job.request.place.parent}/", "")
            job.error = {"code": told["code"], "message": text}
        elif "frames" in told:
            job.result = told
        else:
            job.progress, job.message = told["progress"], told["what"]


def _environment() -> dict[str, str]:
    """The worker's: it imports this package, and nothing from the folder in which the server was started (`-P`)."""
    given = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([_ROOT, *([given] if given else [])])}
