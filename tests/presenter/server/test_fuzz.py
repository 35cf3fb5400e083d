"""Property-based: whatever the HTTP API's description allows or not, and whatever is sent to it, no answer is a 500."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.presenter.server import fuzzing
from tests.presenter.server.offers import real_offer

LOOSE = settings(
    deadline=None, database=None, derandomize=True, phases=(Phase.generate,), suppress_health_check=list(HealthCheck)
)
HEALTH_P99_MS = 100


@schemathesis.serializer("application/sdp")
def as_sdp(_: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with fuzzing.serving(tmp_path_factory.mktemp("fuzz")) as (address, process):
        yield address, process.pid


@pytest.fixture(scope="module")
def base(server: tuple[str, int]) -> str:
    return server[0]


@pytest.fixture(autouse=True)
def health(server: tuple[str, int]) -> Iterator[None]:
    with fuzzing.Health(*server) as health:
        yield
    told = health.figures()
    print(told)
    assert told["held_p99_ms"] <= HEALTH_P99_MS or told["over_100_ms"] <= 2, told


def test_the_description_is_served_and_its_operations_are_never_a_500(base: str) -> None:
    status, body, _ = fuzzing.ask(base, "GET", "/api/openapi.json")
    assert status == 200
    schema = schemathesis.openapi.from_dict(json.loads(body))
    statuses: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(LOOSE, max_examples=4)
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                response = case.call(base_url=base, headers=fuzzing.HEADERS, timeout=30, allow_redirects=False)
                assert response.status_code not in (500, 502), (case.as_curl_command(), response.text)
                statuses.setdefault(f"{case.method} {case.path}", set()).add(response.status_code)

            try:
                check()
            except Unsatisfiable:  # there is nothing to get wrong in it
                assert mode is GenerationMode.NEGATIVE, operation.label
    print(statuses)


PIECES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["a=ssrc:1 cname:x", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=setup:actpass", "c=IN IP6 ::1"]
    ),
    st.builds(
        "a={}:{}".format, st.sampled_from(["rtpmap", "fmtp", "candidate", "extmap", "group"]), st.text(max_size=40)
    ),
)


def test_no_offer_is_a_500(base: str) -> None:
    session = fuzzing.open_session(base)
    real = asyncio.run(real_offer()).splitlines()

    @settings(LOOSE, max_examples=80)
    @given(
        lines=st.lists(st.tuples(st.integers(0, len(real)), PIECES), max_size=8), end=st.sampled_from(["\r\n", "\n"])
    )
    def check(lines: list[tuple[int, str]], end: str) -> None:
        sdp = list(real)
        for at, line in lines:
            sdp.insert(at, line)
        data = end.join([*sdp, ""]).encode(errors="replace")
        status, body, headers = fuzzing.ask(base, "POST", f"/whep/{session}", data, Content_Type="application/sdp")
        assert status in (201, 400, 413), body
        if place := headers["Location"]:
            fuzzing.ask(base, "DELETE", place)

    check()
    fuzzing.ask(base, "DELETE", f"/api/sessions/{session}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=700),
    JSON.map(json.dumps),
    st.builds(
        lambda message, key, value: json.dumps({**message, key: value}),
        st.sampled_from([message for message in fuzzing.MESSAGES if isinstance(message, dict)]),
        st.sampled_from(["type", "audio", "data", "delta", "words", "utterance_id", "sample_rate", "channels", "on"]),
        JSON,
    ),
)


@pytest.mark.parametrize("dialect", fuzzing.DIALECTS)
def test_no_message_ends_a_speech_socket(base: str, dialect: str) -> None:
    session = fuzzing.open_session(base)
    address = f"{base.replace('http', 'ws', 1)}/api/sessions/{session}/audio?dialect={dialect}"
    try:

        @settings(LOOSE, max_examples=15)
        @given(frames=st.lists(FRAMES, max_size=10))
        def check(frames: list[str | bytes]) -> None:
            with connect(address, additional_headers=fuzzing.HEADERS, compression=None) as socket:
                for frame in frames:
                    socket.send(frame.encode(errors="replace").decode() if isinstance(frame, str) else frame)
                try:
                    assert socket.ping().wait(10), "it is answered after all of them"
                except WebSocketException as error:
                    raise AssertionError(f"{dialect}: closed by {frames}") from error

        check()
    finally:
        fuzzing.ask(base, "DELETE", f"/api/sessions/{session}")


def test_messages_and_forms_at_random(base: str) -> None:
    print(fuzzing.send_messages(base, 1000), fuzzing.upload(base, 20))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("path", ["/api/sessions", "/api/presenters", "/api/renders"])
def test_a_body_in_another_encoding_than_it_says_is_a_400(base: str, path: str, encoding: str) -> None:
    kind = "multipart/form-data; boundary=x"
    for body in (b"\x1f\x8b\x08" + bytes(30), b"--x--", bytes(200_000)):
        status, answer, _ = fuzzing.ask(base, "POST", path, body, Content_Type=kind, Content_Encoding=encoding)
        assert status == 400, answer


def test_the_rest_of_a_body_that_is_refused_before_it_is_read_may_be_anything(base: str) -> None:
    url = urlsplit(base)
    begun, rest = b"\x78\x9c\x00\x01\x00\xfe\xffa", b"\x00\x01\x00\x00\x00"  # zlib: a stored block; a wrong length
    head = f"POST /api/presenters HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {fuzzing.TOKEN}\r\n"
    head += "Content-Type: text/plain\r\nContent-Encoding: deflate\r\nContent-Length: 2000\r\n\r\n"
    with socket.create_connection((url.hostname, url.port), 10) as connection:
        connection.sendall(head.encode() + begun)
        assert connection.recv(4000).startswith(b"HTTP/1.1 400 ")
        connection.sendall(rest)
        while connection.recv(4000):
            pass
