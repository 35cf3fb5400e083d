"""Hostile and malformed requests: each is refused with a 4xx that says what was expected, and leaks nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from aiortc import RTCConfiguration, RTCPeerConnection

from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import save_identity
from presenter.server import parsing
from presenter.server.enrolment_jobs import MAX_UPLOADS
from stream.rtc.aiortc_internals import patch_process_host_addresses

Server = TestClient[Any, Any]
Serve = Callable[..., None]
JSON = "application/json"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


async def check(response: aiohttp.ClientResponse, status: int, code: str, words: str = "") -> None:
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (status, code), error
    assert words in error["message"]
    assert len(error["message"]) < 400


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"presenter": ' + b"9" * 5000 + b"}", JSON, "number out of range"),
        (b'{"presenter": "a", "microphone": ' + b"9" * 5000 + b"}", JSON, "number out of range"),
        (b"9" * 5000, JSON, "number out of range"),
        (b"9" * 4000, JSON, "expected an object"),
        (b'{"presenter": ""}', JSON, "presenter: expected a text that is not empty, got ''"),
        (b"{}", JSON, "presenter: expected a value, got none"),
        (b"[" * 100_000, JSON, "expected JSON in UTF-8"),
        (b'{"presenter": "\\ud800"}', JSON, "expected JSON in UTF-8"),
        (b"\xff\xfe{", JSON, "expected JSON in UTF-8"),
        (b"", JSON, "expected JSON in UTF-8"),
        (b'{"presenter": 7}', "application/json; charset=nonsense", "presenter: expected a text, got 7"),
        (b'{"presenter": 7}', "application/json; charset=utf-16", "presenter: expected a text, got 7"),
    ],
    ids=range(12),
)
def test_bodies_that_are_no_request(serve: Serve, body: bytes, kind: str, words: str) -> None:
    async def scenario(client: Server) -> None:
        response = await client.post("/api/sessions", data=body, headers={"Content-Type": kind})
        await check(response, 400, "bad_request", words)

    serve(scenario)


def test_encodings_that_are_none(serve: Serve) -> None:
    async def scenario(client: Server) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": "default"})).json())["id"]
        sdp = {"Content-Type": "application/sdp"}
        await check(await client.post(f"/whep/{session}", data=b"v=0\xff", headers=sdp), 400, "bad_offer", "UTF-8")
        foreign = {"Content-Type": "application/sdp; charset=nonsense"}
        await check(await client.post(f"/whep/{session}", data=b"v=0", headers=foreign), 400, "bad_offer")
        for path, kind in (("/api/sessions", JSON), (f"/whep/{session}", sdp["Content-Type"]), ("/api/presenters", "")):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nContent-Encoding: gzip\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            writer.write(f"{head}Content-Type: {kind or FORM['Content-Type']}\r\n\r\nno gzip".encode())
            assert b" 400 " in await reader.readline()
            writer.close()

    serve(scenario)


@pytest.mark.parametrize(
    "part",
    [
        b"no colon\r\n\r\na",
        b"A: " + b"b" * 200_000 + b"\r\n\r\na",
        b"A: b\r\n" * 20_000 + b"\r\na",
        b"Content-Disposition: form-data; name=photo\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\na",
        b"Content-Disposition: form-data; name=photo\r\nContent-Transfer-Encoding: nonsense\r\n\r\na",
        b"Content-Disposition: form-data; name=photo\r\nContent-Type: multipart/mixed\r\n\r\na",
        b"Content-Disposition: form-data; name*=nonsense''photo\r\n\r\na",
    ],
    ids=range(7),
)
def test_forms_that_are_none(serve: Serve, tmp_path: Path, part: bytes) -> None:
    async def scenario(client: Server) -> None:
        response = await client.post("/api/presenters", data=b"--x\r\n" + part + b"\r\n--x--\r\n", headers=FORM)
        await check(response, 400, "bad_request")
        assert not any((tmp_path / ".uploads").glob("*"))

    serve(scenario)


def test_names_longer_than_a_files(serve: Serve, tmp_path: Path) -> None:
    default = IdentityStore(tmp_path).load("default")
    save_identity(tmp_path / "Own", replace(default.identity, name="Own"), default.generator)
    long = "ä" * 400

    async def scenario(client: Server) -> None:
        for name in ("a" * 4000, "a/" * 1500 + "a", "%C3%A4" * 600):
            assert (await client.get(f"/static/{name}")).status == 404
            assert (await client.get(f"/api/presenters/{name}/thumbnail")).status == 404
        await check(await client.patch("/api/presenters/Own", json={"name": long}), 422, "enroll_failed")
        await check(await client.post("/api/sessions", json={"presenter": long}), 404, "presenter_not_found")
        styled = {"presenter": "default", "style": long}
        await check(await client.post("/api/sessions", json=styled), 404, "style_not_found")
        fields = aiohttp.FormData()
        fields.add_field("name", long)
        fields.add_field("photo", b"x", filename="a" * 3000 + ".png")
        await check(await client.post("/api/presenters", data=fields), 422, "enroll_failed")

    serve(scenario)


def test_dates_that_no_calendar_has(serve: Serve) -> None:
    async def scenario(client: Server) -> None:
        for path in ("/", "/static/main.js", "/favicon.ico", "/embed"):
            for name in ("If-Modified-Since", "If-Unmodified-Since", "If-Range"):
                far = {name: "Thu, 01 Jan 99999999999 00:00:00 GMT"}
                await check(await client.get(path, headers=far), 400, "bad_request", f"{name}: expected an HTTP date")
                for date in ("Thu, 32 Jan 2020 00:00:00 GMT", "x"):
                    async with client.get(path, headers={name: date}) as response:
                        assert response.status == 200, "what is no date at all is ignored"
        fresh = {"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}
        assert (await client.get("/static/main.js", headers=fresh)).status == 304

    serve(scenario)


def form(name: str) -> aiohttp.FormData:
    fields = aiohttp.FormData()
    fields.add_field("name", name)
    fields.add_field("photo", b"no photo", filename="a.png", content_type="image/png")
    return fields


def test_of_eight_uploads_of_one_name_one_is_accepted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presenter.server.enrolment_jobs.MAX_UPLOADS", 100)

    async def scenario(client: Server) -> None:
        for name in ("Anna", "Berta", "Clara"):
            spellings = (name, name.upper(), f" {name} ", name.lower()) * 2
            posts = [client.post("/api/presenters", data=form(spelling)) for spelling in spellings]
            statuses = sorted(response.status for response in await asyncio.gather(*posts))
            assert statuses == [202] + 7 * [422]

    serve(scenario)


def unfinished(stop: asyncio.Event) -> AsyncIterator[bytes]:
    async def inner() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n' + bytes(1 << 16)
        await stop.wait()

    return inner()


def test_unfinished_uploads_are_limited_in_total_and_in_time(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "UPLOAD_TIMEOUT_S", 2.0)
    folder = tmp_path / ".uploads"

    async def scenario(client: Server) -> None:
        stop = asyncio.Event()
        posts = [
            asyncio.create_task(client.post("/api/presenters", data=unfinished(stop), headers=FORM))
            for _ in range(MAX_UPLOADS + 3)
        ]
        await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
        assert len(list(folder.iterdir())) == MAX_UPLOADS
        answers = [await post for post in posts]
        assert sorted(answer.status for answer in answers) == MAX_UPLOADS * [408] + 3 * [503]
        assert list(folder.iterdir()) == []
        stop.set()
        assert (await client.post("/api/presenters", data=form("Anna"))).status == 202

    serve(scenario)


def test_presenters_that_are_damaged(serve: Serve, tmp_path: Path) -> None:
    for name, files in {"empty": {"identity.safetensors": b""}, "torn": {"identity.safetensors": b"x" * 500}}.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)

    async def scenario(client: Server) -> None:
        for name in ("empty", "torn"):
            response = await client.post("/api/sessions", json={"presenter": name})
            await check(response, 422, "presenter_damaged", "enrol it again")
            await check(await client.get(f"/api/presenters/{name}/thumbnail"), 422, "presenter_damaged")
        assert (await client.post("/api/sessions", json={"presenter": "default"})).status == 200

    serve(scenario)


async def offer() -> tuple[RTCPeerConnection, str]:
    patch_process_host_addresses()
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    return pc, str(pc.localDescription.sdp)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
@pytest.mark.usefixtures("light_rendering")
def test_a_session_that_ends_while_viewers_join_leaks_nothing(serve: Serve) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async def cycle(client: Server, sdp: str, wait_s: float) -> None:
        session = (await (await client.post("/api/sessions", json={"presenter": "default"})).json())["id"]
        headers = {"Content-Type": "application/sdp"}
        posts = [asyncio.create_task(client.post(f"/whep/{session}", data=sdp, headers=headers)) for _ in range(3)]
        posts.append(
            asyncio.create_task(
                client.post(f"/api/sessions/{session}/offer", data=json.dumps({"sdp": sdp, "type": "offer"}))
            )
        )
        await asyncio.sleep(wait_s)
        assert (await client.delete(f"/api/sessions/{session}")).status == 204
        for post in posts:
            assert (await post).status in (200, 201, 404)

    async def scenario(client: Server) -> None:
        pc, sdp = await offer()
        await cycle(client, sdp, 0.2)
        before = descriptors()
        for k in range(8):
            await cycle(client, sdp, 0.01 * k)
        await asyncio.sleep(0.5)
        assert descriptors() <= before + 2
        await pc.close()

    serve(scenario)
