"""A server in a process of its own, watched by health checks, and strangers who send it what they like."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

TOKEN = "fuzz"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DIALECTS = ("native", "openai", "elevenlabs", "deepgram", "cartesia", "liveavatar", "simli")
SILENCE = base64.b64encode(bytes(640)).decode()
MESSAGES: tuple[Any, ...] = (
    {"type": "start", "sample_rate": 24000, "channels": 1, "format": "pcm_s16le", "utterance_id": "a"},
    {"type": "words", "words": [{"text": "Hello", "start_ms": 0, "end_ms": 310}]},
    {"type": "mark", "name": "first"},
    {"type": "end"},
    {"type": "interrupt", "request_id": "r1", "utterance_id": "a"},
    {"type": "listening", "on": True},
    {"type": "response.output_audio.delta", "item_id": "i", "content_index": 0, "delta": SILENCE},
    {"type": "session.updated", "session": {"audio": {"input": {"turn_detection": {"interrupt_response": False}}}}},
    {"type": "response.output_audio.done", "item_id": "i"},
    {"audio": SILENCE, "contextId": "c", "isFinal": None, "alignment": {"chars": ["a"], "charStartTimesMs": [0]}},
    {"type": "Flushed", "sequence_id": 0},
    {"type": "chunk", "data": SILENCE, "context_id": "c", "done": False},
    {"type": "timestamps", "word_timestamps": {"words": ["a"], "start": [0.0], "end": [0.1]}, "context_id": "c"},
    {"type": "agent.speak", "event_id": "e", "audio": SILENCE},
    {"type": "agent.speak_end", "event_id": "e"},
    "DONE",
    "SKIP",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**30, "", "\0", "ä" * 100, "\ud7ff", [], {}, [[[]]], {"type": "start"}, "x" * 5000, 0.1,
    "===", "24000", float("inf"),
)  # fmt: skip


_POLL = """
import http.client, json, select, sys, time
from pathlib import Path

port, pid = sys.argv[1:]
connection, taken, held, late = http.client.HTTPConnection("localhost", int(port), timeout=30), [], [], []

def waited():  # for a processor, in s: the server's event loop, and this process
    paths = (Path(f"/proc/{pid}/task/{pid}/schedstat"), Path("/proc/self/schedstat"))
    return [int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0 for path in paths]

while True:
    begun = time.monotonic()
    if select.select([sys.stdin], [], [], 0.02)[0] and taken:
        break
    late.append(time.monotonic() - begun - 0.02)
    before, begun = waited(), time.monotonic()
    connection.request("GET", "/healthz")
    assert connection.getresponse().read()
    taken.append(time.monotonic() - begun)
    held.append(taken[-1] - max(now - then for now, then in zip(waited(), before)))
print(json.dumps([taken, held, late]))
"""


class Health:
    """Health checks by another process, one every 20 ms, which also notes the machine's noise.

    That is how late it is woken itself, and for how much of a check the thread of the server's event loop, or itself,
    was ready to run and waited for a processor (Linux): the rest the server held the check up.
    """

    def __init__(self, base: str, pid: int) -> None:
        self._command = [sys.executable, "-c", _POLL, str(urlsplit(base).port), str(pid)]
        self.taken_ms = self.held_ms = self.late_ms = np.zeros(0)

    def __enter__(self) -> Health:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        told, _ = self._process.communicate("\n")
        self.taken_ms, self.held_ms, self.late_ms = np.array(json.loads(told)) * 1000

    def figures(self) -> dict[str, Any]:
        p50, p99, most = (float(value.round(1)) for value in np.percentile(self.taken_ms, (50, 99, 100)))
        return {
            "checks": len(self.taken_ms),
            "p50_ms": p50,
            "p99_ms": p99,
            "max_ms": most,
            "over_100_ms": int((self.taken_ms > 100).sum()),
            "held_p99_ms": float(np.percentile(self.held_ms, 99).round(1)),
            "held_max_ms": float(self.held_ms.max().round(1)),
            "noise_p99_ms": float(np.percentile(self.late_ms, 99).round(1)),
        }


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `presenter serve`, yield its address; afterwards it must end well, with nothing logged but refusals."""
    config, log = folder / "fuzz.yaml", folder / "log"
    config.write_text(f"presenters: {folder / 'presenters'}\n")
    root = Path(__file__).resolve().parents[3]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "presenter", "serve", "--config", str(config), "--port", "0", "--max-sessions", "2"]
            + ["--token", TOKEN],
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=root,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"http://\S+", said)
            assert found, said + log.read_text()
            yield found[0], process
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    before, traceback, after = log.read_text().partition("Traceback")
    assert not traceback, before[-300:] + traceback + after[:3000]


def ask(
    base: str, method: str, path: str, body: bytes | dict[str, Any] = b"", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Ask with the token; returns status, body and headers."""
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    connection.request(method, path, data, HEADERS | {name.replace("_", "-"): text for name, text in headers.items()})
    response = connection.getresponse()
    answer = response.status, response.read(), response.headers
    connection.close()
    return answer


def open_session(base: str) -> str:
    status, body, _ = ask(base, "POST", "/api/sessions", {"presenter": "default", "microphone": "off"})
    assert status == 200, body
    return str(json.loads(body)["id"])


def distorted(message: Any, dice: random.Random) -> Any:
    """Change a value somewhere in a message, or drop or add one."""
    if isinstance(message, dict) and message and dice.random() < 0.9:
        made = dict(message)
        key = dice.choice(list(made))
        match dice.randrange(5):
            case 0:
                del made[key]
            case 1:
                made[dice.choice(["type", "audio", "data", "x"])] = dice.choice(ODD)
            case 2:
                made[key] = distorted(made[key], dice)
            case _:
                made[key] = dice.choice(ODD)
        return made
    if isinstance(message, list) and message and dice.random() < 0.8:
        return [distorted(one, dice) for one in message] * dice.choice((1, 1, 3))
    return dice.choice(ODD)


def frame(dice: random.Random) -> str | bytes:
    """A message of some dialect, right or distorted, as text or bytes."""
    kind = dice.random()
    if kind < 0.15:
        return dice.choice((b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt ", b"ID3\x04", b"DONE", b"{")) + dice.randbytes(
            dice.choice((0, 1, 2, 37, 640))
        )
    message = dice.choice(MESSAGES)
    if kind > 0.3:
        message = distorted(message, dice)
    text = message if isinstance(message, str) else json.dumps(message)
    if kind > 0.9:
        text = text[: dice.randint(0, len(text))] + dice.choice(("", "[" * 3000, "9" * 5000, "\\ud800", "{"))
    return text.encode(errors="replace") if kind > 0.97 else text


def send_messages(base: str, count: int, seed: int = 0) -> Counter[str]:
    """Send so many websocket messages to sessions, over connections of all dialects; returns what came back."""
    dice, seen, sent, session = random.Random(seed), Counter[str](), 0, open_session(base)
    address = base.replace("http", "ws", 1)
    turn = 0
    while sent < count:
        dialect = DIALECTS[turn % len(DIALECTS)]
        turn += 1
        if turn % 50 == 0:  # speech that is buffered is not what this is about
            ask(base, "DELETE", f"/api/sessions/{session}")
            session = open_session(base)
        path = f"{address}/api/sessions/{session}/audio?dialect={dialect}"
        with (
            contextlib.suppress(WebSocketException, TimeoutError),
            connect(path, additional_headers=HEADERS, max_size=None, max_queue=None, compression=None) as socket,
        ):
            for _ in range(min(40, (count - sent + 9) // 10)):
                for _ in range(10):
                    socket.send(frame(dice))
                    sent += 1
                with contextlib.suppress(TimeoutError):
                    while True:
                        seen["errors" if "error" in str(socket.recv(timeout=0)).lower() else "events"] += 1
    ask(base, "DELETE", f"/api/sessions/{session}")
    seen["sent"] = sent
    return seen


def photo(dice: random.Random) -> bytes:
    """A picture without a face, in some format, whole or damaged."""
    file = io.BytesIO()
    pixels = np.random.default_rng(dice.randrange(1000)).integers(0, 255, (dice.randint(1, 64), 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, dice.choice(("JPEG", "PNG", "WEBP", "GIF", "BMP")))
    data = bytearray(file.getvalue())
    for _ in range(dice.choice((0, 1, 8))):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data[: dice.choice((len(data), len(data) // 2))])


def form(dice: random.Random) -> bytes:
    """The form of an enrolment with the boundary `x`, right or damaged."""
    name = dice.choice(("photo", "video", "photo", "other"))
    parts = [
        b'Content-Disposition: form-data; name="name"\r\n\r\n'
        + dice.choice((b"n%d" % dice.randrange(9), b"\xff", b"")),
        b'Content-Disposition: form-data; name="%s"; filename="a.jpg"\r\n\r\n' % name.encode() + photo(dice),
        b'Content-Disposition: form-data; name="face"\r\n\r\n' + dice.choice((b"1", b"-1", b"9" * 5000, b"")),
    ]
    dice.shuffle(parts)
    body = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts[: dice.randint(1, 3)]) + b"--x--\r\n"
    if dice.random() < 0.3:
        at = dice.randrange(len(body))
        body = body[:at] + dice.choice((b"", b"\r\n--x", b"\0", b"--x--", b"Content-Length: 9\r\n")) + body[at + 1 :]
    return body


def upload(base: str, count: int, seed: int = 0) -> Counter[str]:
    """Upload so many forms; returns the statuses, each checked not to be 500."""
    dice, seen = random.Random(seed), Counter[str]()
    for _ in range(count):
        path = dice.choice(("/api/presenters", "/api/presenters", "/api/renders"))
        encoding = {"Content_Encoding": dice.choice(("gzip", "deflate", "br"))} if dice.random() < 0.03 else {}
        status, body, _ = ask(
            base, "POST", path, form(dice), Content_Type="multipart/form-data; boundary=x", **encoding
        )
        assert status not in (500, 502), body
        seen[str(status)] += 1
        if status == 202 and path == "/api/renders":
            ask(base, "DELETE", f"/api/renders/{json.loads(body)['id']}")
    return seen
