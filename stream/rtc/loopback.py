"""Peers on a machine without a network still find each other, by 127.0.0.1.

aioice (0.10 to 0.13) never offers the loopback address, so in a container or a plane two peers on
one machine have no address at all. It is offered here only when there is no other: with a network,
nothing changes. A browser has its own rule: Chromium needs `--allow-loopback-in-peer-connection`
when it has no network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from aioice import ice

LOOPBACK = "127.0.0.1"


def allow_loopback() -> None:
    """Let ICE fall back to the loopback address, in this process; repeated calls do nothing."""
    if not hasattr(ice.get_host_addresses, "__wrapped__"):
        vars(ice)["get_host_addresses"] = _or_loopback(ice.get_host_addresses)


def _or_loopback(addresses: Callable[..., list[str]]) -> Callable[..., list[str]]:
    @wraps(addresses)
    def with_fallback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ([LOOPBACK] if use_ipv4 else [])

    return with_fallback
