"""Enrolment and personalisation of presenters: one each at a time, in threads of their own, with progress to query."""

import asyncio
import logging
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presenter.config import EngineConfig
from presenter.enroll.enrolment import enroll_presenter
from presenter.enroll.personal import Outcome, WorkFolder, personalise_presenter
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
    """State of one enrolment, or, without an upload, of the personalisation of a presenter that is stored.

    It is written by the worker thread and read by the event loop, one attribute at a time.
    """

    id: str
    name: str
    upload: Path | None = None
    consent_by: str = ""
    face: int | None = None
    personalise: bool = False
    state: str = "queued"  # queued, running, done, failed
    progress: float = 0.0
    message: str = "Waiting"
    error: dict[str, str] | None = None
    warnings: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    work: Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "failed")

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
        if self.outcome is not None:
            body |= {"better": self.outcome.better, **self.outcome.figures, "picture": f"/api/jobs/{self.id}/picture"}
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
        self._reserved: set[str] = set()
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
        return self._reserved | {job.name for job in self._jobs.values() if not job.is_over}

    def personalising(self) -> dict[str, str]:
        """Return the ids of the jobs that personalise a presenter that there was before, by its name."""
        return {job.name: job.id for job in self._jobs.values() if job.upload is None and not job.is_over}

    def can_personalise(self, name: str) -> bool:
        """Whether frames of a presenter's video were kept, and nothing else is being done with it."""
        return name not in self.names() and WorkFolder.of(self._store, name).is_filled

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
                    id=secrets.token_urlsafe(12),
                    name=name,
                    upload=path,
                    consent_by=consent_by,
                    face=face,
                    personalise=personalise,
                )
                return self._start(job)
            finally:
                self._reserved.discard(name)
        except BaseException:
            self.uploads.discard(path)
            raise

    async def personalise(self, name: str) -> Job:
        """Queue the personalisation of a stored presenter; one that was stopped is continued.

        Raises:
            IdentityNotFoundError: if there is none of this name.
            EnrollError: if no frames of a video were kept, or it is being worked on already.
            CapacityError: if the server is shutting down.
        """
        name = (await asyncio.to_thread(self._store.entry, name)).name
        self.uploads.check_open()
        if name in self.names():
            raise EnrollError(f"{name} is being prepared already; wait until that is done")
        if not self.can_personalise(name):
            raise EnrollError(
                f"{name} can't be personalised: no frames of a video are kept to learn from; enrol it from a video"
            )
        return self._start(Job(id=secrets.token_urlsafe(12), name=name, personalise=True))

    async def cancel(self, job_id: str) -> None:
        """Stop a job and forget it; a presenter that is stored already stays, and can be personalised later.

        Raises:
            JobNotFoundError: if there is none of this id.
        """
        await self._stop(self.job(job_id))
        self._jobs.pop(job_id, None)

    async def release(self, name: str) -> None:
        """Stop what is being done with a presenter that is about to be deleted."""
        for job in [job for job in self._jobs.values() if job.upload is None and job.name == name]:
            await self._stop(job)

    async def _stop(self, job: Job) -> None:
        job.stop.set()
        if job.work is not None and not job.work.cancel():  # it has begun, and looks at `stop`
            await asyncio.wait({asyncio.wrap_future(job.work)})
        if not job.is_over:
            job.state, job.error = "failed", {"code": "stopped", "message": "It was stopped."}
            if job.upload is not None:
                self.uploads.discard(job.upload)

    def _start(self, job: Job) -> Job:
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)
        job.work = (self._slow_executor if job.personalise else self._executor).submit(self._run, job)
        return job

    def _run(self, job: Job) -> None:
        path = job.upload

        def progress(fraction: float, message: str) -> None:
            if job.stop.is_set():
                raise EnrollError("It was stopped.")
            job.progress, job.message = fraction, message

        job.state, job.message = "running", "Loading" if path is None else "Looking at the upload"
        try:
            if path is None:
                job.outcome = personalise_presenter(self._store, self._engine, job.name, progress, job.stop)
            else:
                enroll_presenter(
                    self._store,
                    self._engine,
                    path,
                    job.name,
                    progress,
                    consent_by=job.consent_by,
                    stop=job.stop,
                    face=job.face,
                    personalise=job.personalise,
                    warn=job.warnings.append,
                )
        except PresenterError as error:
            job.error = {"code": "enroll_failed", "message": str(error)}
        except Exception:
            _log.exception("the preparation of %s failed", job.name)
            job.error = {"code": "internal", "message": "The server failed on this presenter; its log says why."}
        if path is not None:
            self.uploads.discard(path)  # first, so that a place is free once the job is reported as over
        if job.error is None:
            job.progress, job.message = 1.0, "Ready"
        job.state = "done" if job.error is None else "failed"

    async def close(self) -> None:
        """Drop waiting jobs, stop the running one and delete what was uploaded; safe twice."""
        self.uploads.refuse()
        for job in self._jobs.values():
            job.stop.set()
        for executor in (self._executor, self._slow_executor):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)
        self.uploads.close()
