"""Routes of presenters and enrolment jobs."""

import asyncio

from aiohttp import hdrs, web

from presenter.errors import EnrollError
from presenter.server.app_keys import ENROLMENTS, STORE, UPLOAD_LIMIT, VIDEO_LIMIT
from presenter.server.bodies import RenameRequest
from presenter.server.enrolment_jobs import Job
from presenter.server.error_responses import ApiError
from presenter.server.parsing import UploadLimits, read_json, read_upload

routes = web.RouteTableDef()


@routes.get("/api/presenters")
async def _presenters(request: web.Request) -> web.Response:
    entries = await asyncio.to_thread(request.app[STORE].entries)
    enrolments = request.app[ENROLMENTS]
    jobs = enrolments.personalising()
    urls = request.app.router["thumbnail"]
    body = {
        "presenters": [
            {
                "name": entry.name,
                "thumbnail": str(urls.url_for(name=entry.name)),
                "own": entry.own,
                "can_personalize": enrolments.can_personalise(entry.name),
                "job": jobs.get(entry.name),
            }
            for entry in entries
            if not entry.problem
        ],
        "damaged": [{"name": entry.name, "problem": entry.problem} for entry in entries if entry.problem],
    }
    return web.json_response(body)


@routes.get("/api/presenters/{name}/thumbnail", name="thumbnail")
async def _thumbnail(request: web.Request) -> web.Response:
    picture = await asyncio.to_thread(request.app[STORE].thumbnail, request.match_info["name"])
    return web.Response(body=picture, content_type="image/png", headers={hdrs.CACHE_CONTROL: "private, max-age=300"})


@routes.post("/api/presenters")
async def _enroll(request: web.Request) -> web.Response:
    enrolments = request.app[ENROLMENTS]
    limits = UploadLimits(request.app[UPLOAD_LIMIT], request.app[VIDEO_LIMIT])
    form = await read_upload(request, enrolments.uploads, limits)
    job = await enrolments.submit(form.photo, form.name, form.consent, form.face, personalise=form.personalise)
    return _job_response(job, status=202)


@routes.patch("/api/presenters/{name}")
async def _rename(request: web.Request) -> web.Response:
    wanted = (await read_json(request, RenameRequest)).name
    pending, store = request.app[ENROLMENTS].names(), request.app[STORE]
    entry = await asyncio.to_thread(store.entry, request.match_info["name"])
    if entry.name in pending:
        raise EnrollError(f"{entry.name} is being prepared; rename it when that is done")
    name = await asyncio.to_thread(store.rename, entry.name, wanted, pending)
    return web.json_response({"name": name})


@routes.delete("/api/presenters/{name}")
async def _delete(request: web.Request) -> web.Response:
    store = request.app[STORE]
    entry = await asyncio.to_thread(store.entry, request.match_info["name"])
    await request.app[ENROLMENTS].release(entry.name)
    await asyncio.to_thread(store.delete, entry.name)
    return web.Response(status=204)


@routes.post("/api/presenters/{name}/personalize")
async def _personalise(request: web.Request) -> web.Response:
    return _job_response(await request.app[ENROLMENTS].personalise(request.match_info["name"]), status=202)


@routes.get("/api/jobs/{id}")
async def _job(request: web.Request) -> web.Response:
    return _job_response(request.app[ENROLMENTS].job(request.match_info["id"]))


@routes.get("/api/jobs/{id}/picture")
async def _picture(request: web.Request) -> web.Response:
    outcome = request.app[ENROLMENTS].job(request.match_info["id"]).outcome
    if outcome is None:
        raise ApiError(409, "not_done", "There is no picture yet; ask for the job's state until it is done.")
    return web.Response(body=outcome.sheet, content_type="image/jpeg")


@routes.delete("/api/jobs/{id}")
async def _cancel(request: web.Request) -> web.Response:
    await request.app[ENROLMENTS].cancel(request.match_info["id"])
    return web.Response(status=204)


def _job_response(job: Job, status: int = 200) -> web.Response:
    return web.json_response(job.as_json(), status=status)
