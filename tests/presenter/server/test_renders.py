"""Recordings and videos that clients upload become films: with progress, within limits, and nothing is left over."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp.test_utils import TestClient

from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import consent_now, save_identity
from presenter.server.app_keys import ENROLMENTS, RENDERS
from presenter.server.render_jobs import MAX_RENDERS
from stream.files.movie import MovieWriter
from tests.presenter.videos import QUIET_S, frames, write

Server = TestClient[Any, Any]
Serve = Callable[..., None]


def recording(seconds: float) -> bytes:
    """A tone whose loudness rises and falls four times a second."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    tone = 8_000 * np.sin(2 * np.pi * 180 * t) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(tone.astype("<i2").tobytes())
    return file.getvalue()


def form(audio: bytes = b"", video: bytes | None = None, driving: bytes = b"", **texts: str) -> aiohttp.FormData:
    fields = aiohttp.FormData()
    if audio:
        fields.add_field("audio", audio, filename="speech.wav")
    if video is not None:
        fields.add_field("video", video, filename="talk.mp4")
    if driving:
        fields.add_field("driving", driving, filename="actor.mp4")
    for name, text in texts.items():
        fields.add_field(name, text)
    return fields


async def finished(client: Server, job: dict[str, Any]) -> dict[str, Any]:
    told = []
    while job["state"] in ("queued", "running"):
        await asyncio.sleep(0.2)
        job = await (await client.get(f"/api/renders/{job['id']}")).json()
        told.append(job["progress"])
    assert told == sorted(told), "progress only rises"
    return job


def shape(film: bytes) -> tuple[int, tuple[int, int], float]:
    """Frames, size and seconds of sound."""
    with av.open(io.BytesIO(film)) as container:
        frames = [frame for frame in container.decode(video=0)]
    with av.open(io.BytesIO(film)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        rate = container.streams.audio[0].rate
    return len(frames), (frames[0].height, frames[0].width), samples / rate


def test_a_presenter_speaks_a_recording(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: Server) -> None:
        response = await client.post("/api/renders", data=form(recording(1.0), presenter="default"))
        assert response.status == 202
        job = await response.json()
        assert (await client.get(f"/api/renders/{job['id']}/file")).status == 409, "it is not done yet"
        job = await finished(client, job)
        assert (job["state"], job["progress"], job["frames"]) == ("done", 1.0, 25), job
        answer = await client.get(job["file"])
        assert answer.headers["Content-Type"] == "video/mp4"
        count, size, seconds = shape(await answer.read())
        assert (count, size) == (25, (512, 512))
        assert seconds == pytest.approx(1.0, abs=0.05)
        assert (await client.delete(f"/api/renders/{job['id']}")).status == 204
        assert (await client.get(f"/api/renders/{job['id']}")).status == 404
        assert list((tmp_path / ".renders").iterdir()) == []

    serve(scenario)
    assert not (tmp_path / ".renders").exists()


def test_the_person_in_a_video_speaks_a_recording(serve: Serve, tmp_path: Path) -> None:
    still = IdentityStore(tmp_path).load("default").identity.shrunk(512).frame
    path = tmp_path / "talk.mp4"
    with MovieWriter(path, still.shape[:2], 30, preset="ultrafast") as writer:
        for _ in range(15):
            writer.write(still)

    async def scenario(client: Server) -> None:
        fields = form(recording(1.0), path.read_bytes(), loop="yes")
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert job["state"] == "done", job
        assert job["unchanged"] == {}
        count, size, seconds = shape(await (await client.get(job["file"])).read())
        assert (count, size) == (30, still.shape[:2])
        assert seconds == pytest.approx(1.0, abs=0.05)

    serve(scenario)


def test_a_driver_moves_a_presenter_that_is_shown_as_asked(serve: Serve, tmp_path: Path) -> None:
    actor = write(tmp_path / "actor.mp4", frames()[25 * QUIET_S : 25 * QUIET_S + 30])

    async def scenario(client: Server) -> None:
        shown = {"size": "720p", "framing": "close", "background": "#204060"}
        fields = form(driving=actor.read_bytes(), presenter="default", driving_parts="lips,eyes,head", **shown)
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert job["state"] == "done", job
        film = await (await client.get(job["file"])).read()
        with av.open(io.BytesIO(film)) as container:
            first = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert first.shape == (720, 1280, 3)
        assert np.abs(first[5, 5].astype(int) - (0x20, 0x40, 0x60)).max() < 8

    serve(scenario)


def test_a_face_with_consent_is_put_on_the_person_in_a_video(serve: Serve, tmp_path: Path) -> None:
    store = IdentityStore(tmp_path)
    default = store.load("default")
    for name, consent in (("Agreed", consent_now("The person")), ("Silent", None)):
        save_identity(tmp_path / name, replace(default.identity, name=name), default.generator, consent)
    video = write(tmp_path / "talk.mp4", frames()[:20])

    async def scenario(client: Server) -> None:
        fields = form(video=video.read_bytes(), face="Silent")
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert job["state"] == "failed"
        assert job["error"]["code"] == "no_consent"
        fields = form(video=video.read_bytes(), face="agreed")
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert (job["state"], job["frames"]) == ("done", 20), job

    serve(scenario)


def test_what_can_not_be_rendered_is_told_without_the_servers_paths(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: Server) -> None:
        fields = form(b"no recording" * 50, presenter="default")
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert job["state"] == "failed"
        assert "expected" in job["error"]["message"]
        assert str(tmp_path) not in job["error"]["message"]
        assert list((tmp_path / ".renders").iterdir()) == []
        playlist = form(recording(0.2), b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n")
        job = await finished(client, await (await client.post("/api/renders", data=playlist)).json())
        assert job["state"] == "failed"

    serve(scenario)


@pytest.mark.parametrize(
    ("fields", "status", "part"),
    [
        ({"presenter": "default"}, 400, '"audio"'),
        ({"audio": recording(0.1)}, 400, '"video"'),
        ({"audio": recording(0.1), "video": b"x", "presenter": "default"}, 400, "or else"),
        ({"audio": recording(0.1), "presenter": "nobody"}, 404, "nobody"),
        ({"audio": recording(0.1), "presenter": "/etc/passwd"}, 404, "no presenter"),
        ({"audio": recording(0.1), "presenter": "default", "loop": "perhaps"}, 400, "loop"),
        ({"audio": recording(0.1), "presenter": "default", "style": "/etc/passwd"}, 404, "style"),
        ({"audio": recording(0.1), "presenter": "default", "style_strength": "9"}, 400, "style_strength"),
        ({"audio": recording(0.1), "presenter": "default", "background": "room.png"}, 400, "background"),
        ({"audio": recording(0.1), "presenter": "default", "face": "default"}, 400, "video"),
        ({"video": b"x", "face": "/etc/passwd"}, 404, "no presenter"),
        ({"audio": bytes(2 << 20), "presenter": "default"}, 413, "1 MB"),
    ],
)
def test_incomplete_forms_are_refused(
    serve: Serve, tmp_path: Path, fields: dict[str, Any], status: int, part: str
) -> None:
    async def scenario(client: Server) -> None:
        response = await client.post("/api/renders", data=form(**fields))
        assert response.status == status
        assert part in (await response.json())["error"]["message"]
        assert not (tmp_path / ".renders").exists() or list((tmp_path / ".renders").iterdir()) == []

    serve(scenario, max_video_mb=1)


def test_renders_are_limited_and_stop_when_they_are_deleted(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: Server) -> None:
        long = recording(60)
        jobs = [
            await (await client.post("/api/renders", data=form(long, presenter="default"))).json()
            for _ in range(MAX_RENDERS)
        ]
        refused = await client.post("/api/renders", data=form(long, presenter="default"))
        assert refused.status == 503
        assert "Retry-After" in refused.headers
        states = [(await (await client.get(f"/api/renders/{job['id']}")).json())["state"] for job in jobs]
        assert states == ["running"] + (MAX_RENDERS - 1) * ["queued"], "one at a time"
        for job in jobs:
            assert (await client.delete(f"/api/renders/{job['id']}")).status == 204
        assert list((tmp_path / ".renders").iterdir()) == []
        again = await client.post("/api/renders", data=form(recording(0.2), presenter="default"))
        assert (await finished(client, await again.json()))["state"] == "done"

    serve(scenario)


def test_films_that_are_done_make_room_for_others(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: Server) -> None:
        async def render() -> str:
            response = await client.post("/api/renders", data=form(recording(0.2), presenter="default"))
            assert response.status == 202, await response.text()
            job = await finished(client, await response.json())
            assert job["state"] == "done", job
            return str(job["id"])

        async def status(job: str) -> int:
            return (await client.get(f"/api/renders/{job}")).status

        assert client.app is not None
        uploads = client.app[RENDERS].uploads
        uploads.limit = 2
        jobs = [await render() for _ in range(2)]
        assert (await client.get(f"/api/renders/{jobs[1]}/file")).status == 200
        jobs.append(await render())
        assert [await status(job) for job in jobs] == [200, 404, 200], "the one that was fetched"
        films = sorted(path.name for path in (tmp_path / ".renders").glob("*/*") if path.suffix != ".yaml")
        assert films == ["film.mp4", "film.mp4"], "what they were made of is not kept"
        for fields in (form(presenter="default"), form(recording(0.1), presenter="nobody"), form(recording(0.1))):
            assert (await client.post("/api/renders", data=fields)).status in (400, 404)
        nothing = form(b"no recording" * 50, presenter="default")
        assert (await finished(client, await (await client.post("/api/renders", data=nothing)).json()))["error"]
        assert [await status(job) for job in jobs] == [200, 404, 200], "no film is given up for what is none"

    serve(scenario)


def test_what_is_in_the_folder_of_the_server_is_not_run(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    for name in ("json", "av", "numpy"):
        (folder / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(3)")
    monkeypatch.chdir(folder)

    async def scenario(client: Server) -> None:
        fields = form(recording(0.2), presenter="default")
        job = await finished(client, await (await client.post("/api/renders", data=fields)).json())
        assert job["state"] == "done", job
        assert not (folder / "ran").exists()
        assert client.app is not None
        assert not client.app[RENDERS]._tasks, "nothing of it is kept but its film"

    serve(scenario)


def silence_of(days: int) -> bytes:
    """A few kilobytes of Matroska whose second packet of sound is days later than its first."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for time in (0, days * 86_400 * 16_000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_600), np.int16), layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, time, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def picture_of(days: int) -> bytes:
    """A video of two pictures, the second of which is shown days later."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for time in (0, days * 86_400 * 25):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("audio", {"audio": silence_of(days=300), "presenter": "default"}),
        ("video", {"audio": recording(0.1), "video": picture_of(days=300)}),
        ("video", {"video": picture_of(days=300), "face": "default"}),
        ("driving", {"driving": picture_of(days=300), "presenter": "default"}),
    ],
)
def test_a_small_file_can_not_claim_months(serve: Serve, name: str, files: dict[str, Any]) -> None:
    async def scenario(client: Server) -> None:
        job = await finished(client, await (await client.post("/api/renders", data=form(**files))).json())
        assert job["state"] == "failed"
        assert f"{name}: expected at most 2 hours, got 7200.0" in job["error"]["message"]

    serve(scenario, within_s=60)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit other things")
def test_the_worker_is_limited_in_memory() -> None:
    ask = (
        "import numpy as np; from presenter.server.render_worker import limit; limit({!r}); np.empty(7 << 30, np.uint8)"
    )
    on_cpu, on_gpu = (
        subprocess.run([sys.executable, "-c", ask.format(device)], capture_output=True, text=True, check=False)
        for device in ("cpu", "cuda")
    )
    assert "MemoryError" in on_cpu.stderr
    assert on_gpu.returncode == 0, "drivers reserve more than they use"


def test_nothing_is_begun_while_the_server_stops(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(client: Server) -> None:
        assert client.app is not None
        for _ in range(3):
            await client.post("/api/renders", data=form(recording(60), presenter="default"))
        await asyncio.sleep(0.3)
        await client.app[RENDERS].close()
        assert not caplog.records, "those that wait do not begin"
        await client.app[ENROLMENTS].close()
        enrolment = aiohttp.FormData()
        enrolment.add_field("name", "Ann")
        enrolment.add_field("photo", b"x", filename="ann.png")
        for path, fields in (
            ("/api/renders", form(recording(0.2), presenter="default")),
            ("/api/presenters", enrolment),
        ):
            response = await client.post(path, data=fields)
            assert response.status == 503
            assert "shutting down" in (await response.json())["error"]["message"]

    serve(scenario)
    assert not list(tmp_path.glob(".*/*"))
