"""Closes connections on which no request arrives, which would hold their descriptors for as long as they like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

FIRST_REQUEST_S = 20.0
"""The headers of a connection's first request must arrive within this time; later ones have aiohttp's limit."""
MAX_WAITING = 500
"""Connections without a request at a time; with more, the oldest is closed."""


class FirstRequests:
    """The connections on which no request has arrived yet."""

    def __init__(self) -> None:
        """Know none."""
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def accept(self, connect: Callable[[], web.RequestHandler]) -> web.RequestHandler:
        """Make the protocol of a new connection.

        Args:
            connect: makes it: the runner's server.
        """
        protocol = connect()
        loop = asyncio.get_running_loop()
        self._waiting[protocol] = loop.call_later(FIRST_REQUEST_S, self._close, protocol)
        if len(self._waiting) > MAX_WAITING:
            self._close(next(iter(self._waiting)))
        return protocol

    def middleware(self) -> Middleware:
        """Return the outermost middleware, which notes that a request has arrived."""

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._forget(request.protocol)
            return await handler(request)

        return note

    def _close(self, protocol: web.RequestHandler) -> None:
        self._forget(protocol)
        protocol.force_close()

    def _forget(self, protocol: web.RequestHandler) -> None:
        if (timer := self._waiting.pop(protocol, None)) is not None:
            timer.cancel()
