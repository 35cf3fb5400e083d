"""Rate limit of expensive requests (sessions, viewers, enrolments, films, tokens): a token bucket for each address."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from presenter.server.error_responses import error_response
from presenter.server.middleware import OPEN_PREFIX

_MAX_ADDRESSES = 10_000
_PATHS = ("/api/sessions", "/api/presenters", "/api/renders", "/api/tokens", "/compose/token", "/v1/sessions/token")
_PREFIXES = (OPEN_PREFIX, "/api/presenters/")


class RateLimit:
    """Token buckets by address, each full at first; the least recently used are dropped."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Count nothing yet.

        Args:
            per_minute: how fast a bucket fills up, and how much it holds.
            clock: in seconds, monotonic.
        """
        self._size = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, address: str) -> float:
        """Take a token of an address; returns 0, or the seconds until there is one."""
        now = self._clock()
        left, then = self._buckets.pop(address, (float(self._size), now))
        left = min(left + (now - then) * self._size / 60, float(self._size))
        allowed = left >= 1
        self._buckets[address] = (left - allowed, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._size


def limit_rate(per_minute: int, *, loopback: bool) -> Middleware:
    """Refuse `POST` of what is expensive beyond the rate limit of an address, with 429.

    Args:
        per_minute: requests of an address.
        loopback: whether this machine's own address is limited too.
    """
    limit = RateLimit(per_minute)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        counted = request.method == hdrs.METH_POST and (request.path in _PATHS or request.path.startswith(_PREFIXES))
        source = network(request.remote or "", loopback=loopback) if counted else None
        if source is not None and (wait_s := limit.take(source)):
            response = error_response(
                429, "too_many_requests", f"At most {per_minute} requests a minute are answered; try again later."
            )
            response.headers[hdrs.RETRY_AFTER] = str(math.ceil(wait_s))
            return response
        return await handler(request)

    return middleware


def network(address: str, *, loopback: bool) -> str | None:
    """Return the key of a bucket: an IPv4 address, or the /64 prefix of an IPv6 address.

    Args:
        address: of the remote end.
        loopback: whether this machine's own addresses are limited too; None is returned for them otherwise.
    """
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return address if loopback else None
    host = getattr(host, "ipv4_mapped", None) or host
    if host.is_loopback and not loopback:
        return None
    return str(host) if host.version == 4 else str(ipaddress.ip_network((host, 64), strict=False))
