"""Access control: which token a request carries, and whether that may do what is asked."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from presenter.server.app_keys import TOKENS
from presenter.server.error_responses import ApiError
from presenter.server.middleware import OPEN_PREFIX
from presenter.server.operations import OPEN, OPERATIONS, OWNER
from presenter.server.tokens import Grant, Scope, TokenError, Tokens

_WEBSOCKETS = {"/api/sessions/{id}/audio", "/api/sessions/{id}/events"}
_DOES = {
    Scope.WATCH: "watches one session",
    Scope.SPEAK: "speaks in one session",
    Scope.ADMINISTER: "administers the server",
}


def check_token(tokens: Tokens, *, viewers: bool) -> Middleware:
    """Require a token that may do what is asked, as `OPERATIONS` declares; the page itself holds no secret.

    Args:
        tokens: reads them.
        viewers: whether watching by WHEP needs one too; otherwise the id of a session is the permission.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        needed = _needed(request, viewers=viewers)
        if needed is not OPEN:
            scheme, _, given = _authorization(request).partition(" ")
            try:
                grant = tokens.read(given.strip() if scheme.lower() == "bearer" else "")
            except TokenError as error:
                raise ApiError(401, "unauthorized", str(error)) from error
            _allow(grant, needed, request.match_info.get("id"))
        return await handler(request)

    return middleware


def _needed(request: web.Request, *, viewers: bool) -> frozenset[Scope] | None:
    """Return the scopes of which a request needs one."""
    resource = request.match_info.route.resource
    if resource is None:  # no such path or method: what there is, is told to whoever has a token
        return frozenset(Scope) if request.path.startswith("/api/") else OPEN
    path = resource.canonical
    if path.startswith(OPEN_PREFIX) and not viewers:
        return OPEN
    method = request.method if request.method != hdrs.METH_HEAD else hdrs.METH_GET
    if path.startswith(OPEN_PREFIX) and (method, path) not in OPERATIONS:
        return OPEN  # only refused, by its own text
    operation = OPERATIONS.get((method, path))
    return OWNER if operation is None else operation.access


def _allow(grant: Grant, needed: frozenset[Scope], session: str | None) -> None:
    """Refuse a request that its token is not for, with 403."""
    if grant.scope is None:
        return
    if grant.scope not in needed:
        who = " or ".join(_DOES[scope] for scope in Scope if scope in needed)
        wanted = f"one that {who}, or the server's own" if who else "the server's own"
        raise ApiError(403, "scope", f"Expected a token for this: {wanted}; got one that {_DOES[grant.scope]}.")
    if grant.scope is not Scope.ADMINISTER and session is not None and grant.session != session:
        raise ApiError(403, "scope", "This token is for another session.")


def check_key(request: web.Request, header: str) -> None:
    """Require the server's token, or one to administer, as the API key of a voice service, if the server has a token.

    Args:
        request: of the voice service's client.
        header: where that service's clients send their key.

    Raises:
        ApiError: 401.
    """
    tokens = request.app[TOKENS]
    if tokens is None:
        return
    try:
        grant = tokens.read(request.headers.get(header, ""))
    except TokenError:
        grant = None
    if grant is None or grant.scope not in (None, Scope.ADMINISTER):
        wanted = "the token that this server was started with, or one to administer it (POST /api/tokens)"
        raise ApiError(401, "unauthorized", f"{header}: expected {wanted}.")


def _authorization(request: web.Request) -> str:
    """Return the header or, for a websocket, the address's token: a browser can't set headers of a websocket."""
    if "token" in request.query and _opens_websocket(request):
        return f"Bearer {request.query['token']}"
    return request.headers.get(hdrs.AUTHORIZATION, "")


def _opens_websocket(request: web.Request) -> bool:
    """Whether this is a complete handshake with one of the websockets."""
    resource = request.match_info.route.resource
    if resource is None or resource.canonical not in _WEBSOCKETS:
        return False
    return web.WebSocketResponse().can_prepare(request).ok
