"""Speaking styles over HTTP: listed, chosen for a session, changed while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestClient

from models.identity import SpeakingStyle
from presenter.runtime.engine import Engine
from presenter.runtime.identities import shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity
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


def test_a_session_continues_with_another_presenter_in_the_same_style(
    serve: Callable[..., None], shared_engine: Engine, tmp_path: Path
) -> None:
    style = SpeakingStyle(torch.linspace(-1, 1, shared_engine.syncformer.null_style.shape[1]))
    StyleStore(tmp_path).save("Lively", style, "talk.mp4")
    default = load_identity(shipped_dir() / "default")
    save_identity(tmp_path / "Ada", replace(default.identity, speaking_style=SpeakingStyle(-style)))
    save_identity(tmp_path / "Bad", default.identity)
    (tmp_path / "Bad" / "frame.png").write_bytes(b"x")

    async def scenario(client: Server) -> None:
        body = {"presenter": "default", "style": "Lively", "style_strength": 0.5, "size": "720p"}
        session = (await (await client.post("/api/sessions", json=body)).json())["id"]
        path = f"/api/sessions/{session}"
        assert client.app is not None
        sessions = client.app[SESSIONS]
        rendering = sessions.host(session).session.rendering
        before = rendering._renderer
        assert (await client.patch(path, json={"presenter": "ada"})).status == 204
        assert rendering._renderer is not before
        assert rendering._renderer._identity.name == "Ada"
        torch.testing.assert_close(rendering._renderer.speaking_style, 0.5 * style)
        assert rendering._canvas is not None, "shown as before"
        assert (await client.patch(path, json={"style": None})).status == 204
        torch.testing.assert_close(rendering._renderer.speaking_style, -style, msg="the new presenter's own")
        assert (await client.patch(path, json={"presenter": "default"})).status == 204
        assert rendering._renderer.speaking_style is None
        for name, status in (("nobody", 404), ("Bad", 422)):
            assert (await client.patch(path, json={"presenter": name})).status == status
            assert rendering._renderer._identity.name == "default"
        assert shared_engine._in_use == 1, "each gave its slot back"
        assert (await client.post("/api/sessions", json={"presenter": "default"})).status == 503
        assert (await client.delete(path)).status == 204
        assert (await client.patch(path, json={"presenter": "Ada"})).status == 404
        assert shared_engine._in_use == 0

    serve(scenario)
