"""The protocols of voice services that the speech socket accepts, one module each.

A bot relays the messages of its voice service unchanged; `open_codec` picks the codec that reads them. Holds pure
codecs between messages and the events of `stream.wire`; never holds sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stream.dialects.cartesia import CartesiaCodec
from stream.dialects.deepgram import DeepgramCodec
from stream.dialects.elevenlabs import ElevenLabsCodec
from stream.dialects.fields import shown
from stream.dialects.liveavatar import LiveAvatarCodec
from stream.dialects.native import NativeCodec
from stream.dialects.openai import OpenAICodec
from stream.dialects.simli import SimliCodec
from stream.wire import Codec, WireError

DIALECTS: dict[str, Callable[[Mapping[str, str]], Codec]] = {
    "native": lambda query: NativeCodec(),  # `start` gives its format
    "openai": OpenAICodec,
    "elevenlabs": ElevenLabsCodec,
    "deepgram": DeepgramCodec,
    "cartesia": CartesiaCodec,
    "liveavatar": LiveAvatarCodec,
    "simli": SimliCodec,
}
"""Name of each dialect, and the function that makes its codec from the parameters of the socket's address."""


def open_codec(dialect: str, query: Mapping[str, str]) -> Codec:
    """Return the codec for one connection.

    Args:
        dialect: a name in `DIALECTS`.
        query: parameters of the socket's address, as the vendor names them: `output_format` for
            elevenlabs; `encoding`, `sample_rate` in Hz and `channels` for the others, of which
            liveavatar and simli allow one value only. Others are ignored.

    Raises:
        WireError: `unknown_dialect`, `bad_query` or `bad_format`; the text lists what is allowed.
    """
    if dialect not in DIALECTS:
        raise WireError("unknown_dialect", f"dialect {shown(dialect)}", " or ".join(DIALECTS))
    return DIALECTS[dialect](query)
