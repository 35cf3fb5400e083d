"""Routes of scoped tokens, and the description of the API."""

import time
from importlib.metadata import PackageNotFoundError, version

from aiohttp import web

from presenter.server.app_keys import SESSIONS, TOKENS
from presenter.server.bodies import TokenRequest
from presenter.server.error_responses import ApiError
from presenter.server.openapi import description
from presenter.server.parsing import read_json
from presenter.server.tokens import Scope

routes = web.RouteTableDef()


@routes.post("/api/tokens")
async def _make(request: web.Request) -> web.Response:
    body = await read_json(request, TokenRequest)
    tokens = request.app[TOKENS]
    if tokens is None:
        raise ApiError(409, "no_token", "This server was started without a token: its requests need none.")
    scope = Scope(body.scope)
    if (body.session is None) != (scope is Scope.ADMINISTER):
        wanted = "no session with administer" if body.session else f"the id of the session to {scope}"
        raise ApiError(400, "bad_request", f"session: expected {wanted}.")
    if body.session is not None:
        request.app[SESSIONS].host(body.session)
    made = tokens.issue(scope, body.session, body.expires_in)
    return web.json_response(
        {"token": made, "expires_at": int(time.time()) + body.expires_in},
        status=201,
        headers={"Cache-Control": "no-store"},
    )


@routes.get("/api/openapi.json")
async def _describe(_: web.Request) -> web.Response:
    return web.json_response(description(_version()))


def _version() -> str:
    try:
        return version("presenter")
    except PackageNotFoundError:  # run from a checkout
        return "0"
