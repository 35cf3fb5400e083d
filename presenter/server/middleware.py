"""Origin and host checks, and the security headers of every response."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from presenter.errors import ConfigError
from presenter.server.error_responses import ApiError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names that always resolve to this machine."""

# The page loads nothing from elsewhere and runs no inline script, so the browser is told to forbid both.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Permissions-Policy": "microphone=(self), camera=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

OPEN_PREFIX = "/whep/"
"""Below this any page may watch: the id of a session, which can't be guessed, is the permission."""
SIMLI_SOCKET = "/compose/webrtc/p2p"
"""Any page may open this websocket: it requires a session token that can't be guessed and is valid once."""
LIVEAVATAR_PREFIX = "/v1/sessions/"
"""Below this, except `token`, any page may control a session: it requires a session token that can't be guessed."""
CORS: dict[str, str] = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST, PATCH, DELETE, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, content-type, if-match",
    hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "accept-post, allow, link, location, retry-after",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}
"""Headers of responses below `OPEN_PREFIX`, errors included, and with changes of those below `LIVEAVATAR_PREFIX`."""

_DATES: dict[str, Callable[[web.Request], object]] = {
    hdrs.IF_MODIFIED_SINCE: lambda request: request.if_modified_since,
    hdrs.IF_UNMODIFIED_SINCE: lambda request: request.if_unmodified_since,
    hdrs.IF_RANGE: lambda request: request.if_range,
}
_ORIGIN = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d+)?")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare` signal: set the security headers on every response, and have caches revalidate.

    Without revalidation a browser may run modules of two versions together after an update.
    """
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-cache")
    if request.path.startswith(OPEN_PREFIX):
        response.headers.update(CORS)
    elif _is_liveavatar(request) and hdrs.ORIGIN in request.headers:
        # LiveAvatar's SDK sends its requests with credentials, for which browsers require the origin's name.
        response.headers.update(CORS | {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: _readable(request.headers[hdrs.ORIGIN])})
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        response.headers[hdrs.VARY] = hdrs.ORIGIN


def _is_liveavatar(request: web.Request) -> bool:
    return request.path.startswith(LIVEAVATAR_PREFIX) and request.path != f"{LIVEAVATAR_PREFIX}token"


@web.middleware
async def check_dates(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse conditional requests with an invalid date, on which a file response would fail."""
    for name, read in _DATES.items():
        try:
            read(request)
        except (ValueError, OverflowError) as error:
            raise ApiError(400, "bad_request", f"{name}: expected an HTTP date (RFC 9110, 5.6.7).") from error
    return await handler(request)


def check_origin(public_origin: str) -> Middleware:
    """Refuse requests that another site's page makes through the visitor's browser.

    Args:
        public_origin: `scheme://host` of the page behind a proxy that changes the Host header, accepted as well; or "".

    Raises:
        ConfigError: if `public_origin` is something else.
    """
    public = public_origin.rstrip("/").lower() or None
    if public is not None and not _ORIGIN.fullmatch(public):
        raise ConfigError(f"server.public_origin: expected https://HOST or http://HOST:PORT, got {public_origin!r}")

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if request.path.startswith((OPEN_PREFIX, SIMLI_SOCKET)) or _is_liveavatar(request):
            return await handler(request)
        if origin is not None and origin.lower() != public and _netloc(origin) != request.host.lower():
            raise ApiError(403, "forbidden_origin", f"Requests from {_readable(origin)} are not accepted here.")
        return await handler(request)

    return middleware


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as an open bracket
        return None


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _readable(header: str) -> str:
    """Return a header for a message; bytes that are not UTF-8 are replaced, as they can't be sent back."""
    return header.encode(errors="replace").decode()


def check_host(bound_host: str) -> Middleware:
    """Refuse hosts other than loopback names: a foreign name may be made to resolve here (DNS rebinding)."""
    allowed = LOOPBACK_HOSTS | {bound_host}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _hostname(request.host) not in allowed:
            raise ApiError(
                403,
                "forbidden_host",
                f"This server answers to localhost, not to {_readable(request.host)};"
                " start it with a token to use other names.",
            )
        return await handler(request)

    return middleware
