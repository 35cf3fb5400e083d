"""Routes of viewers: WHEP (draft-ietf-wish-whep), publishing by WHIP (RFC 9725), and the embedded page."""

from aiohttp import hdrs, web

from presenter.server.app_keys import PEER_CONFIG, host_of
from presenter.server.bodies import PublishRequest
from presenter.server.error_responses import ApiError, error_response
from presenter.server.parsing import read_json, read_sdp
from presenter.server.web_folder import web_folder

SDP = "application/sdp"

_EMBED_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
    "frame-ancestors *; base-uri 'none'; form-action 'none'"
)

routes = web.RouteTableDef()


@routes.options("/whep/{id}")
@routes.options("/whep/{id}/{viewer}")
async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Accept-Post": SDP})


@routes.post("/whep/{id}", name="whep")
async def _watch(request: web.Request) -> web.Response:
    if request.content_type != SDP:
        raise ApiError(415, "unsupported_media_type", f"Expected an SDP offer as {SDP}, got {request.content_type}.")
    matte = request.query.get("matte", "0") not in ("", "0", "false")
    viewer, answer = await host_of(request).watch(await read_sdp(request), matte=matte)
    location = request.app.router["viewer"].url_for(id=request.match_info["id"], viewer=viewer)
    response = web.Response(status=201, text=answer, content_type=SDP, headers={hdrs.LOCATION: str(location)})
    for link in request.app[PEER_CONFIG].ice_links():
        response.headers.add(hdrs.LINK, link)
    return response


@routes.delete("/whep/{id}/{viewer}", name="viewer")
async def _leave(request: web.Request) -> web.Response:
    await host_of(request).unwatch(request.match_info["viewer"])
    return web.Response(status=204)


@routes.route("*", "/whep/{id}")
async def _only_post(request: web.Request) -> web.Response:
    return _not_allowed(f"expected POST with an SDP offer ({SDP}), got {request.method}", "POST, OPTIONS")


@routes.route("*", "/whep/{id}/{viewer}")
async def _only_delete(request: web.Request) -> web.Response:
    """Refuse PATCH too, as RFC 9725, 4.3 requires without trickle ICE and ICE restarts."""
    text = "send an offer with all candidates to the session's address, and DELETE this one to leave"
    return _not_allowed(
        f"expected DELETE, got {request.method}; candidates are not taken one by one: {text}", "DELETE, OPTIONS"
    )


def _not_allowed(message: str, allowed: str) -> web.Response:
    response = error_response(405, "method_not_allowed", f"WHEP: {message}.")
    response.headers[hdrs.ALLOW] = allowed
    return response


@routes.post("/api/sessions/{id}/whip")
async def _publish(request: web.Request) -> web.Response:
    body = await read_json(request, PublishRequest)
    publication = await host_of(request).publish(body.url, body.token)
    location = request.app.router["publication"].url_for(id=request.match_info["id"], publication=publication)
    return web.json_response({"id": publication}, status=201, headers={hdrs.LOCATION: str(location)})


@routes.delete("/api/sessions/{id}/whip/{publication}", name="publication")
async def _unpublish(request: web.Request) -> web.Response:
    await host_of(request).publications.remove(request.match_info["publication"])
    return web.Response(status=204)


@routes.get("/embed")
async def _embed(_: web.Request) -> web.StreamResponse:
    # Any site may show it: the id of a session is the permission to watch, and no element can be clicked.
    headers = {"Content-Security-Policy": _EMBED_POLICY}
    return web.FileResponse(web_folder() / "embed.html", headers=headers)
