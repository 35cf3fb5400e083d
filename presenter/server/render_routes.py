"""Routes of renders: a recording, and a video or a presenter, become a film."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, hdrs, web

from presenter.server.app_keys import RENDERS, SESSIONS, STORE, VIDEO_LIMIT
from presenter.server.bodies import RENDER_FILES, RenderTexts
from presenter.server.error_responses import ApiError
from presenter.server.parsing import CHUNK_BYTES, LimitedLines, parse_fields, read_text, save_part, too_large, truth
from presenter.server.render_jobs import RenderJob, RenderRequest

UPLOAD_TIMEOUT_S = 600.0
"""An upload that takes longer is refused, so that slow senders do not block others."""

routes = web.RouteTableDef()


@routes.post("/api/renders")
async def _render(request: web.Request) -> web.Response:
    renders = request.app[RENDERS]
    renders.drop_old()
    wanted = await _read(request)
    try:
        await _check_names(request, wanted.texts)
        job = renders.submit(wanted)
    except BaseException:
        renders.uploads.discard(wanted.place)
        raise
    return _response(job, status=202)


@routes.get("/api/renders/{id}")
async def _state(request: web.Request) -> web.Response:
    return _response(request.app[RENDERS].job(request.match_info["id"]))


@routes.get("/api/renders/{id}/file")
async def _file(request: web.Request) -> web.StreamResponse:
    job = request.app[RENDERS].job(request.match_info["id"])
    if job.state != "done":
        raise ApiError(409, "not_done", "This film is not complete; ask for its state until it is done.")
    job.fetched = True
    headers = {hdrs.CONTENT_DISPOSITION: 'attachment; filename="presenter.mp4"', hdrs.CONTENT_TYPE: "video/mp4"}
    return web.FileResponse(job.film, headers=headers)


@routes.delete("/api/renders/{id}")
async def _delete(request: web.Request) -> web.Response:
    await request.app[RENDERS].delete(request.match_info["id"])
    return web.Response(status=204)


async def _check_names(request: web.Request, texts: RenderTexts) -> None:
    """Raise what is raised for presenters and styles that there are not; no name may be taken for a file's."""
    for name in filter(None, (texts.presenter, texts.face)):
        await asyncio.to_thread(request.app[STORE].entry, name)
    if texts.style is not None:
        await asyncio.to_thread(request.app[SESSIONS].styles.load, texts.style)


def _response(job: RenderJob, status: int = 200) -> web.Response:
    return web.json_response(job.as_json(), status=status)


async def _read(request: web.Request) -> RenderRequest:
    """Read the form; on failure what was uploaded is removed.

    Raises:
        ApiError: if the form is malformed, incomplete, too large or too slow.
        CapacityError: if there are as many renders as there may be.
    """
    limit = request.app[VIDEO_LIMIT]
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "bad_request", 'Send multipart/form-data with "audio", and "video" or "presenter".')
    if (request.content_length or 0) > len(RENDER_FILES) * limit + CHUNK_BYTES:
        raise too_large(limit)
    uploads = request.app[RENDERS].uploads
    place = request.app[RENDERS].place()
    with contextlib.ExitStack() as stack:
        stack.callback(uploads.discard, place)
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_S):
                wanted = await _read_fields(request, place, limit)
        except TimeoutError as error:
            raise ApiError(408, "timeout", f"The files did not arrive within {UPLOAD_TIMEOUT_S:.0f} s.") from error
        except (ValueError, AssertionError, LookupError) as error:  # what aiohttp raises on a malformed body
            raise ApiError(400, "bad_request", "The multipart body is malformed.") from error
        stack.pop_all()  # owned by the caller from here on
        return wanted


async def _read_fields(request: web.Request, place: Path, limit: int) -> RenderRequest:
    given: dict[str, Any] = {}
    files: dict[str, Path] = {}
    # The preamble and the headers are read line by line, without yielding while lines are available.
    content: Any = LimitedLines(request.content)
    async for part in MultipartReader(request.headers, content):
        if not isinstance(part, BodyPartReader):
            raise ApiError(400, "bad_request", "Nested multipart is not understood here.")
        if part.name in RENDER_FILES:
            path = place.with_name(part.name)
            files.pop(part.name, None)
            if await save_part(part, path, limit):
                files[part.name] = path
        elif part.name in RenderTexts.model_fields and (text := (await read_text(part)).strip()):
            is_truth = RenderTexts.model_fields[part.name].annotation is bool
            given[part.name] = truth(part.name, text) if is_truth else text
    texts = parse_fields(given, RenderTexts)
    if not files.keys() & {"audio", "driving"} and texts.face is None:
        raise ApiError(400, "bad_request", 'The form needs an "audio" or a "driving" that is not empty, or a "face".')
    if ("video" in files) == (texts.presenter is not None):
        raise ApiError(400, "bad_request", 'The form needs a "video" that is not empty, or else a "presenter".')
    if texts.face is not None and "video" not in files:
        raise ApiError(400, "bad_request", 'A "face" needs a "video" whose person gets it.')
    return RenderRequest(place=place, files=files, texts=texts)
