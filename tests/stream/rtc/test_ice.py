"""ICE servers in `Link` headers, as RFC 9725 and foreign servers write them."""

from __future__ import annotations

import pytest
from aiortc import RTCIceServer

from stream.rtc.ice import ice_links, linked_servers, without_end_of_candidates

# RFC 9725, figure 6.
RFC_9725 = [
    '<stun:stun.example.net>; rel="ice-server"',
    '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="myPassword"; '
    'credential-type="password"',
]
SERVERS = [
    RTCIceServer("stun:stun.example.net"),
    RTCIceServer("turn:turn.example.net?transport=udp", "user", "myPassword"),
]


def test_links_are_written_and_read_as_in_the_rfc() -> None:
    assert ice_links(SERVERS) == RFC_9725
    assert linked_servers(RFC_9725) == SERVERS
    assert linked_servers([", ".join(RFC_9725)]) == SERVERS


@pytest.mark.parametrize("secret", ["", 'a"b\\c', "a;b,<c>", "pass word"])
def test_any_password_survives(secret: str) -> None:
    server = RTCIceServer("turns:turn.example.net", "user@example.net", secret)
    assert linked_servers(ice_links([server])) == [server]


@pytest.mark.parametrize(
    ("header", "urls"),
    [
        ("<stun:a.example>;rel=ice-server", ["stun:a.example"]),
        ('<stun:a.example> ; rel="next ice-server"', ["stun:a.example"]),
        ("<https://a.example/next>; rel=next, <stun:a.example>; rel=ice-server", ["stun:a.example"]),
        ("<http://10.0.0.1/>; rel=ice-server", []),
        ("<turn:a.example>; rel=ice-server; credential-type=oauth", []),
        ("<stun:a.example>", []),
        ("<", []),
        ("<stun:a.example>; rel=" + '"' * 4000, []),
        ("<" * 8000, []),
        ("<a>;" + " " * 8000, []),
        ("<stun:a.example>; rel=ice-server, " * 50, ["stun:a.example"] * 8),
    ],
)
def test_other_links_and_other_text_are_left_out(header: str, urls: list[str]) -> None:
    assert [server.urls for server in linked_servers([header])] == urls


def test_the_end_of_candidates_is_removed_wherever_it_is() -> None:
    assert without_end_of_candidates(
        "a=x\r\na=end-of-candidates\r\na=y\na=end-of-candidates\na=end-of-candidatesx"
    ) == ("a=x\r\na=y\na=end-of-candidatesx")
