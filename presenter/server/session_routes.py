"""Routes of live sessions: open, connect the page, speak, interrupt, follow, end."""

import asyncio

from aiohttp import web

from presenter.errors import CapacityError
from presenter.server.app_keys import METRICS, SESSIONS, host_of
from presenter.server.bodies import ChangeRequest, OfferRequest, SayRequest, SessionRequest
from presenter.server.error_responses import ApiError
from presenter.server.parsing import read_json
from presenter.server.speech_socket import serve_bot, serve_observer
from presenter.tts.voice import missing
from stream.dialects import open_codec
from stream.wire import WireError

routes = web.RouteTableDef()


@routes.post("/api/sessions")
async def _open(request: web.Request) -> web.Response:
    body = await read_json(request, SessionRequest)
    try:
        session_id = await request.app[SESSIONS].open(
            body.presenter, body.microphone, body.style, body.style_strength, body.framed()
        )
    except CapacityError:
        request.app[METRICS].sessions_refused.inc()
        raise
    return web.json_response({"id": session_id})


@routes.get("/api/capacity")
async def _capacity(request: web.Request) -> web.Response:
    sessions = request.app[SESSIONS]
    return web.json_response({"active": sessions.active, "limit": sessions.limit, "measured": sessions.is_measured})


@routes.post("/api/sessions/{id}/offer")
async def _offer(request: web.Request) -> web.Response:
    body = await read_json(request, OfferRequest)
    return web.json_response({"sdp": await host_of(request).answer(body.sdp), "type": "answer"})


@routes.patch("/api/sessions/{id}")
async def _change(request: web.Request) -> web.Response:
    body = await read_json(request, ChangeRequest)
    sessions, session_id = request.app[SESSIONS], request.match_info["id"]
    host = sessions.host(session_id)
    if body.presenter is not None:
        await sessions.show(session_id, body.presenter)
    if body.changes_style:
        await sessions.use_style(session_id, body.style, body.style_strength)
    if (framing := body.reframed(host.framing)) != host.framing:
        await sessions.reframe(session_id, framing)
    return web.Response(status=204)


@routes.get("/api/styles")
async def _styles(request: web.Request) -> web.Response:
    return web.json_response({"styles": await asyncio.to_thread(request.app[SESSIONS].styles.names)})


@routes.delete("/api/sessions/{id}")
async def _end(request: web.Request) -> web.Response:
    await request.app[SESSIONS].close_one(request.match_info["id"])
    return web.Response(status=204)


@routes.post("/api/sessions/{id}/interrupt")
async def _interrupt(request: web.Request) -> web.Response:
    interrupted = host_of(request).session.interrupt()
    return web.json_response({"utterance_id": interrupted.utterance, "played_ms": interrupted.played_ms})


@routes.post("/api/sessions/{id}/say")
async def _say(request: web.Request) -> web.Response:
    host = host_of(request)
    utterance = await host.text_speaker.say((await read_json(request, SayRequest)).text)
    return web.json_response({"utterance_id": utterance})


@routes.get("/api/voice")
async def _voice(_: web.Request) -> web.Response:
    why_not = missing()
    return web.json_response({"available": why_not is None, "message": why_not or "A voice is built in."})


@routes.get("/api/sessions/{id}/audio")
async def _speak(request: web.Request) -> web.WebSocketResponse:
    host = host_of(request)
    try:
        codec = open_codec(request.query.get("dialect", "native"), request.query)
    except WireError as error:
        raise ApiError(400, error.code, f"{error}.") from error
    return await serve_bot(request, host, request.match_info["id"], codec)


@routes.get("/api/sessions/{id}/events")
async def _follow(request: web.Request) -> web.WebSocketResponse:
    host = host_of(request)
    with host.observer():
        return await serve_observer(request, host, open_codec("native", {}))
