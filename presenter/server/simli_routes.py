"""Simli's session API, so that its clients connect when their base URL is changed to this server's.

A client asks for a session token and for ICE servers, opens a websocket, sends an SDP offer as its first message and
audio after the answer. Source: docs.simli.com, API reference; the clients simli-ai 2.1.0 and simli-client 3.0.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator

from aiohttp import web

from presenter.errors import PresenterError
from presenter.server.access import check_key
from presenter.server.app_keys import SESSIONS
from presenter.server.bodies import SimliSessionRequest
from presenter.server.error_responses import ApiError
from presenter.server.parsing import read_json
from presenter.server.session_host import SessionHost
from presenter.server.session_tokens import DEFAULT, SessionTokens, open_session
from presenter.server.speech_socket import serve_bot
from stream.dialects import open_codec
from stream.dialects.fields import read_object
from stream.errors import StreamError
from stream.rtc.peer_config import PeerConfig

SESSION_TOKENS = web.AppKey("simli_tokens", SessionTokens)
"""Session tokens: each opens the websocket of one session."""
ICE = web.AppKey("simli_ice", PeerConfig)
"""The ICE servers."""

_KEY = "x-simli-api-key"
_MAX_OFFER_BYTES = 65_536
_OFFER_TIMEOUT_S = 10.0

routes = web.RouteTableDef()


def add_simli(app: web.Application, peer_config: PeerConfig) -> None:
    """Add the routes to an application that has `SESSIONS` and `TOKENS`."""
    app[SESSION_TOKENS], app[ICE] = SessionTokens(), peer_config
    app.add_routes(routes)


@routes.post("/compose/token")
async def _token(request: web.Request) -> web.Response:
    check_key(request, _KEY)
    face = (await read_json(request, SimliSessionRequest)).faceId
    session, found = await open_session(request.app[SESSIONS], face)
    shown_instead = f"There is no presenter of the name {face[:80]!r}; this session shows {DEFAULT!r}."
    warnings = [] if found else [shown_instead]
    request.app[SESSION_TOKENS].add(token := secrets.token_urlsafe(24), session)
    return web.json_response({"session_token": token, "warnings": warnings})


@routes.get("/compose/ice")
async def _ice(request: web.Request) -> web.Response:
    check_key(request, _KEY)
    config = request.app[ICE]
    login = {"username": config.ice_username, "credential": config.ice_credential} if config.ice_username else {}
    return web.json_response([{"urls": [url], **login} for url in config.ice_servers])


@routes.get("/compose/webrtc/p2p")
async def _p2p(request: web.Request) -> web.WebSocketResponse:
    session = request.app[SESSION_TOKENS].pop(request.query.get("session_token", ""))
    if session is None:
        raise ApiError(401, "unauthorized", "session_token: expected one of POST /compose/token, not used before.")
    host = request.app[SESSIONS].host(session)
    try:
        async with contextlib.AsyncExitStack() as stack:

            async def connect(socket: web.WebSocketResponse) -> bool:
                try:
                    answer = await stack.enter_async_context(_viewer(host, await _offer(socket)))
                except (ApiError, PresenterError, StreamError, TimeoutError) as error:
                    with contextlib.suppress(ConnectionError):  # the client may have left
                        await socket.send_str(f"ERROR: {error or 'no SDP offer came in time'}")
                    return False
                # Without spaces: the client for browsers looks for "SDP" in the first word.
                await socket.send_str(json.dumps({"sdp": answer, "type": "answer"}, separators=(",", ":")))
                return True

            return await serve_bot(request, host, session, open_codec("simli", {}), connect)
    finally:
        host.leaving.set()  # as with Simli, a session ends with its websocket


async def _offer(socket: web.WebSocketResponse) -> str:
    """Return the SDP of the client's first message.

    Raises:
        WireError: if it is no offer.
        TimeoutError: if none comes.
    """
    message = await asyncio.wait_for(socket.receive(), _OFFER_TIMEOUT_S)
    data = message.data if isinstance(message.data, str | bytes) else b""
    return read_object(data, _MAX_OFFER_BYTES).text("sdp")


@contextlib.asynccontextmanager
async def _viewer(host: SessionHost, offer: str) -> AsyncIterator[str]:
    """Connect a viewer, whose answer this yields, and disconnect it."""
    viewer, answer = await host.watch(offer)
    try:
        yield answer
    finally:
        with contextlib.suppress(ApiError, PresenterError):  # the viewer may have left
            await host.unwatch(viewer)
