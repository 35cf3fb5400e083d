"""Allowed targets of publications: the configured hosts, at public addresses or addresses that are listed themselves.

A client chooses the URL of a publication, so without a list it could make this server send requests to what only the
server can reach (server-side request forgery, CWE-918).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from stream.errors import StreamError, TargetError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int | None = None
    """None for any."""
    scheme: str | None = None
    """None for both."""
    path: str = "/"

    def covers(self, url: URL) -> bool:
        if not self.covers_host(url.host or "", url.port) or self.scheme not in (None, url.scheme):
            return False
        folder = self.path.rstrip("/")
        return url.path == folder or url.path.startswith(f"{folder}/")

    def covers_host(self, host: str, port: int | None) -> bool:
        return _plain(host) == self.host and self.port in (None, port)


class WhipTargets:
    """The list, read once."""

    def __init__(self, listed: Sequence[str] = ()) -> None:
        """Read the entries.

        Args:
            listed: each `HOST`, `HOST:PORT` or the beginning of a URL, `https://HOST/PATH`; IPv6 addresses in brackets.

        Raises:
            StreamError: if one is something else.
        """
        self._targets = tuple(_read(entry) for entry in listed)

    def __bool__(self) -> bool:
        return bool(self._targets)

    def check(self, url: URL) -> None:
        """Check the address of a request, before it and after each redirect.

        Raises:
            TargetError: if it is not listed.
        """
        if url.scheme not in _SCHEMES or not url.host:
            raise TargetError("WHIP: expected a URL of http or https")
        if ".." in url.path.split("/") or not any(target.covers(url) for target in self._targets):
            raise TargetError(f"WHIP: expected a listed target, got {url.origin()}")

    def check_address(self, address: str, port: int) -> None:
        """Check what a listed name was resolved to.

        Raises:
            TargetError: if it is an address of this machine or of a private network that is not listed itself.
        """
        found = _address(address)
        public = found is not None and found.is_global and not found.is_multicast
        if not public and not any(target.covers_host(address, port) for target in self._targets):
            raise TargetError("WHIP: expected a host with a public address, or an address that is listed itself")


class TargetResolver(AbstractResolver):
    """Resolves names and checks the addresses, so that the addresses checked are those connected to."""

    def __init__(self, targets: WhipTargets) -> None:
        """Allow what is listed."""
        self._targets = targets
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            TargetError: if a request to one of them is not allowed.
            OSError: if there are none.
        """
        found = await self._resolver.resolve(host, port, family)
        if _plain(host) != "localhost":  # whoever lists it means this machine
            for one in found:
                self._targets.check_address(one["host"], port)
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _read(entry: str) -> _Target:
    has_scheme = "://" in entry
    try:
        url = URL(entry if has_scheme else f"http://{entry}")
        host, port = url.host, url.explicit_port
    except ValueError:
        url, host, port = URL(), None, None
    wrong = not host or url.scheme not in _SCHEMES or url.user is not None or url.query_string or url.fragment
    if wrong or (not has_scheme and url.path != "/"):
        raise StreamError(f"whip_targets: expected HOST, HOST:PORT or https://HOST/PATH, got {entry!r}")
    if has_scheme:
        return _Target(_plain(host or ""), url.port, url.scheme, url.path)
    return _Target(_plain(host or ""), port)


def _plain(host: str) -> str:
    """Return one spelling for a host: addresses in their short form, names in lower case and without a last dot."""
    address = _address(host)
    return str(address) if address else host.rstrip(".").lower()


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
