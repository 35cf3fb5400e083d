"""Enrolment of uploads: one at a time, in a thread of their own, with progress to query."""

import asyncio
import logging
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presenter.config import EngineConfig
from presenter.enroll.enrolment import enroll_presenter
from presenter.errors import EnrollError, JobNotFoundError, PresenterError
from presenter.runtime.identities import IdentityStore
from presenter.runtime.names import check_name
from presenter.server.uploads import Uploads

KEPT_JOBS = 100
MAX_UPLOADS = 4
"""Photos and videos on disk at a time, whether they are arriving, waiting or being enrolled."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Job:
    """State of one enrolment; written by the worker thread and read by the event loop, one attribute at a time."""

    id: str
    name: str
    consent_by: str = ""
    face: int | None = None
    personalise: bool = False
    state: str = "queued"  # queued, running, done, failed
    progress: float = 0.0
    message: str = "Waiting"
    error: dict[str, str] | None = None
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the body of `GET /api/jobs/{id}`."""
        body: dict[str, Any] = {
            "id": self.id,
            "state": self.state,
            "progress": round(self.progress, 3),
            "message": self.message,
            "warnings": list(self.warnings),
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
        # Personalisation takes minutes: those who only enrol do not wait for it.
        self._slow_executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="personalise")
        self._tasks: set[asyncio.Future[None]] = set()
        self._reserved: set[str] = set()
        self._stop = threading.Event()
        self.uploads = Uploads(
            store.own / ".uploads",
            "upload",
            MAX_UPLOADS,
            "Several presenters are being prepared already; try again in a minute.",
        )
        """Where photos and videos are stored until their job ends."""

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobNotFoundError: if there is none of this id, or it is no longer kept.
        """
        if (job := self._jobs.get(job_id)) is None:
            raise JobNotFoundError("There is no such job.")
        return job

    def names(self) -> set[str]:
        """Return names that are being enrolled or are about to be."""
        return self._reserved | {job.name for job in self._jobs.values() if job.state in ("queued", "running")}

    async def submit(
        self, path: Path, name: str, consent_by: str = "", face: int | None = None, *, personalise: bool = False
    ) -> Job:
        """Queue the photo or video at `path`, which is discarded when the job ends or is refused.

        `consent_by` is kept with it; `face` chooses one of several, counted from the left from 1; `personalise` tunes
        the generator to the person in a video.

        The name is reserved before the stored ones are looked up: of several uploads of one name, one is accepted.

        Raises:
            EnrollError: if the name can't be used or is taken.
            CapacityError: if the server is shutting down.
        """
        try:
            name = check_name(name, self.names())
            self._reserved.add(name)
            try:
                check_name(name, await asyncio.to_thread(self._store.taken_names))
                self.uploads.check_open()
                job = Job(
                    id=secrets.token_urlsafe(12), name=name, consent_by=consent_by, face=face, personalise=personalise
                )
                return self._start(path, job)
            finally:
                self._reserved.discard(name)
        except BaseException:
            self.uploads.discard(path)
            raise

    def _start(self, path: Path, job: Job) -> Job:
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)
        executor = self._slow_executor if job.personalise else self._executor
        task = asyncio.get_running_loop().run_in_executor(executor, self._run, job, path)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def _run(self, job: Job, path: Path) -> None:
        def progress(fraction: float, message: str) -> None:
            if self._stop.is_set():
                raise EnrollError("The server has stopped.")
            job.progress, job.message = fraction, message

        job.state, job.message = "running", "Looking at the upload"
        try:
            enroll_presenter(
                self._store,
                self._engine,
                path,
                job.name,
                progress,
                consent_by=job.consent_by,
                stop=self._stop,
                face=job.face,
                personalise=job.personalise,
                warn=job.warnings.append,
            )
        except PresenterError as error:
            job.error = {"code": "enroll_failed", "message": str(error)}
        except Exception:
            _log.exception("enrolment of %s failed", job.name)
            job.error = {"code": "internal", "message": "The server failed on this upload; its log says why."}
        self.uploads.discard(path)  # first, so that a place is free once the job is reported as over
        if job.error is None:
            job.progress, job.message = 1.0, "Ready"
        job.state = "done" if job.error is None else "failed"

    async def close(self) -> None:
        """Drop waiting jobs, stop the running one and delete what was uploaded; safe twice."""
        self._stop.set()
        self.uploads.refuse()
        for executor in (self._executor, self._slow_executor):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self.uploads.close()
