"""How a session's presenter is shown over HTTP: size, distance and background, changed while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient

from presenter.runtime.framing import DEFAULT_FRAMING, Framing
from presenter.server.app_keys import SESSIONS

Server = TestClient[Any, Any]

pytestmark = pytest.mark.usefixtures("light_rendering")


def test_a_session_is_shown_as_it_was_asked_for_and_changed(serve: Callable[..., None]) -> None:
    async def scenario(client: Server) -> None:
        body = {"presenter": "default", "size": "720p", "background": "#204060"}
        session = (await (await client.post("/api/sessions", json=body)).json())["id"]
        path = f"/api/sessions/{session}"
        assert client.app is not None
        host = client.app[SESSIONS].host(session)
        assert host.framing == Framing(size="720p", background="#204060")
        canvas = host.session.rendering._canvas
        assert canvas is not None
        assert (canvas.width, canvas.height) == (1280, 720)
        assert host.session.rendering.size == (720, 720), "rendered as large as it is shown"
        assert (canvas.card() == np.array([0x20, 0x40, 0x60])).all()
        assert (await client.patch(path, json={"framing": "close"})).status == 204
        assert host.framing == Framing(size="720p", background="#204060", distance="close"), "only what was named"
        assert host.session.rendering.size == (900, 900)
        assert (await client.patch(path, json={"size": "photo"})).status == 204
        assert host.session.rendering.size == (1024, 1024), "all that there is of it"
        assert (await client.patch(path, json={"style_strength": 0.5})).status == 204
        assert host.framing.distance == "close"
        own = {"size": "own", "framing": "medium", "background": "own"}
        assert (await client.patch(path, json=own)).status == 204
        assert host.framing == DEFAULT_FRAMING
        assert host.session.rendering._canvas is None
        assert host.session.rendering.size == (512, 512)
        assert (await client.patch(path, json={"size": "square"})).status == 204
        assert host.session.rendering.size == (1024, 1024)
        assert host.session.rendering._canvas is None

    serve(scenario)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "8k"},
        {"size": "640x480"},
        {"framing": "near"},
        {"background": "/etc/passwd"},
        {"background": "room.png"},
        {"background": "transparent"},
        {"background": "#12"},
        {"background": "own\n"},
    ],
)
def test_what_cant_be_shown_is_refused_and_changes_nothing(serve: Callable[..., None], wrong: dict[str, str]) -> None:
    async def scenario(client: Server) -> None:
        refused = await client.post("/api/sessions", json={"presenter": "default"} | wrong)
        assert refused.status == 400
        assert next(iter(wrong)) in (await refused.json())["error"]["message"]
        session = (await (await client.post("/api/sessions", json={"presenter": "default"})).json())["id"]
        assert (await client.patch(f"/api/sessions/{session}", json=wrong)).status == 400
        assert client.app is not None
        assert client.app[SESSIONS].host(session).framing == DEFAULT_FRAMING

    serve(scenario)
