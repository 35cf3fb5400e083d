"""A server with the shipped networks, and a client of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from presenter.config import AppConfig, EngineConfig, ServerConfig, load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.server.app import create_app

Server = TestClient[Any, Any]


@pytest.fixture(scope="session")
def shared_engine() -> Engine:
    return Engine.load(load_config("tiny"), slots=1)


@pytest.fixture
def serve(shared_engine: Engine, tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a server of its own, within so many seconds.

    Other arguments are the server's settings, but for `personalise_s`.
    """

    def run(
        scenario: Callable[[Server], Awaitable[None]],
        *,
        within_s: float = 120,
        personalise_s: float = 420.0,
        **settings: Any,
    ) -> None:
        async def inner() -> None:
            config = AppConfig(
                server=dataclasses.replace(ServerConfig(max_sessions=1), **settings),
                engine=EngineConfig(personalise_s=personalise_s),
            )
            async with TestClient(TestServer(create_app(shared_engine, IdentityStore(tmp_path), config))) as client:
                await scenario(client)

        asyncio.run(asyncio.wait_for(inner(), within_s))

    return run
