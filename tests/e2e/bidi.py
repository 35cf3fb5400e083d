"""Headless Firefox, driven by the WebDriver BiDi protocol that it speaks itself. Source: W3C WebDriver BiDi."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PREFERENCES = {
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": True,  # the microphone is allowed
    "media.navigator.streams.fake": True,  # it is a tone of 440 Hz
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "remote.prefs.recommended": True,
}


class FirefoxPage:
    """One tab: `errors` collects uncaught exceptions, and the console's errors and warnings, of all its pages."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self.errors: list[str] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])
        self._tab = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, within_s: float = 30, **params: Any) -> dict[str, Any]:
        """Send one command and return its result; events that arrive before it are taken in."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=within_s))
            if message.get("method") == "log.entryAdded" and message["params"]["level"] in ("error", "warn"):
                self.errors.append(f"{message['params']['level']}: {message['params']['text']}")
            if message.get("id") == self._sent:
                assert message["type"] == "success", f"{method}: {message['error']}: {message['message']}"
                return dict(message["result"])

    def before_load(self, source: str) -> str:
        """Run a script in each page before its own; returns its name for `script.removePreloadScript`."""
        return self.call("script.addPreloadScript", functionDeclaration=f"() => {{ {source} }}")["script"]

    def goto(self, url: str) -> None:
        """Open an address and wait until it has loaded."""
        self.call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def size(self, width: int, height: int) -> None:
        """Set the size of the page, in CSS pixels."""
        self.call("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})

    def evaluate(self, expression: str, within_s: float = 30) -> Any:
        """Return the value of a JavaScript expression, after its promise if it is one."""
        result = self.call(
            "script.evaluate",
            within_s,
            expression=f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))",
            target={"context": self._tab},
            awaitPromise=True,
            userActivation=True,
        )
        assert result["type"] == "success", f"{expression}: {result.get('exceptionDetails')}"
        return json.loads(result["result"]["value"])

    def wait(self, expression: str, within_s: float = 20) -> Any:
        """Wait until an expression is truthy, and return its value."""
        deadline = time.monotonic() + within_s
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} did not come true in {within_s} s; {self.errors}"
            time.sleep(0.05)
        return value

    def press(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        middle = f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({box(selector)})"
        x, y = self.evaluate(middle)
        move = {"type": "pointerMove", "x": round(x), "y": round(y)}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self.call("input.performActions", context=self._tab, actions=[mouse])

    def type(self, text: str) -> None:
        """Press and release the keys of a text; `\\n` is Enter."""
        keys = [key.replace("\n", "\ue007") for key in text]
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.call("input.performActions", context=self._tab, actions=[keyboard])

    def screenshot(self, path: Path) -> None:
        """Write what is shown as a PNG."""
        path.write_bytes(base64.b64decode(self.call("browsingContext.captureScreenshot", context=self._tab)["data"]))


def box(selector: str) -> str:
    """The expression for an element's place in the window."""
    return f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"


@contextmanager
def running_firefox(program: str, folder: Path, **preferences: Any) -> Iterator[FirefoxPage]:
    """Start Firefox with a profile of its own in `folder`, and end it."""
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in {**PREFERENCES, **preferences}.items()]
    (folder / "user.js").write_text("\n".join(lines))
    command = [program, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    with (folder / "firefox.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with connect(_address(process, Path(log.name)) + "/session", max_size=None, proxy=None) as socket:
                page = FirefoxPage(socket)
                yield page
                page.call("browser.close")
            process.wait(20)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"Firefox did not start:\n{log.read_text(errors='replace')}")
