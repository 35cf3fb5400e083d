"""Speaking styles over HTTP: listed, chosen for a session, changed while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestClient

from models.identity import SpeakingStyle
from presenter.runtime.engine import Engine
from presenter.runtime.styles import StyleStore
from presenter.server.app_keys import SESSIONS

Server = TestClient[Any, Any]

pytestmark = pytest.mark.usefixtures("light_rendering")


def test_a_sessions_style_is_chosen_and_changed(
    serve: Callable[..., None], shared_engine: Engine, tmp_path: Path
) -> None:
    style = SpeakingStyle(torch.linspace(-1, 1, shared_engine.syncformer.null_style.shape[1]))
    StyleStore(tmp_path).save("Lively", style, "talk.mp4")
    StyleStore(tmp_path).save("Foreign", SpeakingStyle(torch.ones(5)), "talk.mp4")

    async def scenario(client: Server) -> None:
        assert await (await client.get("/api/styles")).json() == {"styles": ["Foreign", "Lively"]}
        body = {"presenter": "default", "style": "lively", "style_strength": 0.5}
        session = (await (await client.post("/api/sessions", json=body)).json())["id"]
        path = f"/api/sessions/{session}"
        assert client.app is not None
        renderer = client.app[SESSIONS].host(session).session.rendering._renderer
        torch.testing.assert_close(renderer.speaking_style, 0.5 * style)
        assert (await client.patch(path, json={"style": "Lively", "style_strength": 1.5})).status == 204
        torch.testing.assert_close(renderer.speaking_style, 1.5 * style)
        assert (await client.patch(path, json={"style": None})).status == 204
        assert renderer.speaking_style is None, "the presenter's own"
        foreign = {"style": "Foreign"}, 422  # of a network of another size
        for refused, status in (
            foreign,
            ({"style": "x" * 2000}, 400),
            ({"style": "nobody"}, 404),
            ({"style_strength": 2}, 400),
            ({"style": ""}, 400),
        ):
            answer = await client.patch(path, json=refused)
            assert answer.status == status
            assert (await answer.json())["error"]["message"]
        assert (await client.patch("/api/sessions/nowhere", json={})).status == 404

    serve(scenario)


def test_a_session_in_an_unknown_style_is_refused(serve: Callable[..., None], tmp_path: Path) -> None:
    StyleStore(tmp_path).save("Foreign", SpeakingStyle(torch.ones(5)), "talk.mp4")

    async def scenario(client: Server) -> None:
        answer = await client.post("/api/sessions", json={"presenter": "default", "style": "nobody"})
        assert answer.status == 404
        assert "nobody" in (await answer.json())["error"]["message"]
        foreign = await client.post("/api/sessions", json={"presenter": "default", "style": "Foreign"})
        assert (foreign.status, (await foreign.json())["error"]["code"]) == (422, "style_damaged")
        assert (await client.post("/api/sessions", json={"presenter": "default"})).status == 200, "no slot was lost"

    serve(scenario)
