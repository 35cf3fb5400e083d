"""Requests of one address are limited, those of others are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp.test_utils import TestClient

from presenter.server import rate_limit
from presenter.server.rate_limit import RateLimit, network

Server = TestClient[Any, Any]


def test_a_bucket_is_full_at_first_and_fills_up_again() -> None:
    now = [100.0]
    limit = RateLimit(6, lambda: now[0])
    assert [limit.take("a") for _ in range(6)] == [0.0] * 6
    assert limit.take("a") == 10.0
    assert limit.take("b") == 0.0
    now[0] += 4
    assert limit.take("a") == 6.0
    now[0] += 6
    assert limit.take("a") == 0.0
    now[0] += 1e6
    assert [limit.take("a") for _ in range(7)] == [0.0] * 6 + [10.0]


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    limit = RateLimit(1, lambda: 0.0)
    for k in range(rate_limit._MAX_ADDRESSES + 10):
        limit.take(str(k))
    assert len(limit._buckets) == rate_limit._MAX_ADDRESSES


def test_a_network_shares_a_bucket() -> None:
    assert network("203.0.113.7", loopback=False) == "203.0.113.7"
    assert network("::ffff:203.0.113.7", loopback=False) == "203.0.113.7"
    assert network("2001:db8::1", loopback=False) == network("2001:db8::2:3", loopback=False)
    assert network("2001:db8:0:1::1", loopback=False) != network("2001:db8::1", loopback=False)
    for local in ("127.0.0.1", "::1", "::ffff:127.0.0.1", ""):
        assert network(local, loopback=False) is None
        assert network(local, loopback=True) is not None


def test_the_server_says_when_to_come_back(serve: Callable[..., None]) -> None:
    async def scenario(client: Server) -> None:
        headers = {"Content-Type": "application/sdp"}
        statuses = [(await client.post("/whep/x", data="v=0", headers=headers)).status for _ in range(2)]
        statuses.append((await client.post("/api/sessions", json={"presenter": "nobody"})).status)
        assert statuses == [404, 404, 404]
        for path in ("/whep/x", "/api/sessions", "/api/presenters", "/api/renders", "/api/tokens", "/compose/token"):
            response = await client.post(path, data="v=0", headers=headers)
            assert response.status == 429
            assert 1 <= int(response.headers["Retry-After"]) <= 20
            assert (await response.json())["error"]["code"] == "too_many_requests"
        assert response.headers.get("Access-Control-Allow-Origin") is None
        assert (await client.post("/whep/x")).headers["Access-Control-Allow-Origin"] == "*"
        assert (await client.get("/healthz")).status == 200

    serve(scenario, requests_per_minute=3, limit_loopback=True)


def test_loopback_is_not_limited_by_default(serve: Callable[..., None]) -> None:
    async def scenario(client: Server) -> None:
        statuses = {(await client.post("/api/sessions", json={"presenter": "nobody"})).status for _ in range(5)}
        assert statuses == {404}

    serve(scenario, requests_per_minute=3)
