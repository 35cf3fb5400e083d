"""The HTTP application: the page, presenters, enrolment, sessions and health."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.typedefs import Middleware

from presenter import guard
from presenter.config import AppConfig
from presenter.engine import Engine
from presenter.enrolment import Enrolments, Job, check_name
from presenter.errors import CapacityError
from presenter.guard import ApiError
from presenter.identities import IdentityStore
from presenter.metrics import Metrics
from presenter.sessions import Sessions

MAX_JSON_BYTES = 256 * 1024  # a full SDP offer is about 8 KB
UPLOAD_CHUNK_BYTES = 1 << 16

_ENROLMENTS = web.AppKey("enrolments", Enrolments)
_METRICS = web.AppKey("metrics", Metrics)
_SESSIONS = web.AppKey("sessions", Sessions)
_STORE = web.AppKey("store", IdentityStore)
_UPLOAD_LIMIT = web.AppKey("upload_limit", int)

_log = logging.getLogger(__name__)
routes = web.RouteTableDef()


def create_app(engine: Engine, store: IdentityStore, config: AppConfig) -> web.Application:
    """Build the application; it owns its sessions and enrolment jobs and closes them on shutdown.

    Args:
        engine: loaded and warm; lends one renderer per session.
        store: the presenters on disk.
        config: `config.server` says token, limits and the host the server is bound to.
    """
    server = config.server
    middlewares: list[Middleware] = [guard.json_errors, guard.check_origin]
    middlewares.append(guard.check_token(server.token) if server.token else guard.check_host(server.host))
    app = web.Application(middlewares=middlewares, client_max_size=MAX_JSON_BYTES)
    metrics = Metrics()
    app[_METRICS] = metrics
    app[_STORE] = store
    app[_ENROLMENTS] = Enrolments(store)
    app[_SESSIONS] = Sessions(engine, store, metrics, limit=server.max_sessions)
    app[_UPLOAD_LIMIT] = server.max_upload_mb * 1024 * 1024
    app.on_response_prepare.append(guard.add_security_headers)
    app.on_shutdown.append(_shut_down)
    app.add_routes(routes)
    app.router.add_static("/static/", web_folder())
    return app


def web_folder() -> Path:
    """Return the folder of the page, which lies beside this package in a checkout and in a wheel alike."""
    return Path(__file__).resolve().parent.parent / "web"


async def _shut_down(app: web.Application) -> None:
    await app[_SESSIONS].close()
    await app[_ENROLMENTS].close()


@routes.get("/")
async def _page(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(web_folder() / "index.html")


@routes.get("/favicon.ico")
async def _favicon(_: web.Request) -> web.StreamResponse:
    return web.FileResponse(web_folder() / "favicon.svg")


@routes.get("/healthz")
async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def _ready(request: web.Request) -> web.Response:
    sessions = request.app[_SESSIONS]
    if sessions.closed:
        raise ApiError(503, "shutting_down", "The server is shutting down.")
    return web.json_response({"status": "ready", "sessions": {"active": sessions.active, "limit": sessions.limit}})


@routes.get("/metrics")
async def _metrics(request: web.Request) -> web.Response:
    body = request.app[_METRICS].exposition()
    return web.Response(body=body.encode(), headers={hdrs.CONTENT_TYPE: "text/plain; version=0.0.4; charset=utf-8"})


# ---- presenters ----


@routes.get("/api/presenters")
async def _presenters(request: web.Request) -> web.Response:
    names = await asyncio.to_thread(request.app[_STORE].names)
    urls = request.app.router["thumbnail"]
    return web.json_response(
        {"presenters": [{"name": name, "thumbnail": str(urls.url_for(name=name))} for name in names]}
    )


@routes.get("/api/presenters/{name}/thumbnail", name="thumbnail")
async def _thumbnail(request: web.Request) -> web.Response:
    picture = await asyncio.to_thread(request.app[_STORE].thumbnail, request.match_info["name"])
    return web.Response(body=picture, content_type="image/png", headers={hdrs.CACHE_CONTROL: "private, max-age=300"})


@routes.post("/api/presenters")
async def _enroll(request: web.Request) -> web.Response:
    enrolments, limit = request.app[_ENROLMENTS], request.app[_UPLOAD_LIMIT]
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "bad_request", 'Send multipart/form-data with the fields "name" and "photo".')
    if (request.content_length or 0) > limit + UPLOAD_CHUNK_BYTES:
        raise _too_large(limit)
    enrolments.check_room()
    name, upload = await _read_upload(request, enrolments, limit)
    taken = set(await asyncio.to_thread(request.app[_STORE].names)) | enrolments.pending_names()
    try:
        job = enrolments.submit(upload, check_name(name, taken))
    except BaseException:
        upload.unlink(missing_ok=True)
        raise
    return _job_response(job, status=202)


async def _read_upload(request: web.Request, enrolments: Enrolments, limit: int) -> tuple[str, Path]:
    """Read the two fields in either order, the photo straight to disk; on failure nothing stays behind."""
    name: str | None = None
    upload: Path | None = None
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ApiError(400, "bad_request", "Nested multipart is not understood here.")
            if part.name == "name":
                name = (await part.read_chunk(1024)).decode(errors="replace")
            elif part.name == "photo" and upload is None:
                upload = enrolments.upload_path(part.filename or "")
                await _save(part, upload, limit)
        if name is None or upload is None or upload.stat().st_size == 0:
            raise ApiError(400, "bad_request", 'The form needs a "name" and a "photo" that is not empty.')
    except (ValueError, AssertionError) as error:  # what aiohttp raises on a malformed body
        _discard(upload)
        raise ApiError(400, "bad_request", "The multipart body is malformed.") from error
    except BaseException:
        _discard(upload)
        raise
    return name, upload


async def _save(part: BodyPartReader, path: Path, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        while data := await part.read_chunk(UPLOAD_CHUNK_BYTES):
            size += len(data)
            if size > limit:
                raise _too_large(limit)
            file.write(data)


def _discard(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"The file is too large; at most {limit >> 20} MB are accepted.")


@routes.get("/api/jobs/{id}")
async def _job(request: web.Request) -> web.Response:
    job = request.app[_ENROLMENTS].get(request.match_info["id"])
    if job is None:
        raise ApiError(404, "job_not_found", "There is no such job.")
    return _job_response(job)


def _job_response(job: Job, status: int = 200) -> web.Response:
    return web.json_response(job.as_json(), status=status)


# ---- sessions ----


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, "bad_request", f"The body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", "The body must be a JSON object.")
    return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise ApiError(400, "bad_request", f'"{key}" must be a non-empty text.')
    return value


@routes.post("/api/sessions")
async def _open_session(request: web.Request) -> web.Response:
    name = _text(await _json_object(request), "presenter")
    try:
        session_id = await request.app[_SESSIONS].open(name)
    except CapacityError:
        request.app[_METRICS].sessions_refused_total += 1
        raise
    return web.json_response({"id": session_id})


@routes.post("/api/sessions/{id}/offer")
async def _offer(request: web.Request) -> web.Response:
    body = await _json_object(request)
    sdp = _text(body, "sdp")
    if body.get("type") != "offer":
        raise ApiError(400, "bad_request", '"type" must be "offer".')
    answer = await request.app[_SESSIONS].answer(request.match_info["id"], sdp)
    return web.json_response({"sdp": answer, "type": "answer"})


@routes.delete("/api/sessions/{id}")
async def _close_session(request: web.Request) -> web.Response:
    await request.app[_SESSIONS].close_one(request.match_info["id"])
    return web.Response(status=204)
