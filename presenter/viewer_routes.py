"""Routes for those who watch: WHEP (draft-ietf-wish-whep) for players, the embedded page for everybody else."""

from aiohttp import hdrs, web

from presenter.guard import ApiError
from presenter.keys import seat_of
from presenter.web_folder import web_folder

SDP = "application/sdp"

_CORS: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST, DELETE, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, content-type",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "location",
}
_EMBED_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
    "frame-ancestors *; base-uri 'none'; form-action 'none'"
)

routes = web.RouteTableDef()


@routes.options("/whep/{id}")
@routes.options("/whep/{id}/{viewer}")
async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204, headers=_CORS | {"Accept-Post": SDP})


@routes.post("/whep/{id}", name="whep")
async def _watch(request: web.Request) -> web.Response:
    if request.content_type != SDP:
        raise ApiError(415, "unsupported_media_type", f"Expected an SDP offer as {SDP}, got {request.content_type}.")
    viewer, answer = await seat_of(request).watch(await request.text())
    location = request.app.router["viewer"].url_for(id=request.match_info["id"], viewer=viewer)
    return web.Response(status=201, text=answer, content_type=SDP, headers=_CORS | {hdrs.LOCATION: str(location)})


@routes.delete("/whep/{id}/{viewer}", name="viewer")
async def _leave(request: web.Request) -> web.Response:
    await seat_of(request).unwatch(request.match_info["viewer"])
    return web.Response(status=204, headers=_CORS)


@routes.get("/embed")
async def _embed(_: web.Request) -> web.StreamResponse:
    # Any site may show it: whoever knows the id of a session may watch, and there is nothing to press.
    headers = {"Content-Security-Policy": _EMBED_POLICY}
    return web.FileResponse(web_folder() / "embed.html", headers=headers)
