"""Scoped tokens do what they are for, for as long as they are valid, and every route declares who may use it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp.test_utils import TestClient

from presenter.client import ClientError, connect
from presenter.config import AppConfig, ServerConfig, load_config, override
from presenter.errors import ConfigError
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server import operations
from presenter.server.app import create_app
from presenter.server.app_keys import TOKENS
from presenter.server.openapi import description
from presenter.server.operations import OPEN, OPERATIONS, OWNER
from presenter.server.tokens import Scope, TokenError, Tokens

Server = TestClient[Any, Any]
Serve = Callable[..., None]
OWN = {"Authorization": "Bearer secret"}
SDP = {"Content-Type": "application/sdp"}
RESTRICTED = [key for key, operation in OPERATIONS.items() if operation.access is not OPEN]


def tokens_of(server: Server) -> Tokens:
    made = server.server.app[TOKENS]  # type: ignore[attr-defined]
    assert made is not None
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def asked(server: Server, method: str, path: str, token: str | None) -> tuple[int, str]:
    """Status and error code of a request for a session, presenter or job that does not exist."""
    for name in ("id", "name", "viewer", "publication"):
        path = path.replace(f"{{{name}}}", "none")
    response = await server.request(method, path, headers=bearer(token) if token else {}, data=b"")
    try:
        return response.status, (await response.json())["error"]["code"]
    except (aiohttp.ContentTypeError, KeyError, json.JSONDecodeError):
        return response.status, ""


def test_every_route_is_declared_and_the_reverse(shared_engine: Engine, tmp_path: Path) -> None:
    app = create_app(shared_engine, IdentityStore(tmp_path), AppConfig())
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "*")
    }
    assert routes == OPERATIONS.keys()
    paths = description("1")["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert described == routes - {("GET", "/static")}


@pytest.mark.parametrize(("method", "path"), RESTRICTED)
def test_a_scope_does_what_it_is_for_and_nothing_else(serve: Serve, method: str, path: str) -> None:
    access = OPERATIONS[method, path].access or frozenset()

    async def scenario(server: Server) -> None:
        tokens = tokens_of(server)
        for scope in Scope:
            session = None if scope is Scope.ADMINISTER else "none"
            status, code = await asked(server, method, path, tokens.issue(scope, session, 60))
            if scope in access:
                assert status not in (401, 403, 500), (scope, status)
            else:
                assert (status, code) == (403, "scope"), (scope, status)
            if session and "{id}" in path:
                other = await asked(server, method, path, tokens.issue(scope, "another", 60))
                assert other == (403, "scope"), (scope, other)
            expired = await asked(server, method, path, tokens.issue(scope, session, -1))
            assert expired == (401, "unauthorized"), (scope, expired)
        for wrong in (None, "wrong", Tokens("another").issue(Scope.ADMINISTER, None, 60)):
            assert await asked(server, method, path, wrong) == (401, "unauthorized")
        assert (await asked(server, method, path, "secret"))[0] not in (401, 403, 500)

    serve(scenario, token="secret", watch_needs_token=True)


def test_what_is_open_needs_no_token(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        for (method, path), operation in OPERATIONS.items():
            if operation.access is OPEN and not path.startswith(("/compose", "/v1")):  # which has a key of its own
                assert (await asked(server, method, path, None))[0] not in (401, 500), path
        assert (await asked(server, "POST", "/whep/{id}", None))[0] == 415, "the id is the permission to watch"
        assert (await asked(server, "GET", "/api/nothing", None)) == (401, "unauthorized")
        assert (await asked(server, "GET", "/api/nothing", "secret"))[0] == 404

    serve(scenario, token="secret")


def test_a_route_that_is_not_declared_is_the_owners(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "OPERATIONS", OPERATIONS)
    monkeypatch.delitem(OPERATIONS, ("GET", "/api/styles"))

    async def scenario(server: Server) -> None:
        for scope in Scope:
            token = tokens_of(server).issue(scope, None, 60)
            assert await asked(server, "GET", "/api/styles", token) == (403, "scope")
        assert (await asked(server, "GET", "/api/styles", "secret"))[0] == 200

    serve(scenario, token="secret")


def test_a_bot_and_a_viewer_with_tokens_of_their_own(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        opened = await server.post("/api/sessions", json={"presenter": "default"}, headers=OWN)
        session = (await opened.json())["id"]

        async def made(**body: Any) -> str:
            response = await server.post("/api/tokens", json=body, headers=OWN)
            answer = await response.json()
            assert response.status == 201, answer
            assert abs(answer["expires_at"] - time.time() - body.get("expires_in", 3600)) < 10
            assert response.headers["Cache-Control"] == "no-store"
            return str(answer["token"])

        speak, watch = await made(scope="speak", session=session), await made(scope="watch", session=session)
        base = str(server.make_url("/")).rstrip("/")
        async with connect(base, token=speak, session=session) as bot:
            assert bot.session == session
        with pytest.raises(ClientError, match="403"):
            async with connect(base, token=watch, session=session):
                pass
        events = f"/api/sessions/{session}/events"
        async with server.ws_connect(f"{events}?token={watch}") as observer:
            assert (await observer.receive_json(timeout=5))["type"] == "stats"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await server.ws_connect(f"{events}?token={watch[:-2]}")
        path, offer = f"/whep/{session}", {"data": b"v=0"}
        assert (await server.post(path, headers=SDP, **offer)).status == 401
        assert (await server.post(path, headers=SDP | bearer(speak), **offer)).status == 403
        assert (await server.post(path, headers=SDP | bearer(watch), **offer)).status == 400, "as far as the offer"
        administer = await made(scope="administer", expires_in=60)
        key = {"x-simli-api-key": administer}
        assert (await server.get("/compose/ice", headers=key)).status == 200
        assert (await server.get("/compose/ice", headers={"x-simli-api-key": watch})).status == 401
        assert (await server.delete(f"/api/sessions/{session}", headers=bearer(administer))).status == 204

    serve(scenario, token="secret", watch_needs_token=True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scope": "watch"}, 400),
        ({"scope": "administer", "session": "x"}, 400),
        ({"scope": "watch", "session": "none"}, 404),
        ({"scope": "everything"}, 400),
        ({"scope": "administer", "expires_in": 0}, 400),
        ({"scope": "administer", "expires_in": 86_401}, 400),
        ({"scope": "administer", "expires_in": 1e9}, 400),
        ({"scope": "administer", "expires_in": "60"}, 400),
        ({"scope": "administer", "expires_in": 86_400}, 201),
    ],
)
def test_what_a_token_may_be_asked_for(serve: Serve, body: dict[str, Any], status: int) -> None:
    async def scenario(server: Server) -> None:
        assert (await server.post("/api/tokens", json=body, headers=OWN)).status == status

    serve(scenario, token="secret")


def test_without_a_token_there_is_nothing_to_scope(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        response = await server.post("/api/tokens", json={"scope": "administer"})
        assert (response.status, (await response.json())["error"]["code"]) == (409, "no_token")

    serve(scenario)


def test_a_key_of_its_own_outlives_the_token() -> None:
    first, key = Tokens("one", "k" * 32), "k" * 32
    made = first.issue(Scope.WATCH, "s", 60)
    assert Tokens("two", key).read(made) == (Scope.WATCH, "s")
    with pytest.raises(TokenError):
        Tokens("one").read(made)
    with pytest.raises(ConfigError, match="token_key"):
        override(load_config("tiny"), {"server": {"token_key": "short"}})


def test_tokens_made_by_others_are_refused() -> None:
    tokens = Tokens("secret")
    claims = {"iss": "presenter", "exp": int(time.time()) + 60, "scope": "administer"}
    good = jwt.encode(claims, tokens._key, algorithm="HS256")
    assert tokens.read(good).scope is Scope.ADMINISTER
    head, body, signature = good.split(".")
    none = jwt.encode(claims, None, algorithm="none")  # type: ignore[arg-type]
    deep = "W1" + "tbW1" * 1500
    wrong = [none, f"{head}.{body}.", f"{head}.{body}", f"{head}.{signature}.{body}", f"{deep}.{body}.{signature}"]
    wrong += ["", ".", "..", "\udcff.\udcff.\udcff", "9" * 8000, f"{'OTk5' * 1500}.{body}.{signature}"]
    wrong += [jwt.encode({**claims, key: value}, tokens._key) for key, value in (
        ("iss", "other"), ("scope", "everything"), ("scope", None), ("scope", ["watch"]), ("exp", None), ("exp", "x"),
    )]  # fmt: skip
    for name in claims:
        wrong.append(jwt.encode({key: value for key, value in claims.items() if key != name}, tokens._key))
    for text in wrong:
        with pytest.raises(TokenError):
            tokens.read(text)


def test_viewers_need_a_token_only_where_there_is_one(shared_engine: Engine, tmp_path: Path) -> None:
    config = AppConfig(server=dataclasses.replace(ServerConfig(), watch_needs_token=True))
    with pytest.raises(ConfigError, match="watch_needs_token"):
        create_app(shared_engine, IdentityStore(tmp_path), config)


def test_owner_means_no_scope() -> None:
    assert OPERATIONS["POST", "/api/tokens"].access is OWNER, "a token must not extend itself"
