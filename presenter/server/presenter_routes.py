"""Routes of presenters and enrolment jobs."""

import asyncio

from aiohttp import hdrs, web

from presenter.server.app_keys import ENROLMENTS, STORE, UPLOAD_LIMIT, VIDEO_LIMIT
from presenter.server.bodies import RenameRequest
from presenter.server.enrolment_jobs import Job
from presenter.server.parsing import UploadLimits, read_json, read_upload

routes = web.RouteTableDef()


@routes.get("/api/presenters")
async def _presenters(request: web.Request) -> web.Response:
    entries = await asyncio.to_thread(request.app[STORE].entries)
    urls = request.app.router["thumbnail"]
    body = {
        "presenters": [
            {"name": entry.name, "thumbnail": str(urls.url_for(name=entry.name)), "own": entry.own}
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
    pending = request.app[ENROLMENTS].names()
    name = await asyncio.to_thread(request.app[STORE].rename, request.match_info["name"], wanted, pending)
    return web.json_response({"name": name})


@routes.delete("/api/presenters/{name}")
async def _delete(request: web.Request) -> web.Response:
    await asyncio.to_thread(request.app[STORE].delete, request.match_info["name"])
    return web.Response(status=204)


@routes.get("/api/jobs/{id}")
async def _job(request: web.Request) -> web.Response:
    return _job_response(request.app[ENROLMENTS].job(request.match_info["id"]))


def _job_response(job: Job, status: int = 200) -> web.Response:
    return web.json_response(job.as_json(), status=status)
