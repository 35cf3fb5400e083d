"""Validates a remote end's session description before it reaches aiortc (RFC 8866, RFC 8829).

The text is limited in size and in lines of each kind before anything parses it: aiortc's parser takes time that grows
with the square of some of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from aiortc.sdp import MediaDescription, SessionDescription

from stream.errors import NegotiationError

MAX_SDP_BYTES = 65_536
"""A browser's offer has about 8 KB."""
_MAX_LINES = 2000
_MAX_LINE = 4096
_MAX_FIELDS = 70  # of one m= line: three, and payload types
_LIMITS = {
    "m=": 16,
    "a=candidate:": 200,
    "a=ssrc:": 64,
    "a=ssrc-group:": 32,
    "a=rtpmap:": 200,
    "a=fmtp:": 200,
    "a=rtcp-fb:": 600,
    "a=extmap:": 200,
    "a=group:": 8,
    "a=msid-semantic:": 8,
    "a=fingerprint:": 32,
}
"""Lines of each kind in a whole description; browsers send less than half of each."""
_MAX_HIDDEN_HOSTS = 4
_MAX_HIDDEN = 16
_HIDDEN = re.compile(r"a=candidate:\S+ \S+ (\S+) \S+ (\S+\.local) ", re.IGNORECASE)
_SECTIONS = Counter(("audio", "video", "application"))


def bounded(sdp: str, what: str) -> str:
    """Check sizes and counts, in linear time, and drop candidates that would take long to resolve.

    Browsers hide their addresses behind `.local` names (draft-ietf-mmusic-mdns-ice-candidates), which are resolved
    by multicast. The candidates of the first four names are kept, without those by TCP, which aiortc ignores.

    Args:
        sdp: the remote end's description.
        what: "offer" or "answer", for the error.

    Returns:
        The description without the other `.local` candidates.

    Raises:
        NegotiationError: if there is too much of something.
    """
    size = len(sdp.encode(errors="replace"))
    if size > MAX_SDP_BYTES:
        raise NegotiationError(f"{what}: expected at most {MAX_SDP_BYTES} bytes, got {size}")
    lines = sdp.splitlines()
    if len(lines) > _MAX_LINES:
        raise NegotiationError(f"{what}: expected at most {_MAX_LINES} lines, got {len(lines)}")
    for line in lines:
        if len(line) > _MAX_LINE:
            raise NegotiationError(f"{what}: expected lines of at most {_MAX_LINE} characters, got {len(line)}")
        if line.startswith("m=") and len(line.split()) > _MAX_FIELDS:
            raise NegotiationError(f"{what}: expected at most {_MAX_FIELDS - 3} payload types in a section, got more")
    for prefix, limit in _LIMITS.items():
        count = sum(line.startswith(prefix) for line in lines)
        if count > limit:
            raise NegotiationError(f"{what}: expected at most {limit} lines {prefix}…, got {count}")
    kept = _without_excess_names(lines)
    return sdp if len(kept) == len(lines) else "\r\n".join(kept) + "\r\n"


def _without_excess_names(lines: list[str]) -> list[str]:
    kept: list[str] = []
    names: set[str] = set()
    hidden = 0
    for line in lines:
        if match := _HIDDEN.match(line):
            transport, name = match[1].lower(), match[2].lower()
            full = hidden >= _MAX_HIDDEN or (name not in names and len(names) >= _MAX_HIDDEN_HOSTS)
            if full or transport != "udp":
                continue
            names.add(name)
            hidden += 1
        kept.append(line)
    return kept


def offered_kinds(offer_sdp: str) -> set[str]:
    """Return the kinds of media in an offer ("audio", "video", "application"); takes milliseconds, so use a thread.

    Args:
        offer_sdp: within the limits of `bounded`.

    Raises:
        NegotiationError: if it is not an SDP with media, has more than one section of a kind, or
            lacks what a secure connection needs.
    """
    try:
        description = SessionDescription.parse(offer_sdp)
    except Exception as error:  # aiortc raises many types for malformed SDP
        raise NegotiationError(f"offer: expected an SDP, got {offer_sdp[:60]!r}") from error
    media = description.media
    kinds = Counter(section.kind for section in media)
    if kinds - _SECTIONS:
        got = ", ".join(f"{count} {kind[:20]}" for kind, count in kinds.items())
        raise NegotiationError(f"offer: expected one audio, one video and one data section at the most, got {got}")
    if not kinds.keys() & {"audio", "video"}:
        raise NegotiationError(f"offer: expected audio or video, got {sorted(kinds)}")
    check_dtls(media, "offer")
    _check_bundle(description, "offer")
    return set(kinds)


def check_answer(answer_sdp: str) -> None:
    """Check the answer to an offer of this side; takes milliseconds, so use a thread.

    Raises:
        NegotiationError: if a section lacks what a secure connection needs.
        Exception: of any type, for SDP that aiortc can't parse.
    """
    description = SessionDescription.parse(answer_sdp)
    check_dtls(description.media, "WHIP answer")
    _check_bundle(description, "WHIP answer")


def _check_bundle(description: SessionDescription, what: str) -> None:
    """Check that sections that share a transport have distinct ids, and that it exists (RFC 9143, section 7.2).

    aiortc (1.16) would leave them without a transport, and then fail to close the connection.
    """
    names = [section.rtp.muxId for section in description.media]
    for group in description.group:
        if group.semantic == "BUNDLE" and group.items:
            if len(set(names)) < len(names):
                raise NegotiationError(f"{what}: expected another a=mid for each section, got {names}")
            if group.items[0] not in names:
                raise NegotiationError(f"{what}: expected a section for each name in a=group, got {names}")


def check_dtls(media: Iterable[MediaDescription], what: str) -> None:
    """Check that each section has a DTLS role and a fingerprint (RFC 8842 section 5).

    aiortc (1.16) detects their absence only while it connects, in a task whose errors are lost.

    Args:
        media: the sections.
        what: their description's name for the error, "offer" or "answer".

    Raises:
        NegotiationError: if a section has no DTLS role or no fingerprint.
    """
    for section in media:
        if section.dtls is None or section.dtls.role is None:
            raise NegotiationError(f"{what}: expected a=setup for {section.kind}, got none")
        if not section.dtls.fingerprints:
            raise NegotiationError(f"{what}: expected a=fingerprint for {section.kind}, got none")
