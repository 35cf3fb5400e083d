"""The HTTP application: the page, presenters, enrolment, sessions and health."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from functools import partial

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from presenter.config import AppConfig, ServerConfig
from presenter.errors import ConfigError
from presenter.runtime.frame_renderer import RendererPool
from presenter.runtime.identities import IdentityStore
from presenter.runtime.metrics import Metrics
from presenter.runtime.signals import stopped_by_signals
from presenter.server import (
    middleware,
    presenter_routes,
    render_routes,
    session_routes,
    token_routes,
    viewer_routes,
)
from presenter.server.access import check_token
from presenter.server.app_keys import (
    ENROLMENTS,
    FIRST_REQUESTS,
    METRICS,
    PEER_CONFIG,
    RENDERS,
    SESSIONS,
    STORE,
    TOKENS,
    UPLOAD_LIMIT,
    VIDEO_LIMIT,
)
from presenter.server.enrolment_jobs import Enrolments
from presenter.server.error_responses import ApiError, OneLine, json_errors
from presenter.server.first_requests import FIRST_REQUEST_S, FirstRequests
from presenter.server.liveavatar_routes import add_liveavatar
from presenter.server.rate_limit import limit_rate
from presenter.server.render_jobs import Renders
from presenter.server.session_manager import SessionManager
from presenter.server.simli_routes import add_simli
from presenter.server.tls import tls_context
from presenter.server.tokens import Tokens
from presenter.server.web_folder import web_folder
from stream.errors import StreamError
from stream.rtc.peer import PeerConfig
from stream.rtc.whip_targets import WhipTargets

MAX_JSON_BYTES = 256 * 1024  # a full SDP offer is about 8 KB
SHUTDOWN_S = 10.0
"""Requests that are still being answered get this long when the server stops."""

routes = web.RouteTableDef()


def create_app(engine: RendererPool, store: IdentityStore, config: AppConfig) -> web.Application:
    """Build the application; it owns its sessions and enrolment jobs and closes them on shutdown.

    Args:
        engine: provides one renderer per session, at most one per slot.
        store: the presenters on disk.
        config: `config.server` holds token, limits, ICE servers and the host the server is bound to.

    Raises:
        ConfigError: if the ICE servers, the public origin or the targets can't be used, or others can connect and no
            token is set.
    """
    server = config.server
    check_server(server)
    first = FirstRequests()
    middlewares: list[Middleware] = [
        first.middleware(),
        json_errors,
        middleware.check_dates,
        middleware.check_origin(server.public_origin),
    ]
    tokens = Tokens(server.token, server.token_key) if server.token else None
    if tokens is None:
        middlewares.append(middleware.check_host(server.host))
    else:
        middlewares.append(check_token(tokens, viewers=server.watch_needs_token))
    if server.requests_per_minute:
        middlewares.append(limit_rate(server.requests_per_minute, loopback=server.limit_loopback))
    app = web.Application(middlewares=middlewares, client_max_size=MAX_JSON_BYTES)
    metrics = Metrics()
    app[METRICS] = metrics
    app[FIRST_REQUESTS] = first
    app[TOKENS] = tokens
    app[STORE] = store
    app[ENROLMENTS] = Enrolments(store, config.engine)
    app[RENDERS] = Renders(store, config)
    app[PEER_CONFIG] = peer_config(server)
    app[SESSIONS] = SessionManager(
        engine,
        store,
        metrics,
        server,
        app[PEER_CONFIG],
    )
    app[UPLOAD_LIMIT] = server.max_upload_mb * 1024 * 1024
    app[VIDEO_LIMIT] = server.max_video_mb * 1024 * 1024
    app.on_response_prepare.append(middleware.add_headers)
    app.on_shutdown.append(_shut_down)
    for rooms in (presenter_routes, render_routes, session_routes, token_routes, viewer_routes):
        app.add_routes(rooms.routes)
    app.add_routes(routes)
    add_simli(app, app[PEER_CONFIG])
    add_liveavatar(app, server.public_origin)
    app.router.add_static("/static/", web_folder())
    return app


def check_server(server: ServerConfig) -> None:
    """Check settings that depend on each other.

    Raises:
        ConfigError: if other machines can connect or viewers need a token and none is set, or a target or the
            certificate can't be read.
    """
    tls_context(server)
    if server.watch_needs_token and not server.token:
        raise ConfigError("server.watch_needs_token: expected a token as well (--token), got none")
    if server.host not in middleware.LOOPBACK_HOSTS and not server.token:
        raise ConfigError(
            f"binding {server.host} opens the server to the network: set --token (and see 'TLS' in the"
            " README: browsers give a page its microphone only over https or on localhost)"
        )
    try:
        WhipTargets(server.whip_targets)
    except StreamError as error:
        raise ConfigError(f"server.{error}") from error


def peer_config(server: ServerConfig) -> PeerConfig:
    """Return how peers connect, as the server is configured.

    Raises:
        ConfigError: if an ICE server's address can't be used.
    """
    try:
        return PeerConfig(
            ice_servers=tuple(server.ice_servers),
            ice_username=server.ice_username or None,
            ice_credential=server.ice_credential or None,
        )
    except StreamError as error:
        raise ConfigError(f"server.{error}") from error


async def serve_forever(
    app: web.Application, host: str, port: int, ready: Callable[[str], None], tls: ssl.SSLContext | None = None
) -> None:
    """Serve until cancelled, interrupted (SIGINT) or terminated (SIGTERM); then shut down and return.

    Args:
        app: made by `create_app`; shut down before returning, also when the address can't be bound.
        host: address or name to bind.
        port: TCP port; 0 for any free one.
        ready: called once with the URL of the page, when connections are accepted.
        tls: the server's certificate; None for http.

    Raises:
        OSError: if the address can't be bound.
    """
    stop = asyncio.Event()
    http_log = logging.getLogger(f"{__name__}.http")
    http_log.addFilter(OneLine())
    runner = web.AppRunner(app, logger=http_log, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        assert runner.server is not None
        listening = await asyncio.get_running_loop().create_server(
            partial(app[FIRST_REQUESTS].accept, runner.server),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=FIRST_REQUEST_S if tls else None,
        )
        try:
            with stopped_by_signals(stop.set):
                bound = listening.sockets[0].getsockname()[1]
                ready(page_url(host, bound, "https" if tls else "http"))
                await stop.wait()
        finally:
            listening.close()
    finally:
        await runner.cleanup()


def page_url(host: str, port: int, scheme: str = "http") -> str:
    """Return where a browser finds the page; loopback by its name, which browsers trust with a microphone."""
    name = "localhost" if host in middleware.LOOPBACK_HOSTS else f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}"


async def _shut_down(app: web.Application) -> None:
    await app[SESSIONS].close()
    await app[ENROLMENTS].close()
    await app[RENDERS].close()


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
    sessions = request.app[SESSIONS]
    if sessions.closed:
        raise ApiError(503, "shutting_down", "The server is shutting down.")
    return web.json_response({"status": "ready", "sessions": {"active": sessions.active, "limit": sessions.limit}})


@routes.get("/metrics")
async def _metrics(request: web.Request) -> web.Response:
    body, content_type = request.app[METRICS].exposition(request.headers.get(hdrs.ACCEPT, ""))
    return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})
