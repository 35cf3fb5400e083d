"""Uploads that become presenters: one at a time, in a thread of their own, with progress to ask for."""

import asyncio
import logging
import re
import secrets
import shutil
import tempfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presenter.config import EngineConfig
from presenter.enroll.enrolment import enroll_presenter
from presenter.errors import CapacityError, JobNotFoundError, PresenterError
from presenter.runtime.identities import IdentityStore

MAX_WAITING = 4
KEPT_JOBS = 100
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Job:
    """One upload on its way; written by the worker thread and read by the event loop, one attribute at a time."""

    id: str
    name: str
    state: str = "queued"  # queued, running, done, failed
    progress: float = 0.0
    message: str = "Waiting"
    error: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the body of `GET /api/jobs/{id}`."""
        body: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "progress": round(self.progress, 3),
            "message": self.message,
        }
        if self.state == "done":
            body["presenter"] = self.name
        if self.error is not None:
            body["error"] = self.error
        return body


class Enrolments:
    """Runs enrolments one after another and remembers the latest ones."""

    def __init__(self, store: IdentityStore, engine: EngineConfig) -> None:
        """Start nothing yet; the worker thread begins with the first job."""
        self._store = store
        self._engine = engine
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="enrol")
        self._tasks: set[asyncio.Future[None]] = set()
        self._uploads = tempfile.TemporaryDirectory(prefix="presenter-uploads-")

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobNotFoundError: if it never was or is long over.
        """
        if (job := self._jobs.get(job_id)) is None:
            raise JobNotFoundError("There is no such job.")
        return job

    def pending_names(self) -> set[str]:
        """Return names that are being enrolled, so that no two jobs write the same presenter."""
        return {job.name for job in self._jobs.values() if job.state in ("queued", "running")}

    def check_room(self) -> None:
        """Raise `CapacityError` when the queue is full; cheap, so it can run before an upload is read."""
        if len(self.pending_names()) >= MAX_WAITING:
            raise CapacityError("Several photos are being prepared already; try again in a minute.")

    def upload_path(self, filename: str) -> Path:
        """Return a new path, in a folder of its own, to write an upload to, until `submit` or `discard`.

        Only the extension is taken from the user's file name.
        """
        suffix = Path(filename).suffix.lower()
        folder = Path(tempfile.mkdtemp(dir=self._uploads.name))
        return folder / ("photo" + (suffix if _SUFFIX.fullmatch(suffix) else ""))

    def discard(self, path: Path) -> None:
        """Delete an upload and its folder; nothing happens when they are gone."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def submit(self, path: Path, name: str) -> Job:
        """Queue the photo at `path`, which is discarded when the job ends.

        Raises:
            CapacityError: if too many jobs wait already.
        """
        self.check_room()
        job = Job(id=secrets.token_urlsafe(12), name=name)
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)
        task = asyncio.get_running_loop().run_in_executor(self._executor, self._run, job, path)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def _run(self, job: Job, path: Path) -> None:
        def progress(fraction: float, message: str) -> None:
            job.progress, job.message = fraction, message

        job.state, job.message = "running", "Looking at the photo"
        try:
            enroll_presenter(self._store, self._engine, path, job.name, progress)
        except PresenterError as error:
            job.error = {"code": "enroll_failed", "message": str(error)}
            job.state = "failed"
        except Exception:
            _log.exception("enrolment of %s failed", job.name)
            job.error = {"code": "internal", "message": "The server failed on this photo; its log says why."}
            job.state = "failed"
        else:
            job.progress, job.message = 1.0, "Ready"
            job.state = "done"
        finally:
            self.discard(path)

    async def close(self) -> None:
        """Drop waiting jobs, wait for the running one and delete what was uploaded; safe twice."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        self._uploads.cleanup()
