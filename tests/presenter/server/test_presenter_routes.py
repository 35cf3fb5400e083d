"""Presenters over HTTP: listed with the damaged apart, renamed, deleted, enrolled with consent."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from presenter.enroll import decode
from presenter.runtime.identities import shipped_dir
from presenter.runtime.identity_folder import load_identity, save_identity
from tests.presenter.videos import frames, write


@pytest.fixture
def ada(tmp_path: Path) -> Path:
    """A presenter of the user's, in the folder of the server."""
    save_identity(tmp_path / "Ada", load_identity(shipped_dir() / "default").identity)
    return tmp_path / "Ada"


async def listed(client: Any) -> tuple[list[str], list[str]]:
    body = await (await client.get("/api/presenters")).json()
    return [one["name"] for one in body["presenters"]], [one["name"] for one in body["damaged"]]


def test_damaged_ones_are_listed_apart_and_refused(serve: Callable[..., None], ada: Path) -> None:
    async def scenario(client: Any) -> None:
        assert await listed(client) == (["default", "sam", "Ada"], [])
        (ada / "frame.png").write_bytes(b"x")
        assert await listed(client) == (["default", "sam"], ["Ada"])
        assert (await client.get("/api/presenters/Ada/thumbnail")).status == 422
        response = await client.post("/api/sessions", json={"presenter": "Ada"})
        assert response.status == 422
        assert (await response.json())["error"]["code"] == "presenter_damaged"
        assert (await client.delete("/api/presenters/ada")).status == 204
        assert await listed(client) == (["default", "sam"], [])

    serve(scenario)


def test_renaming_and_deleting(serve: Callable[..., None], ada: Path) -> None:
    async def scenario(client: Any) -> None:
        response = await client.patch("/api/presenters/ada", json={"name": "Zoe\u0308 O'B."})
        assert (response.status, await response.json()) == (200, {"name": "Zoë O'B."})
        assert await listed(client) == (["default", "sam", "Zoë O'B."], [])
        assert (await client.get("/api/presenters/Zoë O'B./thumbnail")).status == 200
        for body in ({"name": "../x"}, {"name": "default"}):
            assert (await client.patch("/api/presenters/Zoë O'B.", json=body)).status == 422
        assert (await client.patch("/api/presenters/Zoë O'B.", json={})).status == 400
        assert (await client.patch("/api/presenters/nobody", json={"name": "x"})).status == 404
        assert (await client.delete("/api/presenters/default")).status == 400
        assert (await client.delete("/api/presenters/Zoë O'B.")).status == 204
        assert (await client.delete("/api/presenters/Zoë O'B.")).status == 404

    serve(scenario)


def form(photo: bytes, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("photo", photo, filename="me.png", content_type="image/png")
    return data


def test_consent_is_stored(serve: Callable[..., None], tmp_path: Path) -> None:
    photo = (shipped_dir() / "default" / "frame.png").read_bytes()

    async def scenario(client: Any) -> None:
        job = await (await client.post("/api/presenters", data=form(photo, name="Eve", consent="Eve E."))).json()
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(0.05)
            job = await (await client.get(f"/api/jobs/{job['id']}")).json()
        assert job["state"] == "done", job

    serve(scenario)
    consent = load_identity(tmp_path / "Eve").consent
    assert consent is not None
    assert consent.by == "Eve E."


async def ended(client: Any, data: aiohttp.FormData) -> dict[str, Any]:
    job = await (await client.post("/api/presenters", data=data)).json()
    while job["state"] in ("queued", "running"):
        await asyncio.sleep(0.05)
        job = await (await client.get(f"/api/jobs/{job['id']}")).json()
    return dict(job)


def test_faces_are_chosen_and_doubts_are_told(serve: Callable[..., None]) -> None:
    face = cv2.imread(str(shipped_dir() / "default" / "frame.png"))
    assert face is not None
    crowd = cv2.imencode(".png", np.rot90(np.hstack([face, face]), 2))[1].tobytes()

    async def scenario(client: Any) -> None:
        job = await ended(client, form(crowd, name="Eve"))
        assert job["state"] == "failed"
        assert "expected one face, found 2" in job["error"]["message"]
        job = await ended(client, form(crowd, name="Eve", face="2"))
        assert job["state"] == "done", job
        assert len(job["warnings"]) == 1
        assert "upside down" in job["warnings"][0]
        for wrong in ("0", "-1", "first", "1.5", "\u0661"):
            response = await client.post("/api/presenters", data=form(crowd, name="Zoe", face=wrong))
            assert response.status == 400
            assert "face: expected a whole number from 1" in (await response.json())["error"]["message"]

    serve(scenario)


def test_a_photo_that_is_slow_to_decode_does_not_hold_up_the_end(
    serve: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(decode, "_WORKER", slow)

    async def scenario(client: Any) -> None:
        response = await client.post("/api/presenters", data=form(b"x", name="Eve"))
        job = await response.json()
        while job["state"] == "queued":
            await asyncio.sleep(0.05)
            job = await (await client.get(f"/api/jobs/{job['id']}")).json()
        assert job["state"] == "running"
        await asyncio.sleep(0.5)

    started = time.monotonic()
    serve(scenario)
    assert time.monotonic() - started < 40
    assert str(slow) not in subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout


def test_a_video_becomes_a_presenter(serve: Callable[..., None], tmp_path: Path) -> None:
    video = write(tmp_path / "video", frames()[:90])

    async def scenario(client: Any) -> None:
        form = aiohttp.FormData({"name": "Ada", "consent": "Ada L."})
        form.add_field("video", video.read_bytes(), filename="x.jpg")  # what it is says the content, not the name
        response = await client.post("/api/presenters", data=form)
        assert response.status == 202
        job = await response.json()
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(0.2)
            job = await (await client.get(f"/api/jobs/{job['id']}")).json()
        assert (job["state"], job.get("error")) == ("done", None)
        assert (await client.post("/api/sessions", json={"presenter": "Ada"})).status == 200

    serve(scenario)
    assert load_identity(tmp_path / "Ada").identity.template is not None


def test_a_presenter_made_from_a_video_is_personalised_later(serve: Callable[..., None], tmp_path: Path) -> None:
    video = write(tmp_path / "video", frames()[:110])

    async def scenario(client: Any) -> None:
        form = aiohttp.FormData({"name": "Ada", "consent": "Ada L."})
        form.add_field("video", video.read_bytes(), filename="x.mp4")
        assert (await ended(client, form))["state"] == "done"

        async def ada() -> dict[str, Any]:
            presenters = (await (await client.get("/api/presenters")).json())["presenters"]
            assert [one["can_personalize"] for one in presenters if one["name"] == "default"] == [False]
            return dict(next(one for one in presenters if one["name"] == "Ada"))

        async def state(job: dict[str, Any]) -> dict[str, Any]:
            return dict(await (await client.get(f"/api/jobs/{job['id']}")).json())

        assert ((await ada())["can_personalize"], (await ada())["job"]) == (True, None)
        assert (await client.post("/api/presenters/default/personalize")).status == 422
        assert (await client.post("/api/presenters/nobody/personalize")).status == 404
        response = await client.post("/api/presenters/ada/personalize")
        assert response.status == 202
        job = await response.json()
        assert ((await ada())["can_personalize"], (await ada())["job"]) == (False, job["id"])
        assert (await client.post("/api/presenters/Ada/personalize")).status == 422, "it is being done"
        assert (await client.patch("/api/presenters/Ada", json={"name": "Eve"})).status == 422
        while not job["message"].startswith("Before"):
            await asyncio.sleep(0.1)
            job = await state(job)
            assert job["state"] in ("queued", "running"), job
        assert (await client.get(f"/api/jobs/{job['id']}/picture")).status == 409
        assert (await client.delete(f"/api/jobs/{job['id']}")).status == 204
        processes = await asyncio.to_thread(subprocess.run, ["ps", "-eo", "args="], capture_output=True, text=True)
        assert str(tmp_path / ".personalising-Ada") not in processes.stdout, "nothing learns any more"
        assert (await client.get(f"/api/jobs/{job['id']}")).status == 404
        assert (await ada())["can_personalize"], "it can be continued"
        job = await (await client.post("/api/presenters/Ada/personalize")).json()
        while job["state"] in ("queued", "running"):
            await asyncio.sleep(0.2)
            job = await state(job)
        assert job["state"] == "done", job
        assert set(job["before"]) == set(job["after"]) == {"psnr_db", "ssim", "lmd_px", "sharpness"}
        assert job["better"] == (tmp_path / "Ada" / "generator.safetensors").exists()
        picture = await client.get(job["picture"])
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(await picture.read(), np.uint8), cv2.IMREAD_COLOR).shape[1] == 3 * 256
        assert not (await ada())["can_personalize"]

    serve(scenario, within_s=200, personalise_s=6.0)


def test_a_presenter_that_is_being_personalised_can_be_deleted(serve: Callable[..., None], tmp_path: Path) -> None:
    video = write(tmp_path / "video", frames()[:90])

    async def scenario(client: Any) -> None:
        form = aiohttp.FormData({"name": "Ada"})
        form.add_field("video", video.read_bytes(), filename="x.mp4")
        assert (await ended(client, form))["state"] == "done"
        job = await (await client.post("/api/presenters/Ada/personalize")).json()
        assert (await client.delete("/api/presenters/Ada")).status == 204
        job = await (await client.get(f"/api/jobs/{job['id']}")).json()
        assert job["state"] == "failed"

    serve(scenario, within_s=200)
    assert not list(tmp_path.glob("*Ada*"))


@pytest.mark.parametrize(
    ("field", "size", "fields", "status"),
    [
        ("photo", 2 << 20, {}, 413),
        ("video", 2 << 20, {}, 202),
        ("video", 4 << 20, {}, 413),
        ("video", 1000, {"personalize": "perhaps"}, 400),
    ],
)
def test_videos_have_a_limit_of_their_own(
    serve: Callable[..., None], field: str, size: int, fields: dict[str, str], status: int
) -> None:
    async def scenario(client: Any) -> None:
        form = aiohttp.FormData({"name": "Ada", **fields})
        form.add_field(field, bytes(size), filename="x.mp4")
        assert (await client.post("/api/presenters", data=form)).status == status

    serve(scenario, max_upload_mb=1, max_video_mb=3)
