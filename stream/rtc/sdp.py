"""Validates a remote end's session description before it reaches aiortc (RFC 8866, RFC 8829)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aiortc.sdp import MediaDescription, SessionDescription

from stream.errors import NegotiationError

_SECTIONS = Counter(("audio", "video", "application"))


def offered_kinds(offer_sdp: str) -> set[str]:
    """Return the kinds of media in an offer ("audio", "video", "application").

    Raises:
        NegotiationError: if it is not an SDP with media, has more than one section of a kind, or
            lacks what a secure connection needs.
    """
    try:
        media = SessionDescription.parse(offer_sdp).media
    except (ValueError, IndexError, AssertionError, AttributeError, KeyError) as error:
        raise NegotiationError(f"offer: expected an SDP, got {offer_sdp[:60]!r}") from error
    kinds = Counter(section.kind for section in media)
    if kinds - _SECTIONS:
        got = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        raise NegotiationError(f"offer: expected one audio, one video and one data section at the most, got {got}")
    if not kinds.keys() & {"audio", "video"}:
        raise NegotiationError(f"offer: expected audio or video, got {sorted(kinds)}")
    check_dtls(media, "offer")
    return set(kinds)


def check_dtls(media: Iterable[MediaDescription], what: str) -> None:
    """Check that each section says how it is secured (RFC 8842 section 5).

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
