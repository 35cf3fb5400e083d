"""HTTP requests of the client, with the standard library only."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from presenter.errors import PresenterError

TIMEOUT_S = 10.0
"""How long an answer may take."""


class ClientError(PresenterError):
    """The server refused a request, can't be reached, or has ended the session."""


def socket_address(base: str) -> str:
    """Return the address of a server's websockets.

    Raises:
        ClientError: if it is no http address.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https"):
        raise ClientError(f"url: expected http://… or https://…, got {base!r}")
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))


async def request(method: str, url: str, token: str | None, body: dict[str, Any] | None) -> Any:
    """Send one request; returns the JSON that comes back, or None.

    Raises:
        ClientError: if the server can't be reached or refuses.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    message = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers, method=method)

    def send() -> Any:
        try:
            with urllib.request.urlopen(message, timeout=TIMEOUT_S) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            raise ClientError(f"{method} {url}: {_reason(error)}") from error
        except OSError as error:
            raise ClientError(f"{url}: the server can't be reached: {error}") from error
        return json.loads(content) if content else None

    return await asyncio.to_thread(send)


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return str(error)
