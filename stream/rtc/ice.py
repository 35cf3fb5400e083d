"""ICE beyond the session description: waiting for candidates (RFC 8863), `Link` headers (RFC 9725, 4.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

_MAX_SERVERS = 8
_MAX_HEADER = 8192  # characters
_END = re.compile(r"^a=end-of-candidates[ \t\r]*(?:\n|\Z)", re.MULTILINE)
_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w-]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s";,]*))?)*)')
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";,]*))')


def without_end_of_candidates(sdp: str) -> str:
    """Return a description without the mark that its candidates are complete.

    A remote end may know none of its addresses, or hide them, and still connect: its checks show where they come from
    (RFC 8445, 7.3.1.3). An agent has to wait for them (RFC 8863); aiortc (1.16) fails at once if it has no candidate.
    The caller bounds the wait.
    """
    return _END.sub("", sdp)


def ice_links(servers: Iterable[RTCIceServer]) -> list[str]:
    """Return a `Link` header value for each server, which has one URL (RFC 9725, 4.6)."""
    links = []
    for server in servers:
        link = f'<{server.urls}>; rel="ice-server"'
        if str(server.urls).startswith("turn") and server.username is not None:
            name, secret = _quoted(server.username), _quoted(server.credential or "")
            link += f'; username={name}; credential={secret}; credential-type="password"'
        links.append(link)
    return links


def linked_servers(headers: Iterable[str]) -> list[RTCIceServer]:
    """Return the ICE servers in values of `Link` headers: those that aiortc can use, eight at the most."""
    found: list[RTCIceServer] = []
    for header in headers:
        for match in _LINK.finditer(header[:_MAX_HEADER]):
            parameters = {
                name.lower(): _unquoted(quoted) or plain for name, quoted, plain in _PARAMETER.findall(match[2])
            }
            if "ice-server" in parameters.get("rel", "").lower().split():
                found += _usable(match[1].strip(), parameters)
    return found[:_MAX_SERVERS]


def _usable(url: str, parameters: Mapping[str, str]) -> list[RTCIceServer]:
    try:
        parse_stun_turn_uri(url)
    except ValueError:
        return []
    if parameters.get("credential-type", "password") != "password":
        return []
    return [RTCIceServer(url, parameters.get("username"), parameters.get("credential"))]


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
