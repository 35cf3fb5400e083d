"""Closes websockets whose client sends unmasked frames, which aiohttp accepts.

Source: RFC 6455, 5.1: a server must close the connection at an unmasked frame, with status 1002.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web

_CLOSE_1002 = b"\x88\x02\x03\xea"
_LENGTH_BYTES = {126: 2, 127: 8}
_MASK_BYTES = 4


class FrameHeaders:
    """Follows a client's byte stream from frame header to frame header."""

    def __init__(self) -> None:
        """Begin at a header."""
        self._header = bytearray()
        self._skip = 0  # bytes left of the frame's mask and payload

    def all_masked(self, data: bytes) -> bool:
        """Read the next bytes, cut anywhere; return False at the first header without the mask bit."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._header.append(data[at])
            at += 1
            if len(self._header) < 2:
                continue
            if not self._header[1] & 0x80:
                return False
            length = self._header[1] & 0x7F
            extended = _LENGTH_BYTES.get(length, 0)
            if len(self._header) == 2 + extended:
                payload = int.from_bytes(self._header[2:], "big") if extended else length
                self._skip = _MASK_BYTES + payload
                self._header.clear()
        return True


class _MaskedOnly(asyncio.Protocol):
    """Wraps aiohttp's protocol, to inspect what its transport receives."""

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._headers = FrameHeaders()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        if self._headers.all_masked(data):
            self._protocol.data_received(data)
        else:
            self._transport.write(_CLOSE_1002)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def require_masking(request: web.Request) -> None:
    """Check the frames of a websocket from now on; call it right after `prepare`."""
    transport = cast(asyncio.Transport, request.transport)
    transport.set_protocol(_MaskedOnly(transport, cast(asyncio.Protocol, transport.get_protocol())))
