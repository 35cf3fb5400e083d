"""LiveAvatar's session API (LITE mode), so that its web SDK connects when its `apiUrl` is this server's.

The user's own server asks for a session token; the page's SDK starts the session with it, opens the websocket that is
named in the answer, and sends speech there. Pictures come by `/whep/{session_id}` or `/embed?session=`, since there is
no LiveKit room. Source: docs.liveavatar.com, API reference; the client @heygen/liveavatar-web-sdk 0.0.18.
"""

from __future__ import annotations

import base64
import json
import secrets

from aiohttp import hdrs, web

from presenter.server.access import check_key
from presenter.server.app_keys import SESSIONS
from presenter.server.bodies import LiveAvatarSessionRequest
from presenter.server.error_responses import ApiError
from presenter.server.middleware import LIVEAVATAR_PREFIX
from presenter.server.parsing import read_json
from presenter.server.session_tokens import SessionTokens, open_session
from presenter.server.speech_socket import serve_bot
from stream.dialects import open_codec

SESSION_TOKENS = web.AppKey("liveavatar_tokens", SessionTokens)
"""Session tokens, valid until the session is stopped."""
ORIGIN = web.AppKey("liveavatar_origin", str)
"""`scheme://host` of this server where a proxy changes it; or empty."""

_KEY = "X-API-KEY"
_SUCCESS = 1000

routes = web.RouteTableDef()


def add_liveavatar(app: web.Application, public_origin: str) -> None:
    """Add the routes to an application that has `SESSIONS` and `TOKENS`."""
    app[SESSION_TOKENS], app[ORIGIN] = SessionTokens(), public_origin.rstrip("/")
    app.add_routes(routes)


@routes.post("/v1/sessions/token")
async def _token(request: web.Request) -> web.Response:
    check_key(request, _KEY)
    name = (await read_json(request, LiveAvatarSessionRequest)).avatar_id
    session, _ = await open_session(request.app[SESSIONS], name)
    request.app[SESSION_TOKENS].add(token := _new_token(), session)
    return _answer(session_id=session, session_token=token)


@routes.options(LIVEAVATAR_PREFIX + "{action:start|stop|keep-alive}")
async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204)


@routes.post(LIVEAVATAR_PREFIX + "start")
async def _start(request: web.Request) -> web.Response:
    token = _bearer(request)
    session = _session(request, token)
    origin = request.app[ORIGIN] or f"{request.scheme}://{request.host}"
    socket = f"ws{origin.removeprefix('http')}{LIVEAVATAR_PREFIX}socket?session_token={token}"
    return _answer(
        session_id=session, ws_url=socket, livekit_url=None, livekit_client_token=None, max_session_duration=None
    )


@routes.post(LIVEAVATAR_PREFIX + "keep-alive")
async def _keep_alive(request: web.Request) -> web.Response:
    return _answer(session_id=_session(request, _bearer(request)))


@routes.post(LIVEAVATAR_PREFIX + "stop")
async def _stop(request: web.Request) -> web.Response:
    token = _bearer(request)
    session = _session(request, token)
    request.app[SESSION_TOKENS].pop(token)
    await request.app[SESSIONS].close_one(session)
    return _answer(session_id=session)


@routes.get(LIVEAVATAR_PREFIX + "socket")
async def _speak(request: web.Request) -> web.WebSocketResponse:
    session = _session(request, request.query.get("session_token", ""))
    return await serve_bot(request, request.app[SESSIONS].host(session), session, open_codec("liveavatar", {}))


def _new_token() -> str:
    """Return a token that can't be guessed, in the form of a JWT: the SDK reads the mode from its payload."""
    parts = {"typ": "JWT"}, {"start_session_data": {"mode": "LITE"}}
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, secrets.token_urlsafe(24)])


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _session(request: web.Request, token: str) -> str:
    """Return the session of a token.

    Raises:
        ApiError: if there is none.
        SessionNotFoundError: if it has ended.
    """
    session = request.app[SESSION_TOKENS].get(token)
    if session is None:
        raise ApiError(401, "unauthorized", "Expected a session token of POST /v1/sessions/token as bearer token.")
    request.app[SESSIONS].host(session)
    return session


def _answer(**data: str | None) -> web.Response:
    return web.json_response({"code": _SUCCESS, "data": data, "message": "Success"})
