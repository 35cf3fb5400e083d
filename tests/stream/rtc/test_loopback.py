"""The loopback address is the last resort, and only that."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aioice import ice

from stream.rtc.loopback import allow_loopback


def use(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> Callable[..., list[str]]:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses))
    allow_loopback()
    allow_loopback()
    return ice.get_host_addresses


def test_without_a_network_the_loopback_address_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = use(monkeypatch, [])
    assert addresses(use_ipv4=True, use_ipv6=True) == ["127.0.0.1"]
    assert addresses(use_ipv4=False, use_ipv6=True) == []


def test_with_a_network_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = use(monkeypatch, ["192.0.2.7"])
    assert addresses(use_ipv4=True, use_ipv6=True) == ["192.0.2.7"]
