"""Audio formats as a dialect and the address of its socket name them."""

from __future__ import annotations

from collections.abc import Mapping

from stream.dialects.fields import shown
from stream.errors import StreamError
from stream.pcm.formats import MAX_RATE, MIN_RATE, SAMPLE_BYTES, AudioFormat
from stream.wire import WireError


def make_format(rate: int, channels: int, encoding: str) -> AudioFormat:
    """Return the format, or raise `WireError("bad_format")` that lists what is allowed."""
    try:
        return AudioFormat(rate, channels, encoding)
    except StreamError:
        allowed = f"{MIN_RATE}..{MAX_RATE} Hz, 1 or 2 channels, {' or '.join(SAMPLE_BYTES)}"
        got = f"audio of {shown(rate)} Hz, {shown(channels)} channels, {shown(encoding)}"
        raise WireError("bad_format", got, allowed) from None


def query_format(query: Mapping[str, str], encodings: Mapping[str, AudioFormat]) -> AudioFormat:
    """Read `encoding`, `sample_rate` and `channels` of the socket's address.

    Args:
        query: parameters of the address; others are ignored.
        encodings: the dialect's name of each encoding and its usual format; the first is the default.

    Raises:
        WireError: `bad_query` or `bad_format`.
    """
    name = query.get("encoding", next(iter(encodings)))
    if name not in encodings:
        raise WireError("bad_query", f"encoding={shown(name)}", " or ".join(encodings))
    usual = encodings[name]
    rate = _query_integer(query, "sample_rate", usual.rate)
    return make_format(rate, _query_integer(query, "channels", usual.channels), usual.encoding)


def fixed_format(query: Mapping[str, str], only: AudioFormat) -> AudioFormat:
    """Return the one format of a dialect, after checking that the address asks for no other."""
    if query_format(query, {only.encoding: only}) != only:
        raise WireError("bad_query", "audio format of the address", f"{only.rate} Hz, {only.channels} channel")
    return only


def _query_integer(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise WireError("bad_query", f"{name}={shown(query[name])}", "a whole number") from None
